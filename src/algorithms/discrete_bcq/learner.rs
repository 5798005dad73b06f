//! Training discrete BCQ.

use rtg_datasets::sample::Transitions;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::config::Config;
use super::model::{BOTH, Constrained, MadeOf, Model};
use super::update::{Scratch, Work};
use crate::algorithms::networks::{Products, Trained};
use crate::algorithms::{
    self, ActionCodec, Error, LearnerState, Needs, Saved, Setup, Source, Update, ValidationBatch,
};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{StateDictError, TensorFile};
use crate::parallel::Division;
use crate::random::Stream;
use rtg_kernels::mlp::{Layout, Pool};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    both: Trained,
    pool: Pool,
    /// Updates done.
    updates: u64,
    batch: Transitions,
    scratch: Scratch,
    /// A copy of the parameters, for histograms.
    shown: Vec<f32>,
}

/// The learner's side of a checkpoint. It contains no random state: batches are drawn by the
/// training loop.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
}

impl Learner {
    /// A new learner for this plan and data.
    ///
    /// # Errors
    /// No data, or actions that are not discrete.
    pub fn new(setup: &Setup, config: Config) -> Result<Self, Error> {
        let data = setup.dataset()?;
        let made_of = MadeOf {
            hidden: config.hidden.clone(),
            threshold: config.threshold,
            normaliser: config
                .normalise
                .then(|| config.transitions().normaliser(data)),
            actions: ActionCodec::discrete(NAME, &setup.spec.action_space)?,
            observation: data.observation_width(),
        };
        let mut stream = Stream::new(setup.seed, "initialisation");
        let fill = LayerFill::DEFAULT;
        let parameters = initialise_mlp(&made_of.shape(), fill, fill, &mut stream);
        Ok(Self::of(made_of, config, parameters, setup.threads))
    }

    fn of(made_of: MadeOf, config: Config, parameters: Vec<f32>, threads: usize) -> Self {
        let both = Trained::new(BOTH, &made_of.shape(), parameters, true);
        Self {
            model: Model {
                both: both.network.clone(),
                made_of,
            },
            config,
            both,
            pool: Pool::new(threads),
            updates: 0,
            batch: Transitions::default(),
            scratch: Scratch::default(),
            shown: Vec::new(),
        }
    }

    /// The learner of a checkpoint, which continues with the values of this plan.
    ///
    /// # Errors
    /// Metadata, weights or moments that do not fit, or other networks than the plan's.
    pub fn saved(saved: &Saved, setup: &Setup, config: Config) -> Result<Self, Error> {
        let mut made_of: MadeOf = saved.made_of()?;
        if made_of.hidden != config.hidden {
            return Err(Error::OtherModel { table: NAME });
        }
        made_of.threshold = config.threshold;
        let zeros = vec![0.0; Layout::new(&made_of.shape()).len()];
        let mut learner = Self::of(made_of, config, zeros, setup.threads);
        let Notes { updates } = saved.notes()?;
        learner.both.restore(saved, updates)?;
        learner.updates = updates;
        Ok(learner)
    }

    /// One update on a batch.
    pub fn learn(&mut self, batch: &Transitions) -> Update {
        let (work, both, scratch) = self.work(batch);
        let report = work.pool.update(|| work.update(both, scratch));
        if self.updates.is_multiple_of(self.config.target_every) {
            self.both.follow(&self.pool, self.config.tau);
        }
        self.updates += 1;
        report
    }

    fn work<'a>(
        &'a mut self,
        batch: &'a Transitions,
    ) -> (Work<'a>, &'a mut Trained, &'a mut Scratch) {
        let made_of = &self.model.made_of;
        let work = Work {
            config: &self.config,
            decision: Constrained {
                actions: made_of.actions.width(),
                threshold: made_of.threshold,
            },
            pool: &self.pool,
            batch,
        };
        (work, &mut self.both, &mut self.scratch)
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        Needs::Transitions {
            config: self.config.transitions(),
            normaliser: self.model.made_of.normaliser.as_ref(),
            rows: self.config.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.both.load_weights(file)
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.next_transitions(&mut batch);
        let report = self.learn(&batch);
        self.batch = batch;
        Ok(vec![report])
    }

    /// The losses on the batch and their components.
    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        let ValidationBatch::Transitions(batch) = batch else {
            return Vec::new();
        };
        let (work, both, scratch) = self.work(batch);
        let report = work.measure(both, scratch);
        let metrics = report.metrics().iter();
        metrics.map(|metric| (metric.name, metric.value)).collect()
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        self.pool.divide(division);
        Ok(())
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        self.shown.clear();
        self.shown
            .extend_from_slice(self.both.network.lock().parameters());
        self.both.histograms(&self.shown).collect()
    }

    /// Counts products with weights only. The imitation network's target is not used, but computed
    /// along with the other.
    fn operations(&self) -> Option<f64> {
        let products = Products::of(&self.model.made_of.shape());
        let each = 2.0 * (products.learning() + products.all) + products.all;
        Some(2.0 * self.config.batch_size as f64 * each)
    }

    fn state(&self) -> LearnerState {
        let notes = Notes {
            updates: self.updates,
        };
        LearnerState {
            tensors: self.both.state(),
            notes: json!(notes),
        }
    }
}
