//! IQL, implicit Q-learning (Kostrikov, Nair and Levine 2021): values of the best actions in the
//! data, without evaluating a critic at any other action.
//!
//! Twin critics Q with targets Q', a value function V and an actor pi are perceptrons. With t the
//! expectile and A = `min_j` `Q_j'(s, a)` - V(s), an update computes
//!
//! ```text
//! L_V  = mean |t - 1[A < 0]| A^2
//! y    = r + gamma (1 - terminated) V(s')
//! L_Q  = c (mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2)
//! w    = min(exp(beta A), 100)
//! L_pi = mean w (-log pi(a | s))         or, of a deterministic actor, mean w |pi(s) - a|^2
//! ```
//!
//! A Gaussian actor has the mean tanh(network) and standard deviations that are free parameters.
//! The two published codes differ in more than default values:
//!
//! | | `corl` | `paper` |
//! |---|---|---|
//! | order | V, critics, actor | V, actor, critics |
//! | V in critics and actor | from before the update | after its step |
//! | c | 1/2 | 1 |
//! | initial weights | PyTorch's | orthogonal with gain sqrt 2, biases 0 |
//!
//! After CORL's `algorithms/offline/iql.py` and `ikostrikov/implicit_q_learning`. Only the batch
//! and, with `actor_dropout`, the dropout masks are drawn at random in an update.

pub mod config;
mod update;

use self::config::{ActorKind, Config, Conventions};
use self::update::{Scratch, Step};
use super::actor_critic::gaussian::{GaussianDecision, LOG_SIGMA};
use super::actor_critic::update::beside_data;
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::critic::{self, Compute};
use super::networks::{self, Products, Trained, mean};
use super::vector::TrainedVector;
use super::{Card, Error, Facts, Input, Needs, Saved, Update};
use crate::keys::{Keys, PlanError};
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill};
use crate::random::derive;
use rtg_kernels::mlp::heads::gaussian::{Bound, Gaussian};
use rtg_kernels::mlp::{Network, Shape};

/// IQL.
pub struct Iql;

/// The name of V's weights in files.
const VALUE: &str = "value";

/// Trains IQL's networks.
pub type Learner = actor_critic::Learner<Iql>;

impl Method for Iql {
    type Config = Config;
    type Decision = GaussianDecision;
    /// Actor, critics, value function.
    type Networks = [Trained; 3];
    /// A Gaussian actor's log standard deviations.
    type Vectors = Vec<TrainedVector>;
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "iql",
        summary: "IQL: an expectile of the data's values, and cloning weighted by advantage",
        input: Input::Transitions,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: Conventions::RECIPES,
        former_tables: &[],
    };
    /// No noise is drawn: dropout masks follow from the run's seed and the number of updates.
    const NOISE: &'static str = "";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(Conventions::named(recipe))
    }

    fn resolve(config: &mut Config, facts: &Facts) -> Result<(), PlanError> {
        if let Some(data) = facts.data {
            config.reward_scale = Some(config.reward_scale_for(data)?);
        }
        Ok(())
    }

    fn normalises(config: &Config) -> bool {
        config.normalise
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        let Config {
            action_clip,
            reward_scale,
            ..
        } = made_of.config;
        actor_critic::offline!(made_of, reward_scale.unwrap_or(1.0), action_clip,)
    }

    fn actor(made_of: &MadeOf<Config>) -> Shape {
        Shape {
            dropout: made_of.config.actor_dropout as f32,
            ..of_observations(made_of, made_of.actions.width())
        }
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let fill = match made_of.config.conventions {
            Conventions::Corl | Conventions::D3rlpy => LayerFill::DEFAULT,
            Conventions::Paper => LayerFill {
                weight: WeightFill::Orthogonal(std::f32::consts::SQRT_2),
                bias: BiasFill::Constant(0.0),
            },
        };
        let mut network = |name, shape: Shape, target| {
            Trained::new(name, &shape, initial(&shape, [fill; 2]), target)
        };
        let vectors = Self::policy_vectors(made_of).into_iter();
        Parts {
            networks: [
                network(ACTOR, Self::actor(made_of), false),
                network("critic", critics(made_of), true),
                network(VALUE, of_observations(made_of, 1), false),
            ],
            vectors: vectors
                .map(|(name, len)| TrainedVector::new(name, vec![0.0; len]))
                .collect(),
        }
    }

    fn policy_vectors(made_of: &MadeOf<Config>) -> Vec<(&'static str, usize)> {
        let log_sigma = gaussian(&made_of.config).map(|_| (LOG_SIGMA, made_of.actions.width()));
        log_sigma.into_iter().collect()
    }

    fn decision(made_of: &MadeOf<Config>, vectors: &[Vec<f32>]) -> GaussianDecision {
        GaussianDecision {
            squash: true,
            noise: gaussian(&made_of.config).zip(vectors.first().cloned()),
        }
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        let config = work.config();
        let done = work.number - 1;
        let progress = done as f64 / work.steps.max(1) as f64;
        let key = crate::random::mix(derive(work.seed, "dropout").wrapping_add(done));
        let step = Step {
            work,
            rate: config.actor_learning_rate * config.actor_schedule.factor(progress),
            dropout_key: (config.actor_dropout > 0.0).then_some(key),
        };
        step.run(parts, scratch)
    }

    /// The actor's distance from the data's actions, and the mean values of critics and value
    /// function.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let [actor, critics, value] = &parts.networks;
        let decision = GaussianDecision {
            squash: true,
            noise: None,
        };
        let [error, q, _] = beside_data(work, [actor, critics], &decision);
        let mut values = vec![0.0; work.batch.rows];
        let mut value = value.network.lock();
        value.infer(work.pool, &[&work.batch.observations], &mut values);
        vec![("squared_error", error), ("q", q), ("value", mean(&values))]
    }

    /// V(s).
    fn values(made_of: &MadeOf<Config>, saved: &Saved) -> Result<Option<Box<Compute>>, Error> {
        let shape = of_observations(made_of, 1);
        let parameters = networks::read(VALUE, &shape, saved.tensors)?;
        Ok(Some(critic::of_network(Network::new(&shape, parameters))))
    }

    /// The first layers' inputs need no gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let value = Products::of(&of_observations(made_of, 1));
        let again = match made_of.config.conventions {
            Conventions::Corl => 0.0,
            // V(s) again, after its step.
            Conventions::Paper | Conventions::D3rlpy => value.all,
        };
        let targets = 2.0 * critic.all + value.all + again;
        let learning = 2.0 * critic.learning() + value.learning() + actor.learning();
        2.0 * made_of.config.batch_size as f64 * (targets + learning)
    }
}

fn of_observations(made_of: &MadeOf<Config>, outputs: usize) -> Shape {
    let Config { width, layers, .. } = made_of.config;
    made_of.of_observations(width, layers, outputs)
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    made_of.critics(made_of.config.width, made_of.config.layers, 2)
}

/// A Gaussian actor's distribution.
fn gaussian(config: &Config) -> Option<Gaussian> {
    (config.actor == ActorKind::Gaussian).then_some(Gaussian {
        low: config.log_sigma_low as f32,
        high: 2.0,
        bound: match config.conventions {
            Conventions::Corl | Conventions::Paper => Bound::Clamp,
            Conventions::D3rlpy => Bound::Sigmoid,
        },
    })
}
