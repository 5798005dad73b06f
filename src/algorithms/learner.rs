//! The interface of any algorithm's learner: what the training loop calls and what a checkpoint
//! contains.

use rtg_datasets::sample::{TransitionConfig, WindowConfig};
use rtg_datasets::{Dataset, Normaliser};
use rtg_envs::Spec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Computation, Error, Source, ValidationBatch};
use crate::behaviour::ActionNoise;
use crate::device::{ChosenDevice, Device};
use crate::keys::Table;
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::parallel::Division;
use crate::policy::{Acting, ActingMode, Mode, Policy};
use rtg_kernels::device;

/// The inputs of a new learner.
pub struct Setup<'a> {
    /// The recipe, one of [`Card::recipes`](super::Card::recipes).
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
    /// Number of threads; the same number gives the same bits.
    pub threads: usize,
}

impl Setup<'_> {
    /// The trajectories to learn from.
    ///
    /// # Errors
    /// There is no dataset.
    pub fn dataset(&self) -> Result<&Dataset, Error> {
        self.data.ok_or(Error::NoData)
    }
}

/// A learner's part of a checkpoint.
pub struct Saved<'a> {
    /// The recipe.
    pub recipe: &'a str,
    /// The result of [`Model::made_of`].
    pub made_of: &'a Value,
    /// The JSON part of [`Learner::state`]; null in a checkpoint that has only tensors.
    pub notes: &'a Value,
    /// Weights under their published names, and the tensors of [`Learner::state`].
    pub tensors: &'a TensorFile<'a>,
    /// Steps done.
    pub step: u64,
}

impl Saved<'_> {
    /// The model's description.
    ///
    /// # Errors
    /// Metadata of another form.
    pub fn made_of<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self.made_of).map_err(|error| Error::Notes(error.to_string()))
    }

    /// The learner's counters and random streams.
    ///
    /// # Errors
    /// Metadata of another form.
    pub fn notes<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self.notes).map_err(|error| Error::Notes(error.to_string()))
    }

    /// A float32 tensor of this many numbers.
    ///
    /// # Errors
    /// The tensor is missing, or has another size or type.
    pub fn floats(&self, name: &str, count: usize) -> Result<Vec<f32>, Error> {
        let values = self.tensors.tensor(name).ok();
        let values = values.map(|view| crate::nn::state_dict::floats(view.data()));
        values
            .filter(|values| values.len() == count)
            .ok_or_else(|| StateDictError::Missing(name.to_owned()).into())
    }
}

/// A learner's state besides its model's weights: all that an exact continuation needs.
#[derive(Default)]
pub struct LearnerState {
    /// Tensors by name; names start with `rtg.`.
    pub tensors: Vec<Entry>,
    /// Counters and random streams.
    pub notes: Value,
}

/// The batches that a learner needs.
pub enum Needs<'a> {
    /// Windows of a dataset.
    Windows {
        /// How they are sampled.
        config: WindowConfig,
        /// Normaliser of observations.
        normaliser: &'a Normaliser,
        /// Windows in a batch.
        rows: usize,
    },
    /// Transitions of a dataset.
    Transitions {
        /// How they are built.
        config: TransitionConfig,
        /// Normaliser of observations, if any.
        normaliser: Option<&'a Normaliser>,
        /// Transitions in a batch.
        rows: usize,
    },
    /// Transitions that the learner's own policy collects, kept in a replay buffer.
    Environment(Interaction),
    /// The newest steps of the learner's own policy, each learned from once.
    Fresh(Fresh),
}

/// How an on-policy algorithm alternates between acting and learning. [`Learner::update`] is called
/// once for each collection, which is discarded afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Environments that are stepped together.
    pub environments: usize,
    /// Steps in each of them between two updates.
    pub steps: usize,
}

/// How an off-policy algorithm alternates between acting and learning.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// How transitions are built.
    pub transitions: TransitionConfig,
    /// Normaliser of observations, if any.
    pub normaliser: Option<Normaliser>,
    /// Transitions in a batch.
    pub rows: usize,
    /// The number of them that are drawn from the dataset, fewer than all; 0: the dataset is in the
    /// buffer.
    pub dataset_rows: usize,
    /// Environments that are stepped together.
    pub environments: usize,
    /// Capacity of the replay buffer, in steps.
    pub capacity: usize,
    /// Environment steps before the first update.
    pub learning_starts: u64,
    /// Number of first environment steps with actions drawn uniformly from the action space.
    pub random_steps: u64,
    /// Noise that is added to those actions too, by a learner whose policy explores with it.
    pub action_noise: Option<ActionNoise>,
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

/// A metric of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, for instance `critic_loss`.
    pub name: &'static str,
    /// Its value in this update.
    pub value: f64,
    /// Whether a curve shows the mean over the updates since its last point, rather than the last
    /// value.
    pub averaged: bool,
}

/// The metrics of one update, the most important first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update(Vec<Metric>);

impl Update {
    /// Adds a metric whose curve shows means.
    #[must_use]
    pub fn mean(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Metric {
            name,
            value,
            averaged: true,
        });
        self
    }

    /// Adds a metric whose curve shows the last value.
    #[must_use]
    pub fn last(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Metric {
            name,
            value,
            averaged: false,
        });
        self
    }

    /// All metrics.
    pub fn metrics(&self) -> &[Metric] {
        &self.0
    }

    /// The metric called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        let found = self.0.iter().find(|metric| metric.name == name);
        found.map(|metric| metric.value)
    }
}

/// A policy of some algorithm, trained or new.
pub trait Model {
    /// A policy for up to `rows` episodes at once. Its greedy actions have the same bits for any
    /// number of rows and threads, and what the learner does later does not change them.
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy>;

    /// A greedy policy that acts in a given way, which
    /// [`Algorithm::check_acting`](super::Algorithm::check_acting) accepts for its plan.
    fn greedy(&self, _acting: ActingMode, rows: usize, threads: usize) -> Box<dyn Policy> {
        self.policy(Mode::Greedy, rows, threads)
    }

    /// A greedy policy that computes on a GPU and acts exactly.
    ///
    /// # Errors
    /// A model without kernels for a GPU, or an error of the driver.
    fn on_gpu(&self, _ordinal: usize, _rows: usize) -> Result<Box<dyn Policy>, Error> {
        Err(device::Error::Model.into())
    }

    /// A greedy policy that acts as given.
    ///
    /// # Errors
    /// As [`Model::on_gpu`].
    fn acting(
        &self,
        acting: Acting,
        rows: usize,
        threads: usize,
    ) -> Result<Box<dyn Policy>, Error> {
        match acting.device {
            Device::Cuda(ordinal) => self.on_gpu(ordinal, rows),
            Device::Cpu | Device::Auto => Ok(self.greedy(acting.mode, rows, threads)),
        }
    }

    /// The same model, whose greedy actions follow its target by this factor; none if it has
    /// learned no actions without a target.
    fn guided(&self, _guidance: f32) -> Option<Box<dyn Model>> {
        None
    }

    /// The same model, which acts for a larger of the returns that it predicts the larger this is;
    /// none if it predicts no distribution of them.
    fn optimistic(&self, _optimism: f32) -> Option<Box<dyn Model>> {
        None
    }

    /// A description from which this model can be rebuilt, except for its weights.
    fn made_of(&self) -> Value;

    /// The trained weights under their published names.
    fn weights(&self) -> Vec<Entry>;

    /// The computation of its greedy policy, for export to other formats; none if that is not
    /// supported.
    fn computation(&self) -> Option<Computation> {
        None
    }
}

/// Trains a model.
pub trait Learner {
    /// The batches that it needs.
    fn needs(&self) -> Needs<'_>;

    /// The current model; on a GPU, as of the last [`Learner::synchronise`].
    fn model(&self) -> &dyn Model;

    /// All weights under their published names, with whatever else the published code's strict
    /// loader needs.
    fn exported(&self) -> Vec<Entry> {
        self.model().weights()
    }

    /// Replaces the weights by those of a file with published names.
    ///
    /// # Errors
    /// Weights of another model.
    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError>;

    /// Reports the number of steps taken in an online run, before the environments step and before
    /// the updates that follow, for schedules in steps rather than updates.
    fn at_step(&mut self, _steps: u64) {}

    /// Learns from the next batches: at least one update, at most `most` updates.
    ///
    /// # Errors
    /// An error of the GPU's driver.
    fn update(&mut self, source: &mut Source, most: u64) -> Result<Vec<Update>, Error>;

    /// Metrics on a batch of held-back data, by name, without learning from it.
    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)>;

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])>;

    /// Health metrics on the last batch, by name; none if the learner has none.
    fn health(&mut self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Prepares an offline learner for an environment: random streams and counters restart, from
    /// this seed. Weights, targets and moments are kept.
    ///
    /// # Errors
    /// A learner that does not explore, or does not learn from single transitions.
    fn go_online(&mut self, _seed: u64) -> Result<(), Error> {
        Err(Error::StaysOffline)
    }

    /// Its state, for a checkpoint.
    fn state(&self) -> LearnerState;

    /// Floating-point operations of an average update that every exact computation needs; none if
    /// they are not counted.
    fn operations(&self) -> Option<f64> {
        None
    }

    /// From now on, divides each batch into parts and computes those of this process. Losses,
    /// gradients and weights remain those of the whole batch, the same in every process. It is
    /// called before the first update. For a learner of small networks, it is enough to divide its
    /// [pool](rtg_kernels::mlp::Pool::divide).
    ///
    /// # Errors
    /// A learner that can only compute whole batches.
    fn divide(&mut self, _division: Division) -> Result<(), Error> {
        let what = "this algorithm".to_owned();
        Err(Error::Undivided { what })
    }

    /// Computes on a device from now on, if possible.
    ///
    /// # Errors
    /// A GPU that was requested and cannot be used.
    fn use_device(&mut self, device: Device, _source: &Source) -> Result<ChosenDevice, Error> {
        Ok(ChosenDevice::cpu(
            device,
            "this algorithm has no kernels for a GPU",
        ))
    }

    /// Updates model and state to those of the device.
    ///
    /// # Errors
    /// An error of the GPU's driver.
    fn synchronise(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
