//! Training a Decision Transformer.

use rtg_datasets::sample::{Batch, WindowConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::checks::deterministic_only;
use super::config::{ActionHead, EngineKind, ModelConfig};
use super::recipe::Recipe;
use super::return_encoding::ReturnEncoding;
use super::temperature::Temperature;
use super::{DeviceLearner, Model};
use crate::algorithms::{
    self, Error, LearnerState, Needs, Saved, Source, Update, ValidationBatch, moments,
};
use crate::device::{ChosenDevice, Device};
use crate::keys::{KeyError, PlanError};
use crate::nn::network::SequenceNetwork;
use crate::nn::state_dict::{self, Entry, StateDictError, TensorFile};
use crate::optimise::{Moments, OptimiserConfig, OptimiserMethod};
use crate::parallel::Division;
use crate::random::{derive, mix};
use rtg_kernels::decision_transformer::{LossTargets, Side, Windows};
use rtg_kernels::likelihood::{Entropy, Likelihood};
use rtg_kernels::{Dropout, Objective, adamw, device as gpu, lamb};

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
    /// What LAMB takes for a tensor.
    tensors: Vec<lamb::Parameter>,
    /// Optimiser steps done, in an environment those since the first run.
    pub(super) step: u64,
    /// Optimiser steps of the whole run.
    pub(super) steps: u64,
    /// In an environment: the part of the run that has passed.
    online: Option<Online>,
    dropout_key: u64,
    returns: ReturnEncoding,
    /// Of a stochastic model.
    temperature: Option<Temperature>,
    losses: Vec<f64>,
    likelihood: Likelihood,
    pub(super) gradient: Vec<f32>,
    batch: Batch,
    /// How batches are divided among processes, if they are, and the gradients of this process's
    /// parts.
    division: Option<Division>,
    parts: Vec<Vec<f32>>,
    /// A GPU, whose state is newer than the fields here until it is fetched.
    device: Option<DeviceLearner>,
}

/// What a learner in an environment counts besides its updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Online {
    /// Updates since the first run.
    updates: u64,
    /// Environment steps.
    #[serde(skip)]
    steps: u64,
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
            temperature: Temperature::of(&model, seed),
            likelihood: Likelihood::default(),
            objective: model.preprocessing.actions.objective(),
            dropout: Dropout {
                probability_attention: config.attention_dropout,
                probability_residual: config.residual_dropout,
                probability_embedding: config.embedding_dropout,
                key: 0,
            },
            moments: Moments::zeros(model.parameters.len()),
            tensors: state_dict::tensors(model.naming(), &network.layout),
            config: optimiser.clone(),
            network,
            returns: ReturnEncoding::new(config, &model.preprocessing, seed),
            model,
            step: 0,
            steps,
            online: None,
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
        let before = self.batches(self.step, self.losses.len() as u64);
        let mut returns = std::mem::replace(&mut self.returns, ReturnEncoding::Scaled);
        self.accumulate_windows(&returns.windows(batch, Some(before)));
        self.returns = returns;
    }

    /// The same with what the network reads of a batch.
    pub fn accumulate_windows(&mut self, windows: &Windows<'_>) {
        let part = self.losses.len() as u64;
        self.dropout.key = self.key(self.step, part);
        if let Some(temperature) = &self.temperature {
            let batch = self.batches(self.step, part);
            self.network.set_entropy(temperature.entropy(batch));
        }
        let denominator = self.model.recipe.denominator();
        let dropout = Some(&self.dropout).filter(|dropout| is_on(dropout));
        let objective = self.objective;
        let (network, parameters) = (&mut self.network, &self.model.parameters);
        let Some(division) = &self.division else {
            let loss = network.accumulate(parameters, windows, objective, denominator, dropout);
            self.losses.push(loss);
            self.likelihood = self.likelihood.plus(network.likelihood());
            return;
        };
        let (mut losses, mut likelihoods) = (Vec::new(), [Vec::new(), Vec::new()]);
        let shares = windows.shares(0..windows.lengths.len(), division.parts());
        for (share, sum) in shares[division.own()].iter().zip(&mut self.parts) {
            let share = (windows, share.clone());
            losses.push(network.accumulate_part(
                parameters,
                share,
                objective,
                denominator,
                dropout,
            ));
            let likelihood = network.likelihood();
            likelihoods[0].push(likelihood.negative_log);
            likelihoods[1].push(likelihood.entropy);
            if part == 0 {
                network.take_gradient(sum);
            } else {
                network.take_gradient(&mut self.gradient);
                let values = sum.iter_mut().zip(&self.gradient);
                values.for_each(|(sum, value)| *sum += value);
            }
        }
        self.losses.push(division.total(&losses));
        if self.temperature.is_some() {
            let [negative_log, entropy] = likelihoods.map(|parts| division.total(&parts));
            self.likelihood = self.likelihood.plus(Likelihood {
                negative_log,
                entropy,
            });
        }
    }

    /// The loss on a batch, without dropout and without learning from it. That of a stochastic
    /// model has the negative log-likelihood, without the entropy.
    pub fn loss(&mut self, batch: &Batch) -> f64 {
        self.network.set_entropy(Entropy::default());
        let denominator = self.model.recipe.denominator();
        let windows = &self.returns.windows(batch, None);
        let parameters = &self.model.parameters;
        self.network
            .loss(parameters, windows, self.objective, denominator)
    }

    /// One step of the optimiser with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let learning_rate = self.learning_rate();
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
        let loss = self.losses.drain(..).sum::<f64>() / batches;
        self.step += 1;
        let step = self.config.step(learning_rate, self.step, norm);
        let buffers = self.moments.buffers(gradient, &mut self.model.parameters);
        match self.config.method {
            OptimiserMethod::Adamw => self.network.update(&step, buffers),
            OptimiserMethod::Lamb => {
                let network = &self.network;
                network.update_by_tensor(&self.tensors, &step, buffers);
            }
        }
        let update = report(loss, norm, learning_rate);
        let likelihood = std::mem::take(&mut self.likelihood);
        let Some(temperature) = &mut self.temperature else {
            return update;
        };
        let entropy = likelihood.entropy / batches;
        temperature.step(entropy);
        update
            .mean("nll", likelihood.negative_log / batches)
            .mean("entropy", entropy)
            .last("alpha", temperature.alpha())
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
        if !saved.notes.is_null() {
            let online: Online = saved.notes()?;
            self.step = online.updates;
            self.online = Some(online);
        }
        match &mut self.temperature {
            None => Ok(()),
            Some(temperature) => temperature.restore(saved, self.step),
        }
    }

    /// The rate of the next step. In an environment the warm-up continues with the updates, and the
    /// schedule spans the run's environment steps.
    fn learning_rate(&self) -> f64 {
        let config = &self.config;
        match self.online {
            None => config.learning_rate_at(self.step, self.steps),
            Some(online) => {
                let progress = online.steps as f64 / self.steps.max(1) as f64;
                config.warmed_up(self.step, self.steps) * config.schedule.factor(progress)
            }
        }
    }

    /// Dropout's key for a batch of a step.
    pub(super) fn key(&self, step: u64, part: u64) -> u64 {
        mix(self.dropout_key.wrapping_add(self.batches(step, part)))
    }

    /// Batches before this part of a step.
    fn batches(&self, step: u64, part: u64) -> u64 {
        step * self.config.accumulation as u64 + part
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        let Model {
            recipe,
            config,
            preprocessing,
            ..
        } = &self.model;
        Needs::Windows {
            config: WindowConfig {
                next_observations: config.next_observation().is_some(),
                ..recipe.windows(config.context, preprocessing)
            },
            normaliser: &preprocessing.normaliser,
            rows: self.config.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        let mut entries = algorithms::Model::weights(&self.model);
        entries.extend(state_dict::buffers(self.model.naming(), &self.model.shape));
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
            ValidationBatch::Windows(batch) => {
                let mut found = vec![("loss", self.loss(batch))];
                if self.temperature.is_some() {
                    found.push(("nll", self.network.likelihood().negative_log));
                }
                found
            }
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
        let mut tensors = moments::entries(&self.moments);
        let temperature = self.temperature.iter();
        tensors.extend(temperature.flat_map(Temperature::state));
        LearnerState {
            tensors,
            notes: self.online.map_or(Value::Null, |online| {
                json!(Online {
                    updates: self.step,
                    ..online
                })
            }),
        }
    }

    fn at_step(&mut self, steps: u64) {
        if let Some(online) = &mut self.online {
            online.steps = steps;
        }
    }

    fn go_online(&mut self, seed: u64) -> Result<(), Error> {
        let Some(temperature) = &mut self.temperature else {
            let key = ModelConfig::KEYS.path("action_head");
            let found = self.model.config.action_head;
            let found = found.map_or("deterministic", ActionHead::word);
            let expected = "squashed_gaussian or gaussian to continue in an environment: others do \
                not explore";
            return Err(PlanError::from(KeyError::new(&key, found, expected)).into());
        };
        temperature.reseed(seed);
        self.dropout_key = derive(seed, "dropout");
        self.online = Some(Online {
            updates: self.step,
            steps: 0,
        });
        Ok(())
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

    fn use_device(&mut self, device: Device, source: &Source) -> Result<ChosenDevice, Error> {
        let Source::Windows(windows) = source else {
            return Ok(ChosenDevice::cpu(
                device,
                "there are no windows to copy to a GPU",
            ));
        };
        let sampler = windows.sampler();
        self.device = None;
        // The composed engine uses dfdx's own operations, which exist for the model of Chen et al.
        // only.
        let on_cpu = if !self.network.is_fused() {
            Some("decision_transformer.engine = \"composed\" has no kernels for a GPU")
        } else if !self.model.shape.runs_on_devices() {
            Some("this model has no kernels for a GPU")
        } else if self.model.recipe == Recipe::D3rlpy {
            Some("recipe = \"d3rlpy\" has no kernels for a GPU")
        } else if sampler.is_consistent() {
            Some("labels.consistent = true is not possible on a GPU")
        } else if self.config.method == OptimiserMethod::Lamb {
            Some("optimiser.method = \"lamb\" has no kernels for a GPU")
        } else {
            None
        };
        let on = |learner: &Self, ordinal| {
            let backend = gpu::open(ordinal)?;
            DeviceLearner::new(backend, learner, sampler, MOST_STEPS)
        };
        let learner = match (device, on_cpu) {
            (Device::Cpu, _) => return Ok(ChosenDevice::Cpu),
            (Device::Auto, Some(reason)) => return Ok(ChosenDevice::cpu(device, reason)),
            (Device::Auto, None) => match on(self, 0) {
                Ok(learner) => learner,
                Err(error) => return Ok(ChosenDevice::cpu(device, error)),
            },
            (Device::Cuda(_), _) if self.temperature.is_some() => {
                let error = deterministic_only(&self.model.config, "on a GPU");
                return Err(PlanError::from(error).into());
            }
            (Device::Cuda(ordinal), _) => on(self, ordinal)?,
        };
        let name = learner.name();
        self.device = Some(learner);
        Ok(ChosenDevice::Gpu(name))
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
        targets: LossTargets {
            returns_to_go: &[],
            next_observations: &batch.next_observations,
        },
    }
}
