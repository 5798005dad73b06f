//! Training of RvS-R.

use rtg_datasets::sample::{Anchor, Batch, PaddedObservation, Padding, Side, WindowConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::config::Config;
use super::model::{ACTOR, GAUSSIAN, MadeOf, Model};
use crate::algorithms::actor_critic::gaussian::LOG_SIGMA;
use crate::algorithms::cloning::{DataActions, Loss};
use crate::algorithms::networks::{Products, Trained};
use crate::algorithms::vector::TrainedVector;
use crate::algorithms::{
    self, Error, LearnerState, Needs, Saved, Setup, Source, Update, ValidationBatch,
};
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill, initialise_mlp};
use crate::nn::state_dict::{StateDictError, TensorFile};
use crate::parallel::Division;
use crate::random::{Stream, derive, mix};
use rtg_kernels::mlp::{Gradient, Layout, Pass, Pool, Want};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    actor: Trained,
    /// None if actions are discrete.
    log_sigma: Option<TrainedVector>,
    pool: Pool,
    /// Updates done.
    updates: u64,
    dropout_key: u64,
    batch: Batch,
    outcomes: Vec<f32>,
    wanted: DataActions,
    pass: Pass,
    loss: Loss,
    /// A copy of the parameters, for histograms.
    shown: Vec<f32>,
}

/// The learner's part of a checkpoint. It contains no random state: batches are drawn by the
/// training loop, and dropout follows from the number of the update.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
}

impl Learner {
    /// A new learner for this plan and data.
    ///
    /// # Errors
    /// No data, or actions of a space that it cannot act in.
    pub fn new(setup: &Setup, config: Config) -> Result<Self, Error> {
        let made_of = MadeOf::new(&config, setup)?;
        let fill = |gain| LayerFill {
            weight: WeightFill::Orthogonal(gain),
            bias: BiasFill::Constant(0.0),
        };
        let mut stream = Stream::new(setup.seed, "initialisation");
        let hidden = fill(std::f32::consts::SQRT_2);
        let parameters = initialise_mlp(&made_of.shape(), hidden, fill(0.01), &mut stream);
        Ok(Self::of(made_of, config, parameters, setup))
    }

    fn of(made_of: MadeOf, config: Config, parameters: Vec<f32>, setup: &Setup) -> Self {
        let actor = Trained::new(ACTOR, &made_of.shape(), parameters, false);
        let zeros = vec![0.0; made_of.sigmas()];
        Self {
            log_sigma: (!zeros.is_empty()).then(|| TrainedVector::new(LOG_SIGMA, zeros.clone())),
            model: Model {
                network: actor.network.clone(),
                log_sigma: zeros,
                made_of,
            },
            config,
            actor,
            pool: Pool::new(setup.threads),
            updates: 0,
            dropout_key: derive(setup.seed, "dropout"),
            batch: Batch::default(),
            outcomes: Vec::new(),
            wanted: DataActions::default(),
            pass: Pass::default(),
            loss: Loss::default(),
            shown: Vec::new(),
        }
    }

    /// The learner of a checkpoint, which continues with the values of this plan.
    ///
    /// # Errors
    /// Metadata, weights or moments that do not fit, or another network than the plan's.
    pub fn saved(saved: &Saved, setup: &Setup, config: Config) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        if !made_of.is_of(&config) {
            return Err(Error::OtherModel { table: NAME });
        }
        let zeros = vec![0.0; Layout::new(&made_of.shape()).len()];
        let mut learner = Self::of(made_of, config, zeros, setup);
        let Notes { updates } = saved.notes()?;
        learner.actor.restore(saved, updates)?;
        if let Some(log_sigma) = &mut learner.log_sigma {
            log_sigma.restore(saved, updates)?;
        }
        learner.show_sigma();
        learner.updates = updates;
        Ok(learner)
    }

    /// Copies the current log standard deviations to the model.
    fn show_sigma(&mut self) {
        if let Some(log_sigma) = &self.log_sigma {
            self.model.log_sigma.clone_from(&log_sigma.values);
        }
    }

    /// One update on a batch of single steps.
    pub fn learn(&mut self, batch: &Batch) -> Update {
        let dropout = self.config.dropout > 0.0;
        let dropout = dropout.then(|| mix(self.dropout_key.wrapping_add(self.updates)));
        self.take(batch);
        let Self {
            model,
            actor,
            log_sigma,
            pool,
            pass,
            loss,
            wanted,
            ..
        } = self;
        let inputs = [&batch.observations[..], &self.outcomes];
        let rate = self.config.learning_rate;
        let value = pool.update(|| {
            let mut network = actor.network.lock();
            network.forward_of(pool, 0..1, dropout, &inputs, pass);
            let value = value(loss, model, pass.outputs(), wanted, log_sigma.as_mut());
            let want = Want {
                parameters: Gradient::Set(&mut actor.gradient),
                input_part: None,
            };
            network.backward(pool, &loss.gradients, want, pass);
            drop(network);
            actor.step(pool, rate);
            if let Some(log_sigma) = log_sigma {
                log_sigma.step(pool, rate);
            }
            value
        });
        self.show_sigma();
        self.updates += 1;
        let report = Update::default().mean("loss", value);
        if self.model.log_sigma.is_empty() {
            return report;
        }
        let sigmas = self.model.log_sigma.iter().map(|log| f64::from(log.exp()));
        report.last(
            "sigma",
            sigmas.sum::<f64>() / self.model.log_sigma.len() as f64,
        )
    }

    /// Takes the outcomes and actions of a batch.
    fn take(&mut self, batch: &Batch) {
        let made_of = &self.model.made_of;
        made_of.outcomes(batch, &mut self.outcomes);
        self.wanted.last_of(batch, made_of.actions.width());
    }

    /// The loss on a batch, without dropout and without learning from it.
    fn measure(&mut self, batch: &Batch) -> f64 {
        self.take(batch);
        let mut outputs = vec![0.0; batch.rows * self.model.made_of.actions.width()];
        let inputs = [&batch.observations[..], &self.outcomes];
        let mut network = self.model.network.lock();
        network.infer(&self.pool, &inputs, &mut outputs);
        let log_sigma = self.log_sigma.as_mut();
        value(
            &mut self.loss,
            &self.model,
            &outputs,
            &self.wanted,
            log_sigma,
        )
    }
}

/// The loss of a batch's outputs; writes its gradients.
fn value(
    loss: &mut Loss,
    model: &Model,
    outputs: &[f32],
    wanted: &DataActions,
    log_sigma: Option<&mut TrainedVector>,
) -> f64 {
    match log_sigma {
        Some(log_sigma) => loss.gaussian(GAUSSIAN, outputs, wanted, log_sigma),
        None => loss.of(model.made_of.actions.head(), outputs, wanted),
    }
}

impl algorithms::Learner for Learner {
    /// Single steps, with their returns-to-go and timesteps.
    fn needs(&self) -> Needs<'_> {
        let MadeOf {
            normaliser,
            actions,
            ..
        } = &self.model.made_of;
        let config = WindowConfig {
            context: 1,
            anchor: Anchor::First,
            side: Side::Left,
            padding: Padding {
                observation: PaddedObservation::ZeroAfterNormalisation,
                action: 0.0,
            },
            return_scale: 1.0,
            first_timestep: 0,
            max_timestep: None,
            action_map: actions.action_map(),
            next_observations: false,
        };
        Needs::Windows {
            config,
            normaliser,
            rows: self.config.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.actor.load_weights(file)?;
        if let Some(log_sigma) = &mut self.log_sigma {
            log_sigma.load_weights(file)?;
        }
        self.show_sigma();
        Ok(())
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.windows().next(&mut batch);
        let report = self.learn(&batch);
        self.batch = batch;
        Ok(vec![report])
    }

    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        match batch {
            ValidationBatch::Windows(batch) => vec![("loss", self.measure(batch))],
            ValidationBatch::Transitions(_) => Vec::new(),
        }
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        self.pool.divide(division);
        Ok(())
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        self.shown.clear();
        self.shown
            .extend_from_slice(self.actor.network.lock().parameters());
        let mut histograms: Vec<_> = self.actor.histograms(&self.shown).collect();
        histograms.extend(self.log_sigma.as_ref().map(TrainedVector::histogram));
        histograms
    }

    /// Counts products with weights only; the inputs need no gradient.
    fn operations(&self) -> Option<f64> {
        let products = Products::of(&self.model.made_of.shape());
        Some(2.0 * self.config.batch_size as f64 * products.learning())
    }

    fn state(&self) -> LearnerState {
        let notes = Notes {
            updates: self.updates,
        };
        let mut tensors = self.actor.state();
        tensors.extend(self.log_sigma.iter().flat_map(TrainedVector::state));
        LearnerState {
            tensors,
            notes: json!(notes),
        }
    }
}
