//! Training a Q-network.

use rtg_datasets::sample::Transitions;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::form::Form;
use super::method::{Copies, Method, Online};
use super::model::{Exploring, MadeOf, Model, Q};
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
    method: Method,
    q: Trained,
    pool: Pool,
    notes: Notes,
    /// Environment steps taken; 0 offline.
    step: u64,
    batch: Transitions,
    scratch: Scratch,
    /// A copy of the parameters, for histograms.
    shown: Vec<f32>,
}

/// The learner's part of a checkpoint. Nothing random is left to continue: batches are the training
/// loop's, exploration is the episodes'.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    /// Updates done.
    updates: u64,
    /// Moves of the target network that have been due, online.
    copies: u64,
}

impl Learner {
    /// A new learner for this plan and environment.
    ///
    /// # Errors
    /// Actions that are not discrete, or no data for an offline method.
    pub fn new(setup: &Setup, method: Method) -> Result<Self, Error> {
        let made_of = made_of(setup, &method)?;
        let mut stream = Stream::new(setup.seed, "initialisation");
        let fill = LayerFill::DEFAULT;
        let parameters = initialise_mlp(&made_of.shape(), fill, fill, &mut stream);
        Ok(Self::of(made_of, method, parameters, setup.threads))
    }

    fn of(made_of: MadeOf, method: Method, parameters: Vec<f32>, threads: usize) -> Self {
        let q = Trained::new(Q, &made_of.shape(), parameters, true);
        let mut learner = Self {
            model: Model {
                q: q.network.clone(),
                made_of,
                exploring: Exploring::default(),
            },
            method,
            q,
            pool: Pool::new(threads),
            notes: Notes::default(),
            step: 0,
            batch: Transitions::default(),
            scratch: Scratch::default(),
            shown: Vec::new(),
        };
        if let Some(online) = &learner.method.online {
            // Before the first update, target and trained weights are equal.
            learner.notes.copies = online.interaction.learning_starts / learner.method.target_every;
        }
        algorithms::Learner::at_step(&mut learner, 0);
        learner
    }

    /// The learner of a checkpoint, which continues with the values of this plan.
    ///
    /// # Errors
    /// Metadata, weights or moments that do not fit, or another network than the plan's.
    pub fn saved(saved: &Saved, setup: &Setup, method: Method) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        if made_of.hidden != method.hidden || made_of.form != form(&made_of.actions, &method) {
            return Err(Error::OtherModel { table: method.name });
        }
        let zeros = vec![0.0; Layout::new(&made_of.shape()).len()];
        let mut learner = Self::of(made_of, method, zeros, setup.threads);
        learner.notes = saved.notes()?;
        learner.q.restore(saved, learner.notes.updates)?;
        Ok(learner)
    }

    /// One update on a batch.
    pub fn learn(&mut self, batch: &Transitions) -> Update {
        self.notes.updates += 1;
        self.move_target(Some(Copies::BeforeUpdates));
        let (work, q, scratch) = self.work(batch);
        let report = work.pool.update(|| work.update(q, scratch));
        self.move_target(Some(Copies::AfterUpdates));
        self.move_target(None);
        match &self.method.online {
            Some(online) => report.last("epsilon", online.epsilon.at(self.step)),
            None => report,
        }
    }

    /// Moves the target network if it is due at this point of an update. `None` is the end of an
    /// offline update, where the first update has the number 0.
    fn move_target(&mut self, point: Option<Copies>) {
        if self.method.online.as_ref().map(|online| online.copies) != point {
            return;
        }
        let every = self.method.target_every;
        let due = if point.is_some() {
            let passed = self.step / every;
            std::mem::replace(&mut self.notes.copies, passed) < passed
        } else {
            (self.notes.updates - 1).is_multiple_of(every)
        };
        if due {
            self.q.follow(&self.pool, self.method.tau);
        }
    }

    fn work<'a>(
        &'a mut self,
        batch: &'a Transitions,
    ) -> (Work<'a>, &'a mut Trained, &'a mut Scratch) {
        let work = Work {
            method: &self.method,
            form: self.model.made_of.form,
            pool: &self.pool,
            batch,
        };
        (work, &mut self.q, &mut self.scratch)
    }
}

fn form(actions: &ActionCodec, method: &Method) -> Form {
    Form {
        actions: actions.width(),
        quantiles: method.quantiles,
        dueling: method.dueling,
    }
}

fn made_of(setup: &Setup, method: &Method) -> Result<MadeOf, Error> {
    let actions = ActionCodec::discrete(method.name, &setup.spec.action_space)?;
    let mut normaliser = None;
    if method.online.is_none() {
        let data = setup.dataset()?;
        let found = || method.transitions.normaliser(data);
        normaliser = method.normalise.then(found);
    }
    Ok(MadeOf {
        form: form(&actions, method),
        hidden: method.hidden.clone(),
        normaliser,
        actions,
        observation: setup.spec.observation_space.width(),
    })
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        match &self.method.online {
            Some(Online { interaction, .. }) => Needs::Environment(interaction.clone()),
            None => Needs::Transitions {
                config: self.method.transitions.clone(),
                normaliser: self.model.made_of.normaliser.as_ref(),
                rows: self.method.batch_size,
            },
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.q.load_weights(file)
    }

    fn at_step(&mut self, steps: u64) {
        self.step = steps;
        if let Some(online) = &self.method.online {
            self.model.exploring.set(online.epsilon.at(steps));
        }
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.next_transitions(&mut batch);
        let report = self.learn(&batch);
        self.batch = batch;
        Ok(vec![report])
    }

    /// The loss on the batch and its components.
    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        let ValidationBatch::Transitions(batch) = batch else {
            return Vec::new();
        };
        let (work, q, scratch) = self.work(batch);
        let report = work.measure(q, scratch);
        let metrics = report.metrics().iter();
        metrics.map(|metric| (metric.name, metric.value)).collect()
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        self.pool.divide(division);
        Ok(())
    }

    /// An offline method does not explore.
    fn go_online(&mut self, _seed: u64) -> Result<(), Error> {
        let online = self.method.online.as_ref();
        self.notes.copies = 0;
        online.map(|_| ()).ok_or(Error::StaysOffline)
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        self.shown.clear();
        self.shown
            .extend_from_slice(self.q.network.lock().parameters());
        self.q.histograms(&self.shown).collect()
    }

    /// Counts products with weights only.
    fn operations(&self) -> Option<f64> {
        let products = Products::of(&self.model.made_of.shape());
        let choosing = if self.method.double {
            products.all
        } else {
            0.0
        };
        let each = products.learning() + products.all + choosing;
        Some(2.0 * self.method.batch_size as f64 * each)
    }

    fn state(&self) -> LearnerState {
        LearnerState {
            tensors: self.q.state(),
            notes: json!(self.notes),
        }
    }
}
