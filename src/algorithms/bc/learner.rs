//! Training a clone.

use rtg_datasets::sample::{Batch, PaddedObservation, Padding, Side, WindowConfig};
use serde_json::Value;

use super::Model;
use crate::algorithms::{
    self, Error, HeldBack, Needs, Published, Saved, Source, State, Update, moments,
};
use crate::kernels::{Dropout, adamw};
use crate::nn::state_dict::{StateDictError, TensorFile};
use crate::optimise::{Moments, OptimiserConfig};
use crate::random::{derive, mix};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    optimiser: OptimiserConfig,
    moments: Moments,
    /// Optimiser steps done.
    step: u64,
    /// Optimiser steps of the whole run.
    steps: u64,
    dropout_key: u64,
    losses: Vec<f64>,
    /// The sum over this step's batches.
    gradient: Vec<f32>,
    batch: Batch,
}

impl Learner {
    /// A learner for a run of `steps` optimiser steps.
    pub fn new(model: Model, optimiser: OptimiserConfig, seed: u64, steps: u64) -> Self {
        let count = model.parameters.len();
        Self {
            moments: Moments::zeros(count),
            gradient: vec![0.0; count],
            batch: Batch::default(),
            optimiser,
            model,
            step: 0,
            steps,
            dropout_key: derive(seed, "dropout"),
            losses: Vec::new(),
        }
    }

    /// The masks of a batch, if anything is dropped.
    fn dropout(&self) -> Option<Dropout> {
        let rate = self.model.config.dropout;
        let batches = self.step * self.optimiser.accumulation as u64 + self.losses.len() as u64;
        (rate > 0.0).then(|| Dropout {
            probability_attention: 0.0,
            probability_residual: rate,
            probability_embedding: 0.0,
            key: mix(self.dropout_key.wrapping_add(batches)),
        })
    }

    /// The loss on a batch, without dropout and without learning from it.
    pub fn loss(&self, batch: &Batch) -> f64 {
        self.loss_and_gradient(batch, None).0
    }

    fn loss_and_gradient(&self, batch: &Batch, dropout: Option<&Dropout>) -> (f64, Vec<f32>) {
        let width = self.model.actions.width();
        let last = |row: usize| (row + 1) * batch.context - 1;
        let targets: Vec<f32> = (0..batch.rows)
            .flat_map(|row| &batch.actions[last(row) * width..][..width])
            .copied()
            .collect();
        self.model.network.loss_and_gradient(
            &self.model.parameters,
            &batch.observations,
            &targets,
            self.model.actions.objective(),
            dropout,
        )
    }

    /// Adds the gradient of one batch to the step's.
    pub fn accumulate(&mut self, batch: &Batch) {
        if self.losses.is_empty() {
            self.gradient.fill(0.0);
        }
        let (loss, gradient) = self.loss_and_gradient(batch, self.dropout().as_ref());
        for (sum, value) in self.gradient.iter_mut().zip(gradient) {
            *sum += value;
        }
        self.losses.push(loss);
    }

    /// One AdamW step with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let batches = self.losses.len().max(1) as f64;
        for value in &mut self.gradient {
            *value /= batches as f32;
        }
        let optimiser = &self.optimiser;
        let norm = adamw::norm(&self.gradient);
        let clip = optimiser.clip(norm);
        let learning_rate = optimiser.learning_rate_at(self.step, self.steps);
        self.step += 1;
        adamw::update(
            &optimiser.adamw(),
            learning_rate,
            self.step,
            clip,
            &self.gradient,
            &mut self.model.parameters,
            &mut self.moments.first,
            &mut self.moments.second,
        );
        Update::default()
            .mean("loss", self.losses.drain(..).sum::<f64>() / batches)
            .last("learning_rate", learning_rate)
            .last("gradient_norm", norm)
    }

    /// Goes on where a checkpoint was saved.
    ///
    /// # Errors
    /// A checkpoint without the optimiser's moments.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        self.moments = moments::read(saved, self.model.parameters.len())?;
        self.step = saved.step;
        Ok(())
    }
}

impl algorithms::Learner for Learner {
    /// Windows whose last place is cloned: padding, if any, stands before the steps.
    fn needs(&self) -> Needs<'_> {
        let padding = Padding {
            observation: match self.model.recipe {
                Published::Official => PaddedObservation::ZeroBeforeNormalisation,
                Published::Corl => PaddedObservation::ZeroAfterNormalisation,
            },
            action: 0.0,
        };
        let config = WindowConfig {
            context: self.model.config.context,
            side: Side::Left,
            padding,
            return_scale: 1.0,
            max_timestep: None,
            action_map: self.model.actions.action_map(),
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

    fn validate(&mut self, batch: &HeldBack) -> Vec<(&'static str, f64)> {
        match batch {
            HeldBack::Windows(batch) => vec![("loss", self.loss(batch))],
            HeldBack::Transitions(_) => Vec::new(),
        }
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let places = self.model.network.views().into_iter();
        places
            .map(|(name, place)| {
                let weights = &self.model.parameters[place.clone()];
                (name, weights, &self.gradient[place])
            })
            .collect()
    }

    fn state(&self) -> State {
        State {
            tensors: moments::entries(&self.moments),
            notes: Value::Null,
        }
    }
}
