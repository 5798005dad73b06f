//! SAC (Haarnoja et al. 2018): off-policy learning of a stochastic policy with a target entropy,
//! whose temperature is learned ("Soft Actor-Critic Algorithms and Applications").
//!
//! Actor pi and twin critics Q are perceptrons; the critics have targets, marked by '. With a'
//! drawn from pi(s'), a~ from pi(s), alpha the temperature and H the target entropy,
//!
//! ```text
//! y       = r + gamma (1 - terminated) (min_j Q_j'(s', a') - alpha log pi(a'|s'))
//! L_Q     = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! L_pi    = mean (alpha log pi(a~|s) - min_j Q_j(s, a~))
//! L_alpha = -mean (alpha (log pi(a~|s) + H))
//! ```
//!
//! # Two published codes
//!
//! | | `cleanrl`: `sac_continuous_action.py` | `sb3`: `sac.py` |
//! |---|---|---|
//! | log sigma | -5 + 3.5 (tanh(raw) + 1) | raw, clamped to -20..2 |
//! | log pi | of the environment's action | of the action in -1..1 |
//! | critics' input | the environment's action | the action in -1..1 |
//! | `L_Q` | as above | half of it |
//! | `L_alpha` | as above, with a separate sample | log alpha for the first alpha, the actor's sample |
//! | order | Q; every second time, twice: actor, alpha | alpha, Q, actor, with the old alpha |
//!
//! Noise: `cleanrl` draws arrays of rows x A at the next observations and, if the actor is updated,
//! in each of `policy_delay` rounds one for the actor and one for the temperature; `sb3` one at the
//! observations, if the actor is updated, and one at the next observations.
//!
//! It explores with samples of pi, to which noise may be added (`sac.exploration`, after
//! Stable-Baselines3's `action_noise`); it is added to the random actions of the warm-up too.
//!
//! Learning rates and the warm-up differ too: see [`config`]. Targets move in every update.

pub mod config;
mod update;

use self::config::{Config, OnlineConventions};
use self::update::{Scratch, Step};
use super::actor_critic::squashed::Units;
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work, temperature};
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Facts, Input, Interaction, Needs, Update};
use crate::behaviour::ActionNoise;
use crate::keys::{Keys, PlanError, Table};
use crate::nn::initialise::LayerFill;
use crate::random::Stream;
use rtg_datasets::sample::{RewardTransform, TransitionConfig};
use rtg_kernels::mlp::Shape;
use rtg_kernels::mlp::heads::squashed::{LogProbability, LogSigma, Squashed};

/// SAC.
pub struct Sac;

/// Trains SAC's networks.
pub type Learner = actor_critic::Learner<Sac>;

impl Method for Sac {
    type Config = Config;
    type Decision = Squashed;
    /// The actor, and the critics with their targets.
    type Networks = [Trained; 2];
    /// The temperature's logarithm.
    type Vectors = [TrainedVector; 1];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "sac",
        summary: "SAC: online, a stochastic actor, twin critics and a learned temperature",
        input: Input::Environment,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: OnlineConventions::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "policy noise";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(OnlineConventions::named(recipe))
    }

    /// A checkpoint contains the replay buffer, and one is written at every evaluation as well.
    fn general() -> Table {
        super::general(10_000, 10_000, 200)
    }

    fn resolve(config: &mut Config, facts: &Facts) -> Result<(), PlanError> {
        let code = OnlineConventions::named(facts.recipe);
        config.resolve(code, facts.steps, facts.spec.action_space.width());
        facts.fit_into("sac.capacity", config.capacity)
    }

    fn action_noise(config: &Config) -> Option<ActionNoise> {
        let of = |process| ActionNoise {
            process,
            sigma: config.exploration_noise,
        };
        config.exploration.map(of)
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        let config = &made_of.config;
        Needs::Environment(Interaction {
            transitions: TransitionConfig {
                n_step: config.n_step,
                discount: config.discount,
                reward: RewardTransform {
                    scale: config.reward_scale,
                    shift: config.reward_shift,
                },
                action_map: code(made_of).action_map(&made_of.actions),
                ..TransitionConfig::default()
            },
            normaliser: None,
            rows: config.batch_size,
            dataset_rows: 0,
            environments: config.environments,
            capacity: config.capacity,
            learning_starts: config.learning_starts.unwrap_or_default(),
            random_steps: config.learning_starts.unwrap_or_default(),
            action_noise: Self::action_noise(config),
            update_every: config.update_every,
            updates: config.updates,
        })
    }

    /// A row of the outputs has A means, then A raw log sigmas.
    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let Config { width, layers, .. } = made_of.config;
        made_of.of_observations(width, layers, 2 * made_of.actions.width())
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let mut network = |name, shape: Shape, target| {
            let parameters = initial(&shape, [LayerFill::DEFAULT; 2]);
            Trained::new(name, &shape, parameters, target)
        };
        Parts {
            networks: [
                network(ACTOR, Self::actor(made_of), false),
                network("critic", critics(made_of), true),
            ],
            vectors: [temperature::new(made_of.config.initial_alpha)],
        }
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Squashed {
        head(made_of)
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        Step::of(work, parts).run(noise, scratch)
    }

    /// The critics' loss on the batch, with the same noise every time.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let mut stream = Stream::new(0, "validation");
        let noise = &mut actor_critic::draws(&mut stream);
        let report = Step::of(work, parts).measure(noise, scratch);
        let metrics = report.metrics().iter();
        metrics.map(|metric| (metric.name, metric.value)).collect()
    }

    /// Only the smaller of the two critics has a gradient with respect to the action.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let targets = actor.all + 2.0 * critic.all;
        let to_action = critic.all + critic.to_input(a / (s + a));
        let sample_for_alpha = match code(made_of) {
            OnlineConventions::CleanRl => actor.all,
            OnlineConventions::Sb3 => 0.0,
        };
        let policy = actor.learning() + to_action + sample_for_alpha;
        let each = targets + 2.0 * critic.learning() + policy;
        2.0 * made_of.config.batch_size as f64 * each
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    made_of.critics(made_of.config.width, made_of.config.layers, 2)
}

fn code(made_of: &MadeOf<Config>) -> OnlineConventions {
    OnlineConventions::named(&made_of.recipe)
}

/// Converts actions in [-1, 1] to the critics' units: in `CleanRL`, the environment's.
fn units(made_of: &MadeOf<Config>) -> Units {
    match code(made_of) {
        OnlineConventions::CleanRl => Units::environment(&made_of.actions),
        OnlineConventions::Sb3 => Units::identity(made_of.actions.width()),
    }
}

/// The distribution of the actor's outputs.
fn head(made_of: &MadeOf<Config>) -> Squashed {
    let (log_sigma, log_probability) = match code(made_of) {
        OnlineConventions::CleanRl => (
            LogSigma::Tanh {
                low: -5.0,
                high: 2.0,
            },
            LogProbability::Scaled(units(made_of).scale().to_vec()),
        ),
        OnlineConventions::Sb3 => (
            LogSigma::Clamp {
                low: -20.0,
                high: 2.0,
            },
            LogProbability::Floored,
        ),
    };
    Squashed {
        action: made_of.actions.width(),
        log_sigma,
        log_probability,
    }
}
