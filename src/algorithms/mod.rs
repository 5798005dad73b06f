//! Learning algorithms. Each is a folder here and an entry of [`TABLE`]; no other code names it.
//!
//! An [`Algorithm`] declares its properties ([`Card`]) and its tables in a plan, and builds its
//! [`Learner`]. A learner takes batches from a [`Source`] and returns named metrics; its state is
//! any number of named tensors and a JSON value. Its [`Model`] is described in a checkpoint, and
//! acts. Training loop, checkpoints, evaluation and reports use these traits only.

pub mod action_codec;
pub mod actor_critic;
mod actor_policy;
mod adam;
pub mod awac;
pub mod bc;
mod cloning;
mod computation;
mod conventions;
pub mod cql;
mod critic;
pub mod decision_transformer;
pub mod discrete_awac;
pub mod discrete_bcq;
pub mod discrete_cql;
pub mod discrete_iql;
pub mod dqn;
pub mod edac;
mod error;
pub mod fitted_q;
pub mod iql;
pub mod labels;
mod learner;
pub mod logged_policy;
pub(crate) mod memory;
mod moments;
mod networks;
pub mod ppo;
mod published;
pub mod q_learning;
pub mod rebrac;
pub mod rvs;
pub mod sac;
mod source;
mod table;
pub mod td3;
pub mod td3_bc;
mod trajectories;
mod vector;

use std::fmt;
use std::ops::Deref;

use rtg_datasets::Dataset;
use rtg_envs::Spec;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::device::Device;
use crate::keys::{KeyError, Keys, PlanError, Table, Value};
use crate::policy::{Acting, ActingMode};

pub use self::action_codec::ActionCodec;
pub use self::computation::{Computation, Perceptron, Rule, Sequence};
pub use self::critic::Critic;
pub use self::error::Error;
pub use self::learner::{
    Fresh, Interaction, Learner, LearnerState, Metric, Model, Needs, Saved, Setup, Update,
};
pub use self::published::PublishedCode;
pub use self::source::{DatasetSource, ReplaySource, Source, ValidationBatch};
pub use self::table::TABLE;
pub use self::trajectories::{FreshInfo, FreshSource, Trajectories};

/// What an algorithm learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Windows of consecutive steps of a dataset.
    Windows,
    /// Single transitions of a dataset.
    Transitions,
    /// Its own steps in an environment; a dataset may come first.
    Environment,
}

/// The properties of an algorithm, known before it is built.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties, each read by its name"
)]
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Card {
    /// Its name in plans, on the command line and in reports.
    pub name: &'static str,
    /// A description in one line.
    pub summary: &'static str,
    /// What it learns from.
    pub input: Input,
    /// Whether it supports boxes with finite bounds as actions.
    pub continuous: bool,
    /// Whether it supports discrete actions.
    pub discrete: bool,
    /// Whether its policy is conditioned on a target return, unless a plan says otherwise
    /// ([`Algorithm::takes_target`]).
    pub takes_target: bool,
    /// Whether it can compute on a GPU.
    pub cuda: bool,
    /// Named sets of defaults and conventions, the default first.
    pub recipes: &'static [&'static str],
    /// Tables of a plan that have been renamed: (old name, new name).
    #[serde(skip)]
    pub former_tables: &'static [(&'static str, &'static str)],
}

/// The data and the environment, from which default values of a plan follow.
pub struct Facts<'a> {
    /// The environment.
    pub spec: &'a Spec,
    /// The trajectories to learn from; none for an algorithm that collects its own.
    pub data: Option<&'a Dataset>,
    /// The recipe, one of [`Card::recipes`].
    pub recipe: &'a str,
    /// Steps of the run.
    pub steps: u64,
}

impl Facts<'_> {
    /// Refuses a replay buffer that is smaller than the dataset.
    ///
    /// # Errors
    /// The key that is too small.
    pub fn fit_into(&self, key: &str, capacity: usize) -> Result<(), PlanError> {
        match self.data {
            Some(data) if data.steps() > capacity => {
                let expected = format!("at least {}, the steps of the dataset", data.steps());
                Err(KeyError::new(key, capacity, expected).into())
            }
            _ => Ok(()),
        }
    }
}

/// The key of the ways of acting.
const ACTING: &str = "evaluation.acting";

/// The key of the device that evaluations act on.
const ACTING_DEVICE: &str = "evaluation.device";

/// One algorithm: an entry of [`TABLE`].
pub trait Algorithm: Sync {
    /// Its properties.
    fn card(&self) -> Card;

    /// Its tables in a plan.
    fn tables(&self) -> Vec<Keys>;

    /// Its tables with the values of a recipe, and any general keys of a plan whose default it
    /// changes.
    ///
    /// # Errors
    /// Values that a plan cannot hold.
    fn defaults(&self, recipe: &str) -> Result<Table, PlanError>;

    /// Refuses invalid combinations of values, with this recipe.
    ///
    /// # Errors
    /// The first such key.
    fn check(&self, _recipe: &str, _plan: &Table, _on_gpu: bool) -> Result<(), PlanError> {
        Ok(())
    }

    /// Refuses a way of acting that the policy of a plan with these tables does not have. All have
    /// [`ActingMode::Exact`] on the CPU.
    ///
    /// # Errors
    /// Names the key.
    fn check_acting(&self, _plan: &Table, acting: Acting) -> Result<(), PlanError> {
        let name = self.card().name;
        if acting.mode != ActingMode::Exact {
            let expected = format!("exact with algorithm = \"{name}\"");
            return Err(KeyError::new(ACTING, acting.mode.name(), expected).into());
        }
        if let Device::Cuda(_) = acting.device {
            let expected = format!("cpu: {name} acts on no other device");
            return Err(KeyError::new(ACTING_DEVICE, acting.device, expected).into());
        }
        Ok(())
    }

    /// Fills in defaults that follow from the data, so that the plan is complete.
    ///
    /// # Errors
    /// A value that does not fit the data.
    fn resolve(&self, _plan: &mut Table, _facts: &Facts) -> Result<(), PlanError> {
        Ok(())
    }

    /// Whether the policy of a plan with these tables is conditioned on a target return.
    fn takes_target(&self, _plan: &Table) -> bool {
        self.card().takes_target
    }

    /// The published target returns for an environment, the most important first.
    fn targets(&self, _env_id: &str) -> Option<Vec<f64>> {
        None
    }

    /// A lower bound of the float32 numbers stored in training, so that a plan that does not fit
    /// into memory is refused before anything is allocated.
    fn numbers(&self, setup: &Setup) -> f64 {
        memory::of_perceptrons(self, setup)
    }

    /// A learner: a new one, or that of a checkpoint.
    ///
    /// # Errors
    /// Data that it cannot learn from, or a checkpoint that does not fit.
    fn build(&self, setup: &Setup, saved: Option<&Saved>) -> Result<Box<dyn Learner>, Error>;

    /// The model of a checkpoint, for acting.
    ///
    /// # Errors
    /// A checkpoint without such a model.
    fn model(&self, saved: &Saved) -> Result<Box<dyn Model>, Error>;

    /// The value function of a checkpoint; `plan` is that of its run. None if it learns no values
    /// of states under a policy that improves on the data's.
    ///
    /// # Errors
    /// A checkpoint without such networks.
    fn critic(&self, _saved: &Saved, _plan: &Table) -> Result<Option<Critic>, Error> {
        Ok(None)
    }
}

/// An algorithm of [`TABLE`], by its name in files.
#[derive(Clone, Copy)]
pub struct AlgorithmRef(&'static dyn Algorithm);

impl AlgorithmRef {
    /// The algorithm called `name`.
    ///
    /// # Errors
    /// An unknown name; the error lists all names.
    pub fn named(name: &str) -> Result<Self, KeyError> {
        let found = TABLE.iter().find(|entry| entry.card().name == name);
        found.map(|entry| Self(*entry)).ok_or_else(|| {
            let names: Vec<_> = TABLE.iter().map(|entry| entry.card().name).collect();
            KeyError::new("algorithm", name, names.join(" or "))
        })
    }

    /// All algorithms.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| Self(*entry))
    }
}

impl Default for AlgorithmRef {
    fn default() -> Self {
        Self(TABLE[0])
    }
}

impl Deref for AlgorithmRef {
    type Target = dyn Algorithm;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl PartialEq for AlgorithmRef {
    fn eq(&self, other: &Self) -> bool {
        self.card().name == other.card().name
    }
}

impl fmt::Debug for AlgorithmRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.card().name)
    }
}

impl Serialize for AlgorithmRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.card().name)
    }
}

impl<'de> Deserialize<'de> for AlgorithmRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).map_err(serde::de::Error::custom)
    }
}

/// General keys of a plan: steps, and the intervals of checkpoints and logging.
fn general(steps: i64, checkpoint_every: i64, log_every: i64) -> Table {
    let logging = [("every", log_every), ("histograms_every", 10 * log_every)];
    let table = |numbers: [(&str, i64); 2]| -> Table {
        let entries = numbers.map(|(key, number)| (key.to_owned(), Value::Integer(number)));
        entries.into_iter().collect()
    };
    let mut plan = table([("steps", steps), ("checkpoint_every", checkpoint_every)]);
    plan.insert("logging".to_owned(), Value::Table(table(logging)));
    plan
}
