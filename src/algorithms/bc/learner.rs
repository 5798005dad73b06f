//! Training of behaviour cloning.

use rtg_datasets::sample::{Anchor, Batch, PaddedObservation, Padding, Side, WindowConfig};
use serde_json::Value;

use super::Model;
use crate::algorithms::cloning::{DataActions, Loss};
use crate::algorithms::networks::Products;
use crate::algorithms::{
    self, Error, LearnerState, Needs, PublishedCode, Saved, Source, Update, ValidationBatch,
    moments,
};
use crate::nn::state_dict::{StateDictError, TensorFile};
use crate::optimise::{Moments, OptimiserConfig, OptimiserMethod};
use crate::parallel::Division;
use crate::random::{derive, mix};
use rtg_kernels::mlp::{Gradient, Pass, Pool, Want};
use rtg_kernels::{adamw, lamb};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    optimiser: OptimiserConfig,
    moments: Moments,
    pool: Pool,
    /// Optimiser steps done.
    step: u64,
    /// Optimiser steps of the whole run.
    steps: u64,
    dropout_key: u64,
    losses: Vec<f64>,
    /// The sum over this step's batches.
    gradient: Vec<f32>,
    batch: Batch,
    wanted: DataActions,
    pass: Pass,
    loss: Loss,
    /// A copy of the weights, for histograms.
    shown: Vec<f32>,
}

impl Learner {
    /// A learner for a run of `steps` optimiser steps.
    pub fn new(
        model: Model,
        optimiser: OptimiserConfig,
        (seed, steps, threads): (u64, u64, usize),
    ) -> Self {
        let count = model.network.lock().parameters().len();
        Self {
            moments: Moments::zeros(count),
            gradient: vec![0.0; count],
            pool: Pool::new(threads),
            optimiser,
            model,
            step: 0,
            steps,
            dropout_key: derive(seed, "dropout"),
            losses: Vec::new(),
            batch: Batch::default(),
            wanted: DataActions::default(),
            pass: Pass::default(),
            loss: Loss::default(),
            shown: Vec::new(),
        }
    }

    /// The key of a batch's dropout masks, if there is dropout.
    fn dropout(&self) -> Option<u64> {
        let batches = self.step * self.optimiser.accumulation as u64 + self.losses.len() as u64;
        let drops = self.model.config.dropout > 0.0;
        drops.then(|| mix(self.dropout_key.wrapping_add(batches)))
    }

    /// The loss on a batch, without dropout and without learning from it.
    pub fn loss(&mut self, batch: &Batch) -> f64 {
        self.wanted.last_of(batch, self.model.actions.width());
        let mut network = self.model.network.lock();
        let mut outputs = vec![0.0; batch.rows * network.shape().outputs];
        network.infer(&self.pool, &[&batch.observations], &mut outputs);
        let head = self.model.actions.head();
        self.loss.of(head, &outputs, &self.wanted)
    }

    /// Adds the gradient of one batch to the step's.
    pub fn accumulate(&mut self, batch: &Batch) {
        self.wanted.last_of(batch, self.model.actions.width());
        let dropout = self.dropout();
        let parameters = if self.losses.is_empty() {
            Gradient::Set(&mut self.gradient)
        } else {
            Gradient::Add(&mut self.gradient)
        };
        let want = Want {
            parameters,
            input_part: None,
        };
        let head = self.model.actions.head();
        let (pool, pass, loss, wanted) = (&self.pool, &mut self.pass, &mut self.loss, &self.wanted);
        let mut network = self.model.network.lock();
        let network = &mut *network;
        self.losses.push(pool.update(|| {
            network.forward_of(pool, 0..1, dropout, &[&batch.observations], pass);
            let value = loss.of(head, pass.outputs(), wanted);
            network.backward(pool, &loss.gradients, want, pass);
            value
        }));
    }

    /// One step of the optimiser with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let batches = self.losses.len().max(1) as f64;
        for value in &mut self.gradient {
            *value /= batches as f32;
        }
        let optimiser = &self.optimiser;
        let norm = adamw::norm(&self.gradient);
        let learning_rate = optimiser.learning_rate_at(self.step, self.steps);
        self.step += 1;
        let step = optimiser.step(learning_rate, self.step, norm);
        let mut network = self.model.network.lock();
        let lengths = network.layout().views().map(|view| view.range.len());
        let tensors: Vec<_> = lengths.map(lamb::Parameter::whole).collect();
        let parameters = network.parameters_mut();
        let buffers = self.moments.buffers(&self.gradient, parameters);
        match optimiser.method {
            OptimiserMethod::Adamw => self.pool.adam(&step, buffers),
            OptimiserMethod::Lamb => lamb::update(&tensors, &step, buffers),
        }
        drop(network);
        Update::default()
            .mean("loss", self.losses.drain(..).sum::<f64>() / batches)
            .last("learning_rate", learning_rate)
            .last("gradient_norm", norm)
    }

    /// Restores the state of a checkpoint.
    ///
    /// # Errors
    /// A checkpoint without the optimiser's moments.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        self.moments = moments::read(saved, self.gradient.len())?;
        self.step = saved.step;
        Ok(())
    }
}

impl algorithms::Learner for Learner {
    /// Windows whose last step is cloned; padding, if any, precedes the steps.
    fn needs(&self) -> Needs<'_> {
        let padding = Padding {
            observation: match self.model.recipe {
                PublishedCode::Official => PaddedObservation::ZeroBeforeNormalisation,
                PublishedCode::Corl => PaddedObservation::ZeroAfterNormalisation,
            },
            action: 0.0,
        };
        let config = WindowConfig {
            context: self.model.config.context,
            anchor: Anchor::First,
            side: Side::Left,
            padding,
            return_scale: 1.0,
            first_timestep: 0,
            max_timestep: None,
            action_map: self.model.actions.action_map(),
            next_observations: false,
        };
        Needs::Windows {
            config,
            normaliser: &self.model.normaliser,
            rows: self.optimiser.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.model.load_weights(file)
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        for _ in 0..self.optimiser.accumulation {
            source.windows().next(&mut batch);
            self.accumulate(&batch);
        }
        self.batch = batch;
        Ok(vec![self.apply()])
    }

    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        match batch {
            ValidationBatch::Windows(batch) => vec![("loss", self.loss(batch))],
            ValidationBatch::Transitions(_) => Vec::new(),
        }
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        self.pool.divide(division);
        Ok(())
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let network = self.model.network.lock();
        self.shown.clear();
        self.shown.extend_from_slice(network.parameters());
        let views = network.layout().views();
        let views = views.map(|view| {
            let place = view.range.clone();
            (
                view.name.clone(),
                &self.shown[place.clone()],
                &self.gradient[place],
            )
        });
        views.collect()
    }

    /// Counts products with weights only; the inputs need no gradient.
    fn operations(&self) -> Option<f64> {
        let network = Products::of(self.model.network.lock().shape());
        let rows = self.optimiser.batch_size * self.optimiser.accumulation;
        Some(2.0 * rows as f64 * network.learning())
    }

    fn state(&self) -> LearnerState {
        LearnerState {
            tensors: moments::entries(&self.moments),
            notes: Value::Null,
        }
    }
}
