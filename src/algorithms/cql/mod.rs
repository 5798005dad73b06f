//! CQL, conservative Q-learning (Kumar et al. 2020): SAC on a dataset, with a term in the critics'
//! loss that lowers the values of actions outside the data.
//!
//! Twin critics Q with targets Q' and a squashed Gaussian actor pi are perceptrons; the actor's raw
//! log sigma is scaled and shifted by two numbers that are trained with it. With a~ from pi(s), a'
//! from pi(s'), n actions each of `a_u` from U(-1, 1), `a_n` from pi(s') and `a_c` from pi(s),
//!
//! ```text
//! L_alpha = -log alpha mean (log pi(a~|s) + H)
//! L_pi    = mean (alpha log pi(a~|s) - min_j Q_j(s, a~))
//! y       = r + gamma (1 - terminated) min_j Q_j'(s', a')
//! O_j     = T log sum exp (1/T) {Q_j(s, a_u) + A log 2, Q_j(s, a_n) - log pi(a_n|s'),
//!                                Q_j(s, a_c) - log pi(a_c|s)}
//! D_j     = mean clip(O_j - Q_j(s, a))
//! L_Q     = sum_j mean (Q_j(s, a) - y)^2 + weight sum_j D_j
//! ```
//!
//! All three losses are computed with the weights before the update. With `lagrange` the weight is
//! multiplied by alpha' = exp(log alpha') in 0..1e6, whose loss is minus half of the sum over j of
//! alpha' weight (`D_j` - gap); it steps first, but the critics' loss uses alpha' before that step.
//! With `max_target_backup`, y uses the largest of n next actions' values.
//!
//! Cal-QL (Nakamoto et al. 2023) is CQL with values at `a_n` and `a_c` of at least G, the
//! discounted return from the row on (`calibrate`): the policy's values are not lowered below
//! returns that were reached, so that it does not unlearn at first when it continues in the
//! environment.
//!
//! d3rlpy's code has another order: critics, temperature, actor, each with what the step before it
//! left. There a' is the greedy action, tanh of the mean, unless `max_target_backup` samples n; the
//! raw log sigma is not scaled; and the temperature's loss is -alpha mean (log pi + H) with the
//! actor's sample. Its constant -10 next to `D_j` has no gradient. Its noise: uniform; normal at
//! the observations, at the next ones, at the observations for the actor; with `max_target_backup`
//! that of the targets comes first.
//!
//! Noise, rows x A or rows x n x A: normal at the observations, at the next ones; uniform; normal
//! at the observations, at the next ones. After CORL's `algorithms/offline/cql.py`, whose results
//! on D4RL's v2 datasets are the ones to compare with, and `algorithms/finetune/cal_ql.py`, except
//! for two defects of CORL: the second critic of CQL always has three layers, and `bc_steps` does
//! not use the data's actions.

pub mod config;
mod penalty;
mod update;

use self::config::{Config, CqlVariant, InitialWeights};
use self::update::{Scratch, Step};
use super::actor_critic::update::{beside_data, least};
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work, temperature};
use super::actor_policy::Decision;
use super::critic::Compute;
use super::networks::{self, Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Error, Facts, Input, Needs, Rule, Saved, Update};
use crate::keys::{KeyError, Keys, PlanError};
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill};
use rtg_kernels::mlp::heads::squashed::{LogProbability, LogSigma, Squashed};
use rtg_kernels::mlp::{Network, Shape};

/// CQL.
pub struct Cql;

/// Trains CQL's networks.
pub type Learner = actor_critic::Learner<Cql>;

/// The name of the critics' weights in files.
const CRITIC: &str = "critic";
/// The factor and the offset of the raw log sigma: their names in files, and their first values.
const SCALARS: [(&str, f32); 2] = [
    ("actor.log_std_multiplier", 1.0),
    ("actor.log_std_offset", -1.0),
];
const LOG_ALPHA_PRIME: &str = "log_alpha_prime";

impl Method for Cql {
    type Config = Config;
    type Decision = Scaled;
    type Networks = [Trained; 2];
    /// The factor and the offset of the raw log sigma (not in d3rlpy), the temperature's logarithm,
    /// and with `lagrange` that of its multiplier.
    type Vectors = Vec<TrainedVector>;
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "cql",
        summary: "CQL, Cal-QL: SAC on a dataset, with a penalty on values outside the data",
        input: Input::Transitions,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: CqlVariant::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "policy noise";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(CqlVariant::named(recipe))
    }

    fn resolve(config: &mut Config, facts: &Facts) -> Result<(), PlanError> {
        let action = facts.spec.action_space.width();
        config.critic_layers.get_or_insert(config.layers);
        config.target_entropy.get_or_insert(-(action as f64));
        if config.lagrange && CqlVariant::named(facts.recipe) == CqlVariant::D3rlpy {
            let key = Config::KEYS.path("lagrange");
            let expected = "false with recipe = \"d3rlpy\"";
            return Err(KeyError::new(&key, true, expected).into());
        }
        Ok(())
    }

    fn normalises(config: &Config) -> bool {
        config.normalise
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        let action_clip = made_of.config.action_clip;
        let returns_to_go = made_of.config.calibrate;
        actor_critic::offline!(
            made_of,
            made_of.config.reward_scale,
            action_clip,
            returns_to_go,
        )
    }

    /// A row of the outputs has A means, then A raw log sigmas.
    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let Config { width, layers, .. } = made_of.config;
        made_of.of_observations(width, layers, 2 * made_of.actions.width())
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let config = &made_of.config;
        let no_bias = BiasFill::Constant(0.0);
        let fill = |weight| LayerFill {
            weight,
            bias: no_bias,
        };
        let orthogonal = |gain| fill(WeightFill::Orthogonal(gain));
        let wide = orthogonal(std::f32::consts::SQRT_2);
        let [of_actor, of_critics] = match config.initialisation {
            InitialWeights::SmallOutputs => [
                [LayerFill::DEFAULT, fill(WeightFill::Xavier(0.01))],
                [wide, orthogonal(0.01)],
            ],
            InitialWeights::Orthogonal => [[wide; 2]; 2],
            InitialWeights::SmallXavier => {
                [[LayerFill::DEFAULT, fill(WeightFill::Xavier(0.01))]; 2]
            }
            InitialWeights::Pytorch => [[LayerFill::DEFAULT; 2]; 2],
        };
        let shape = Self::actor(made_of);
        let actor = Trained::new(ACTOR, &shape, initial(&shape, of_actor), false);
        let shape = critics(made_of);
        let critics = Trained::new(CRITIC, &shape, initial(&shape, of_critics), true);
        let scalars = SCALARS[..scalars(made_of)].iter();
        let scalars = scalars.map(|(name, value)| TrainedVector::new(name, vec![*value]));
        let mut vectors: Vec<_> = scalars.collect();
        vectors.push(temperature::new(config.initial_alpha));
        if config.lagrange {
            vectors.push(TrainedVector::new(LOG_ALPHA_PRIME, vec![1.0]));
        }
        Parts {
            networks: [actor, critics],
            vectors,
        }
    }

    fn policy_vectors(made_of: &MadeOf<Config>) -> Vec<(&'static str, usize)> {
        let scalars = SCALARS[..scalars(made_of)].iter();
        scalars.map(|(name, _)| (*name, 1)).collect()
    }

    fn decision(made_of: &MadeOf<Config>, vectors: &[Vec<f32>]) -> Scaled {
        // Of the greedy action these are no part.
        let [multiplier, offset] = match vectors {
            [multiplier, offset, ..] if scalars(made_of) > 0 => [multiplier[0], offset[0]],
            _ => [1.0, 0.0],
        };
        Scaled {
            head: head(made_of),
            multiplier,
            offset,
        }
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        Step::of(work, parts).run(noise, scratch)
    }

    /// The actor's distance from the data's actions, and the first critic's values of both.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let [actor, critics] = &parts.networks;
        let decision = Self::decision(work.made_of, &[]);
        let [error, q, q_policy] = beside_data(work, [actor, critics], &decision);
        vec![("squared_error", error), ("q", q), ("q_policy", q_policy)]
    }

    /// The smaller of both critics at the greedy action.
    fn values(made_of: &MadeOf<Config>, saved: &Saved) -> Result<Option<Box<Compute>>, Error> {
        let network = |name, shape: &Shape| {
            let parameters = networks::read(name, shape, saved.tensors)?;
            Ok::<_, Error>(Network::new(shape, parameters))
        };
        let mut actor = network(ACTOR, &Self::actor(made_of))?;
        let mut critics = network(CRITIC, &critics(made_of))?;
        let decision = Self::decision(made_of, &[]);
        let width = made_of.actions.width();
        Ok(Some(Box::new(move |pool, observations, rows| {
            let mut outputs = vec![0.0; rows * actor.shape().outputs];
            actor.infer(pool, &[observations], &mut outputs);
            let mut actions = vec![0.0; rows * width];
            decision.greedy(&outputs, &mut actions);
            let mut values = vec![0.0; rows * critics.shape().members];
            critics.infer(pool, &[observations, &actions], &mut values);
            let mut smaller = Vec::new();
            least(&values, rows, &mut smaller);
            smaller
        })))
    }

    /// Many actions of one state share the state's part of a critic's first layer.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let config = &made_of.config;
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let of_states = critic.first * s / (s + a);
        let backup = if config.max_target_backup {
            config.samples as f64
        } else {
            1.0
        };
        let targets = actor.all + 2.0 * (backup * (critic.all - of_states) + of_states);
        let policy = actor.learning() + critic.all + critic.to_input(a / (s + a));
        let candidates = 1.0 + 3.0 * config.samples as f64;
        let learning = candidates * (critic.learning() - 2.0 * of_states) + 2.0 * of_states;
        2.0 * config.batch_size as f64 * (targets + policy + 2.0 * learning)
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    let config = &made_of.config;
    let layers = config.critic_layers.unwrap_or(config.layers);
    made_of.critics(config.width, layers, 2)
}

/// The published code.
fn code(made_of: &MadeOf<Config>) -> CqlVariant {
    CqlVariant::named(&made_of.recipe)
}

/// How many of [`SCALARS`] are trained. They come first among the vectors, then the temperature's
/// logarithm, then that of the multiplier.
fn scalars(made_of: &MadeOf<Config>) -> usize {
    match code(made_of) {
        CqlVariant::D3rlpy => 0,
        CqlVariant::Cql | CqlVariant::CalQl | CqlVariant::YoungGeng => SCALARS.len(),
    }
}

/// The distribution of scaled outputs.
fn head(made_of: &MadeOf<Config>) -> Squashed {
    Squashed {
        action: made_of.actions.width(),
        log_sigma: LogSigma::Clamp {
            low: -20.0,
            high: 2.0,
        },
        log_probability: LogProbability::Exact,
    }
}

/// A squashed Gaussian whose raw log sigmas are scaled and shifted.
pub struct Scaled {
    head: Squashed,
    multiplier: f32,
    offset: f32,
}

impl Scaled {
    /// Converts outputs to the head's input: rows of A means and A log sigmas.
    fn apply(&self, outputs: &[f32], to: &mut Vec<f32>) {
        let a = self.head.action;
        to.clear();
        to.extend_from_slice(outputs);
        for row in to.chunks_mut(2 * a) {
            for raw in &mut row[a..] {
                *raw = self.multiplier * *raw + self.offset;
            }
        }
    }

    /// From the gradient of the head's input to that of the outputs, in place; returns the
    /// gradients of the factor and the offset.
    fn backward(&self, outputs: &[f32], gradients: &mut [f32]) -> [f32; 2] {
        let a = self.head.action;
        let (mut multiplier, mut offset) = (0.0_f64, 0.0_f64);
        let rows = outputs.chunks(2 * a).zip(gradients.chunks_mut(2 * a));
        for (outputs, gradients) in rows {
            for (raw, gradient) in outputs[a..].iter().zip(&mut gradients[a..]) {
                multiplier += f64::from(*gradient) * f64::from(*raw);
                offset += f64::from(*gradient);
                *gradient *= self.multiplier;
            }
        }
        [multiplier as f32, offset as f32]
    }
}

/// Greedy: tanh of the mean; exploring: a sample.
impl Decision for Scaled {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        self.head.mode(outputs, actions);
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        let mut scaled = Vec::new();
        self.apply(outputs, &mut scaled);
        self.head.act(&scaled, noise, actions);
    }

    fn rule(&self) -> Option<Rule> {
        self.head.rule()
    }
}
