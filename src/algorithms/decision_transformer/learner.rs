//! Training a Decision Transformer.

use rtg_datasets::sample::{Batch, WindowConfig};
use serde_json::Value;

use super::config::{EngineKind, ModelConfig};
use super::preprocessing::Preprocessing;
use super::{DeviceLearner, Model};
use crate::algorithms::{
    self, Error, LearnerState, Needs, PublishedCode, Saved, Source, Update, ValidationBatch,
    moments,
};
use crate::device::Device;
use crate::kernels::decision_transformer::{Side, Windows};
use crate::kernels::{Dropout, Objective, adamw, device as gpu};
use crate::nn::network::SequenceNetwork;
use crate::nn::state_dict::{self, Entry, StateDictError, TensorFile};
use crate::optimise::{Moments, OptimiserConfig};
use crate::parallel::Division;
use crate::random::{derive, mix};

/// The most steps that a device takes in one call.
const MOST_STEPS: usize = 100;

/// Trains a model: [`accumulate`](Self::accumulate) for each batch of a step, then
/// [`apply`](Self::apply).
pub struct Learner {
    pub(super) model: Model,
    pub(super) network: SequenceNetwork,
    pub(super) config: OptimiserConfig,
    pub(super) dropout: Dropout,
    pub(super) objective: Objective,
    pub(super) moments: Moments,
    /// Optimiser steps done.
    pub(super) step: u64,
    /// Optimiser steps of the whole run.
    pub(super) steps: u64,
    dropout_key: u64,
    losses: Vec<f64>,
    pub(super) gradient: Vec<f32>,
    batch: Batch,
    /// How batches are divided among processes, if they are, and the gradients of this process's
    /// parts.
    division: Option<Division>,
    parts: Vec<Vec<f32>>,
    /// A GPU, whose state is newer than the fields here until it is fetched.
    device: Option<DeviceLearner>,
}

impl Learner {
    /// A learner for a run of `steps` optimiser steps.
    pub fn new(
        model: Model,
        config: &ModelConfig,
        optimiser: &OptimiserConfig,
        (seed, steps, threads): (u64, u64, usize),
    ) -> Self {
        // A precision that only a GPU has belongs to `DeviceLearner`; the engine here does not
        // train then.
        let precision = Some(config.precision).filter(|precision| precision.is_available());
        let fused = (config.engine == EngineKind::Fused).then_some(precision.unwrap_or_default());
        let network = SequenceNetwork::new(model.shape, fused, threads);
        Self {
            objective: model.preprocessing.actions.objective(),
            dropout: Dropout {
                probability_attention: config.attention_dropout,
                probability_residual: config.residual_dropout,
                probability_embedding: config.embedding_dropout,
                key: 0,
            },
            moments: Moments::zeros(model.parameters.len()),
            config: optimiser.clone(),
            network,
            model,
            step: 0,
            steps,
            dropout_key: derive(seed, "dropout"),
            losses: Vec::new(),
            gradient: Vec::new(),
            batch: Batch::default(),
            division: None,
            parts: Vec::new(),
            device: None,
        }
    }

    /// Adds the gradient of one batch to the step's.
    pub fn accumulate(&mut self, batch: &Batch) {
        let part = self.losses.len() as u64;
        self.dropout.key = self.key(self.step, part);
        let denominator = self.model.recipe.published().denominator();
        let dropout = Some(&self.dropout).filter(|dropout| is_on(dropout));
        let (objective, windows) = (self.objective, &windows(batch));
        let (network, parameters) = (&mut self.network, &self.model.parameters);
        let Some(division) = &self.division else {
            let loss = network.accumulate(parameters, windows, objective, denominator, dropout);
            self.losses.push(loss);
            return;
        };
        let mut losses = Vec::new();
        let shares = windows.shares(0..batch.rows, division.parts());
        for (share, sum) in shares[division.own()].iter().zip(&mut self.parts) {
            let share = (windows, share.clone());
            losses.push(network.accumulate_part(
                parameters,
                share,
                objective,
                denominator,
                dropout,
            ));
            if part == 0 {
                network.take_gradient(sum);
            } else {
                network.take_gradient(&mut self.gradient);
                let values = sum.iter_mut().zip(&self.gradient);
                values.for_each(|(sum, value)| *sum += value);
            }
        }
        self.losses.push(division.total(&losses));
    }

    /// The loss on a batch, without dropout and without learning from it.
    pub fn loss(&mut self, batch: &Batch) -> f64 {
        let denominator = self.model.recipe.published().denominator();
        let parameters = &self.model.parameters;
        self.network
            .loss(parameters, &windows(batch), self.objective, denominator)
    }

    /// One AdamW step with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let gradient = &mut self.gradient;
        match &self.division {
            None => self.network.take_gradient(gradient),
            Some(division) => {
                gradient.resize(self.model.parameters.len(), 0.0);
                division.sum(&self.parts, gradient);
            }
        }
        let batches = self.losses.len().max(1) as f64;
        if batches > 1.0 {
            for value in &mut *gradient {
                *value /= batches as f32;
            }
        }
        let norm = adamw::norm(gradient);
        let clip = self.config.clip(norm);
        let learning_rate = self.config.learning_rate_at(self.step, self.steps);
        let loss = self.losses.drain(..).sum::<f64>() / batches;
        self.step += 1;
        let optimiser = self.config.adamw();
        let parameters = &mut self.model.parameters;
        let Moments { first, second } = &mut self.moments;
        let (rate, step) = (learning_rate, self.step);
        self.network.update(
            &optimiser, rate, step, clip, gradient, parameters, first, second,
        );
        report(loss, norm, learning_rate)
    }

    /// The current model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &[f32], &[f32])> {
        self.network.layout.views().map(|view| {
            let weights = &self.model.parameters[view.range.clone()];
            let gradient = self.gradient.get(view.range.clone()).unwrap_or_default();
            (view.name.as_str(), weights, gradient)
        })
    }

    /// Restores the state of a checkpoint.
    ///
    /// # Errors
    /// A checkpoint without the optimiser's moments.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        self.moments = moments::read(saved, self.model.parameters.len())?;
        self.step = saved.step;
        Ok(())
    }

    /// Dropout's key for a batch of a step.
    pub(super) fn key(&self, step: u64, part: u64) -> u64 {
        let batch = step * self.config.accumulation as u64 + part;
        mix(self.dropout_key.wrapping_add(batch))
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        let Preprocessing {
            normaliser,
            return_scale,
            episode_length,
            actions,
            constant_target: _,
        } = &self.model.preprocessing;
        let context = self.model.config.context;
        let mut config = match self.model.recipe.published() {
            PublishedCode::Official => {
                WindowConfig::official(context, *return_scale, *episode_length)
            }
            PublishedCode::Corl => WindowConfig::corl(context, *return_scale),
        };
        config.action_map = actions.action_map();
        Needs::Windows {
            config,
            normaliser,
            rows: self.config.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        let mut entries = algorithms::Model::weights(&self.model);
        entries.extend(state_dict::buffers(
            self.model.recipe.naming(),
            &self.model.shape,
        ));
        entries
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.model.load_weights(file)
    }

    fn update(&mut self, source: &mut Source, most: u64) -> Result<Vec<Update>, Error> {
        let windows = source.windows();
        if let Some(mut device) = self.device.take() {
            let count = device.most_steps().min(most as usize);
            let (sampler, stream) = windows.parts();
            let updates = device.steps(self, sampler, stream, count);
            self.device = Some(device);
            return Ok(updates?);
        }
        let mut batch = std::mem::take(&mut self.batch);
        for _ in 0..self.config.accumulation {
            windows.next(&mut batch);
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

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let named = Learner::histograms(self);
        named
            .map(|(name, weights, gradient)| (name.to_owned(), weights, gradient))
            .collect()
    }

    fn state(&self) -> LearnerState {
        LearnerState {
            tensors: moments::entries(&self.moments),
            notes: Value::Null,
        }
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        if !self.network.is_fused() {
            let what = "decision_transformer.engine = \"composed\"".to_owned();
            return Err(Error::Undivided { what });
        }
        self.parts.resize(division.own().len(), Vec::new());
        self.division = Some(division);
        Ok(())
    }

    fn use_device(&mut self, device: Device, source: &Source) -> Result<Option<String>, Error> {
        let Source::Windows(windows) = source else {
            return Ok(None);
        };
        let on_cpu = !(self.network.is_fused() && self.model.shape.runs_on_devices())
            || windows.sampler().is_consistent();
        let on = |learner: &Self, ordinal| {
            let backend = gpu::open(ordinal)?;
            DeviceLearner::new(backend, learner, windows.sampler(), MOST_STEPS)
        };
        self.device = match device {
            Device::Cpu => None,
            Device::Cuda(ordinal) => Some(on(self, ordinal)?),
            // The composed engine uses dfdx's own operations, which exist for the model of Chen et
            // al. only.
            Device::Auto if on_cpu => None,
            Device::Auto => on(self, 0).ok(),
        };
        Ok(self.device.as_ref().map(DeviceLearner::name))
    }

    fn synchronise(&mut self) -> Result<(), Error> {
        if let Some(mut device) = self.device.take() {
            let fetched = device.fetch(self);
            self.device = Some(device);
            fetched?;
        }
        Ok(())
    }
}

/// The metrics of a step.
pub(super) fn report(loss: f64, gradient_norm: f64, learning_rate: f64) -> Update {
    Update::default()
        .mean("loss", loss)
        .last("learning_rate", learning_rate)
        .last("gradient_norm", gradient_norm)
}

/// Whether any dropout rate is above zero.
pub(super) fn is_on(dropout: &Dropout) -> bool {
    dropout
        .probability_attention
        .max(dropout.probability_residual)
        .max(dropout.probability_embedding)
        > 0.0
}

/// A sampled batch as the engine sees it.
pub fn windows(batch: &Batch) -> Windows<'_> {
    Windows {
        observations: &batch.observations,
        actions: &batch.actions,
        returns_to_go: &batch.returns_to_go,
        timesteps: &batch.timesteps,
        lengths: &batch.lengths,
        side: match batch.side {
            rtg_datasets::sample::Side::Left => Side::Left,
            rtg_datasets::sample::Side::Right => Side::Right,
        },
        context: batch.context,
    }
}
