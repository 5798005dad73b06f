//! The common part of actor-critics. Each is a [`Method`]: its keys, networks, update and metrics;
//! building, batches, checkpoints, resuming and acting are here.
//!
//! `learner` trains a method, `model` acts, `entry` is its entry in the table of algorithms.
//! `update` has the steps that most updates consist of; `deterministic`, `gaussian`, `squashed` and
//! `categorical` those of each kind of actor, `temperature` the weight of its entropy.

pub(super) mod categorical;
pub(super) mod deterministic;
mod entry;
pub(super) mod gaussian;
mod learner;
mod model;
pub(super) mod squashed;
pub(super) mod temperature;
pub(super) mod update;

use rtg_datasets::sample::Transitions;
use rtg_envs::Space;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::entry::ActorCriticEntry;
pub use self::learner::Learner;
pub(super) use self::learner::draws;
pub(super) use self::model::ACTOR;
pub use self::model::{MadeOf, Model};
use super::action_codec::BoxUnits;
use super::actor_policy::Decision;
use super::critic::Compute;
use super::networks::Trained;
use super::vector::TrainedVector;
use super::{ActionCodec, Card, Error, Facts, Needs, Saved, Update, general};
use crate::behaviour::ActionNoise;
use crate::keys::{Keys, PlanError, Table, Value};
use crate::nn::initialise::LayerFill;
use rtg_kernels::mlp::{Pool, Shape};

/// An actor-critic algorithm.
pub trait Method: Sized + 'static {
    /// Its keys.
    type Config: Clone + Serialize + DeserializeOwned + Send + Sync;
    /// How the actor's outputs become actions.
    type Decision: Decision + 'static;
    /// Its networks, the actor first.
    type Networks: AsRef<[Trained]> + AsMut<[Trained]> + Send;
    /// Learned vectors that belong to no network; those that acting needs come first.
    type Vectors: AsRef<[TrainedVector]> + AsMut<[TrainedVector]> + Send;
    /// Scratch memory of an update, kept for the next one.
    type Scratch: Default + Send;

    /// Its properties.
    const CARD: Card;
    /// The name of the random stream of updates.
    const NOISE: &'static str;

    /// The declaration of its keys.
    fn keys() -> Keys;

    /// How a box of actions is represented in the networks.
    fn units(_recipe: &str) -> BoxUnits {
        BoxUnits::Unit
    }

    /// Its keys with a recipe's values.
    fn config(recipe: &str) -> Self::Config;

    /// General keys of a plan whose default it changes.
    fn general() -> Table {
        let dataset = Value::String("builtin/pendulum/mixed".to_owned());
        let mut plan = general(10_000, 5000, 100);
        plan.insert("dataset".to_owned(), dataset);
        plan
    }

    /// Fills in values that follow from the data and the environment.
    ///
    /// # Errors
    /// A value that does not fit them.
    fn resolve(_config: &mut Self::Config, _facts: &Facts) -> Result<(), PlanError> {
        Ok(())
    }

    /// Whether observations are normalised by the data's mean and standard deviation.
    fn normalises(_config: &Self::Config) -> bool {
        false
    }

    /// The part of it that needs whole batches, so that batches cannot be divided, if there is one.
    fn whole_batches(_config: &Self::Config) -> Option<&'static str> {
        None
    }

    /// Noise that is added to its policy's exploring actions, if there is any.
    fn action_noise(_config: &Self::Config) -> Option<ActionNoise> {
        None
    }

    /// The batches that it learns from.
    fn needs(made_of: &MadeOf<Self::Config>) -> Needs<'_>;

    /// The sizes of the actor.
    fn actor(made_of: &MadeOf<Self::Config>) -> Shape;

    /// Its networks and vectors, before the first update.
    fn parts(made_of: &MadeOf<Self::Config>, initial: &mut Initial<'_>) -> Parts<Self>;

    /// Names and lengths of the vectors that acting needs.
    fn policy_vectors(_made_of: &MadeOf<Self::Config>) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// How the actor's outputs become actions, with the vectors that acting needs.
    fn decision(made_of: &MadeOf<Self::Config>, vectors: &[Vec<f32>]) -> Self::Decision;

    /// One update.
    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        noise: &mut Noise<'_>,
        scratch: &mut Self::Scratch,
    ) -> Update;

    /// Metrics on a batch of held-back data.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        scratch: &mut Self::Scratch,
    ) -> Vec<(&'static str, f64)>;

    /// The value of states, from the networks of a checkpoint; none for a method whose values are
    /// not those of a policy that stays near the data.
    ///
    /// # Errors
    /// A checkpoint without those networks.
    fn values(
        _made_of: &MadeOf<Self::Config>,
        _saved: &Saved,
    ) -> Result<Option<Box<Compute>>, Error> {
        Ok(None)
    }

    /// Floating-point operations of an average update, counting only products with weights, which
    /// every exact computation needs.
    fn operations(made_of: &MadeOf<Self::Config>) -> f64;
}

/// The representation of a space's actions in the networks of a method.
fn codec<M: Method>(recipe: &str, space: &Space) -> Result<ActionCodec, Error> {
    let name = M::CARD.name;
    if M::CARD.discrete {
        ActionCodec::discrete(name, space)
    } else {
        ActionCodec::continuous(name, M::units(recipe), space)
    }
}

/// What a method learns.
pub struct Parts<M: Method> {
    pub(super) networks: M::Networks,
    pub(super) vectors: M::Vectors,
}

/// Initial parameters of a network, from the distributions of its hidden layers and its last one.
pub type Initial<'a> = dyn FnMut(&Shape, [LayerFill; 2]) -> Vec<f32> + 'a;

/// Fills arrays with random numbers, in the order of the calls.
pub type Noise<'a> = dyn FnMut(Draw, &mut [f32]) + Send + 'a;

/// The distribution of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// N(0, 1).
    Normal,
    /// U(-1, 1).
    Uniform,
}

/// An update's constants and its batch.
pub struct Work<'a, M: Method> {
    pub(super) made_of: &'a MadeOf<M::Config>,
    pub(super) pool: &'a Pool,
    pub(super) batch: &'a Transitions,
    /// The number of the update, from 1.
    pub(super) number: u64,
    /// Updates of the whole run.
    pub(super) steps: u64,
    /// The run's seed.
    pub(super) seed: u64,
}

impl<'a, M: Method> Work<'a, M> {
    pub(super) fn config(&self) -> &'a M::Config {
        &self.made_of.config
    }
}

/// The transitions of an offline method, built from the keys that all of these methods have.
macro_rules! offline {
    ($made_of:expr, $reward_scale:expr, $($more:tt)*) => {{
        let made_of = $made_of;
        let config = &made_of.config;
        $crate::algorithms::Needs::Transitions {
            config: rtg_datasets::sample::TransitionConfig {
                truncated_last: config.truncated_last,
                n_step: config.n_step,
                discount: config.discount,
                reward: rtg_datasets::sample::RewardTransform {
                    scale: $reward_scale,
                    shift: config.reward_shift,
                },
                action_map: made_of.actions.action_map(),
                $($more)*
                ..rtg_datasets::sample::TransitionConfig::default()
            },
            normaliser: made_of.normaliser.as_ref(),
            rows: config.batch_size,
        }
    }};
}
pub(super) use offline;
