//! What the training loop drives and what a checkpoint holds, for any algorithm.

use rtg_datasets::sample::{TransitionConfig, WindowConfig};
use rtg_datasets::{Dataset, Normaliser};
use rtg_envs::Spec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Computation, Error, HeldBack, Source};
use crate::device::Device;
use crate::keys::Table;
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::parallel::Division;
use crate::policy::{Mode, Policy};

/// What a learner is built from.
pub struct Setup<'a> {
    /// Whose conventions, one of [`Card::recipes`](super::Card::recipes).
    pub recipe: &'a str,
    /// The resolved plan, with the algorithm's tables.
    pub plan: &'a Table,
    /// The environment.
    pub spec: &'a Spec,
    /// The trajectories to learn from; none for an algorithm that collects its own.
    pub data: Option<&'a Dataset>,
    /// The run's seed.
    pub seed: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Threads that compute; the same number gives the same bits.
    pub threads: usize,
}

impl Setup<'_> {
    /// The trajectories to learn from.
    ///
    /// # Errors
    /// There are none.
    pub fn dataset(&self) -> Result<&Dataset, Error> {
        self.data.ok_or(Error::NoData)
    }
}

/// What a checkpoint holds of a learner.
pub struct Saved<'a> {
    /// Whose conventions.
    pub recipe: &'a str,
    /// What [`Model::made_of`] gave.
    pub made_of: &'a Value,
    /// The JSON side of [`Learner::state`]; null in a checkpoint that has only tensors.
    pub notes: &'a Value,
    /// Weights under their published names, and the tensors of [`Learner::state`].
    pub tensors: &'a TensorFile<'a>,
    /// Steps done.
    pub step: u64,
}

impl Saved<'_> {
    /// What the model is made of.
    ///
    /// # Errors
    /// Notes of another form.
    pub fn made_of<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self.made_of).map_err(|error| Error::Notes(error.to_string()))
    }

    /// The learner's counters and random streams.
    ///
    /// # Errors
    /// Notes of another form.
    pub fn notes<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self.notes).map_err(|error| Error::Notes(error.to_string()))
    }

    /// A float32 tensor of so many numbers.
    ///
    /// # Errors
    /// No such tensor, or one of another size or type.
    pub fn floats(&self, name: &str, count: usize) -> Result<Vec<f32>, Error> {
        let values = self.tensors.tensor(name).ok();
        let values = values.map(|view| crate::nn::state_dict::floats(view.data()));
        values
            .filter(|values| values.len() == count)
            .ok_or_else(|| StateDictError::Missing(name.to_owned()).into())
    }
}

/// A learner's memory beside its model's weights: all that an exact continuation needs.
#[derive(Default)]
pub struct State {
    /// Tensors by name; names start with `rtg.`.
    pub tensors: Vec<Entry>,
    /// Counters and random streams.
    pub notes: Value,
}

/// The batches that a learner wants.
pub enum Needs<'a> {
    /// Windows of a dataset.
    Windows {
        /// How they are cut.
        config: WindowConfig,
        /// Observations.
        normaliser: &'a Normaliser,
        /// Windows in a batch.
        rows: usize,
    },
    /// Transitions of a dataset.
    Transitions {
        /// How they are made.
        config: TransitionConfig,
        /// Observations; none leaves them as they are.
        normaliser: Option<&'a Normaliser>,
        /// Transitions in a batch.
        rows: usize,
    },
    /// Transitions that the learner's own policy collects, kept in a replay buffer.
    Environment(Interaction),
    /// The newest steps of the learner's own policy, each learned from once.
    Fresh(Fresh),
}

/// How an on-policy algorithm acts and learns in turns. [`Learner::update`] is called once for each
/// collection, and what was collected is thrown away behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Environments that step in turns.
    pub environments: usize,
    /// Steps in each of them between two updates.
    pub steps: usize,
}

/// How an online algorithm acts and learns in turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// How transitions are made.
    pub transitions: TransitionConfig,
    /// Observations; none leaves them as they are.
    pub normaliser: Option<Normaliser>,
    /// Transitions in a batch.
    pub rows: usize,
    /// Environments that step in turns.
    pub environments: usize,
    /// Steps that the replay buffer holds.
    pub capacity: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Environment steps, the first ones, with actions drawn from the whole action space.
    pub random_steps: u64,
    /// Environment steps between two rounds of updates.
    pub update_every: u64,
    /// Updates in a round.
    pub updates: u64,
}

impl Needs<'_> {
    /// Rows in a batch.
    pub fn rows(&self) -> usize {
        match self {
            Self::Windows { rows, .. } | Self::Transitions { rows, .. } => *rows,
            Self::Environment(interaction) => interaction.rows,
            Self::Fresh(fresh) => fresh.environments * fresh.steps,
        }
    }
}

/// A number that an update reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, for instance `critic_loss`.
    pub name: &'static str,
    /// Its value in this update.
    pub value: f64,
    /// Whether a point of a curve is the mean over the updates since the point before, rather than
    /// the last value.
    pub averaged: bool,
}

/// What one update reports, the most important number first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update(Vec<Metric>);

impl Update {
    /// Adds a number whose curve shows means.
    #[must_use]
    pub fn mean(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Metric {
            name,
            value,
            averaged: true,
        });
        self
    }

    /// Adds a number whose curve shows the last value.
    #[must_use]
    pub fn last(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Metric {
            name,
            value,
            averaged: false,
        });
        self
    }

    /// All numbers.
    pub fn metrics(&self) -> &[Metric] {
        &self.0
    }

    /// The number called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        let found = self.0.iter().find(|metric| metric.name == name);
        found.map(|metric| metric.value)
    }
}

/// A trained (or new) policy of some algorithm.
pub trait Model {
    /// A policy for up to `rows` episodes at once. Its greedy actions have the same bits for any
    /// number of rows and threads.
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy>;

    /// All that makes this model again, but its weights.
    fn made_of(&self) -> Value;

    /// The trained weights under their published names.
    fn weights(&self) -> Vec<Entry>;

    /// What its greedy policy computes, to write it in other programs' formats; none where nobody has
    /// said it yet.
    fn computation(&self) -> Option<Computation> {
        None
    }
}

/// Trains a model.
pub trait Learner {
    /// The batches it wants.
    fn needs(&self) -> Needs<'_>;

    /// The model as it stands; on a GPU, as of the last [`Learner::synchronise`].
    fn model(&self) -> &dyn Model;

    /// All weights under their published names, with whatever else the published code's strict
    /// loader asks for.
    fn exported(&self) -> Vec<Entry> {
        self.model().weights()
    }

    /// Replaces the weights by those of a file with published names.
    ///
    /// # Errors
    /// Weights of another model.
    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError>;

    /// So many steps of an online run have been taken: told before the environments step and before
    /// the updates that follow, for what goes by steps rather than updates.
    fn at_step(&mut self, _steps: u64) {}

    /// Learns from the next batches: at least one update, at most `most`.
    ///
    /// # Errors
    /// What a GPU's driver says.
    fn update(&mut self, source: &mut Source, most: u64) -> Result<Vec<Update>, Error>;

    /// Numbers on a batch of held-back data, by name, without learning from it.
    fn validate(&mut self, batch: &HeldBack) -> Vec<(&'static str, f64)>;

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])>;

    /// Signs of trouble on the last batch, by name; nothing where there is none to look at.
    fn health(&mut self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Begins anew in an environment with what it has learned: what it draws and counts starts
    /// again, from this seed. Weights, targets and moments stay.
    ///
    /// # Errors
    /// A learner that does not explore, or does not learn from single transitions.
    fn go_online(&mut self, _seed: u64) -> Result<(), Error> {
        Err(Error::StaysOffline)
    }

    /// Its memory, for a checkpoint.
    fn state(&self) -> State;

    /// Floating point operations of a mean update that no exact computation can leave out; none
    /// where they are not counted.
    fn operations(&self) -> Option<f64> {
        None
    }

    /// Cuts each batch into parts from now on, and computes those of this process: losses,
    /// gradients and weights stay those of the whole batch, the same on every process. Called
    /// before the first update. A learner of small networks divides its
    /// [pool](crate::kernels::mlp::Pool::divide) and is done.
    ///
    /// # Errors
    /// A learner that computes whole batches only.
    fn divide(&mut self, _division: Division) -> Result<(), Error> {
        let what = "this algorithm".to_owned();
        Err(Error::Undivided { what })
    }

    /// Computes on a device from now on, where it can. Gives the device's name.
    ///
    /// # Errors
    /// A GPU that was asked for and cannot be used.
    fn use_device(&mut self, _device: Device, _source: &Source) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Brings model and state up to what a device has done.
    ///
    /// # Errors
    /// What a GPU's driver says.
    fn synchronise(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
