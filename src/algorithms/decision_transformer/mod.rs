//! The Decision Transformer (Chen et al. 2021): behaviour cloning of windows of
//! (return-to-go, observation, action), conditioned at evaluation on the return one asks for.
//!
//! [`Learner`] trains; [`Model`] is what it leaves: weights, sizes and the way from raw numbers into
//! the network, all that a [`policy`](Model::policy) needs. Recipes and their differences are in
//! [`config`].

pub mod config;
mod policy;
pub mod preprocessing;

use rtg_datasets::Dataset;
use rtg_datasets::sample::{Batch, WindowConfig, WindowSampler};

use self::config::{EngineKind, ModelConfig, OptimiserConfig, Recipe};
use self::preprocessing::{ActionCodec, Preprocessing};
use crate::kernels::adamw::{self, AdamW};
use crate::kernels::{Dropout, Head, Layout, Objective, Shape, Side, Windows};
use crate::nn::initialise::initialise;
use crate::nn::network::Network;
use crate::nn::state_dict::{Entry, untrained};
use crate::policy::Policy;
use crate::random::{Stream, derive, mix};

/// A trained (or new) Decision Transformer.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which code's conventions it follows.
    pub recipe: Recipe,
    /// What it was made from.
    pub config: ModelConfig,
    /// Sizes of the network, from the configuration and the data.
    pub shape: Shape,
    /// The trained weights, see [`Layout`].
    pub parameters: Vec<f32>,
    /// Weights of the peer's state dict that are never trained.
    pub untrained: Vec<Entry>,
    /// From raw numbers to the network's and back.
    pub preprocessing: Preprocessing,
}

impl Model {
    /// A new model with the recipe's initialisation.
    pub fn new(recipe: Recipe, config: &ModelConfig, preprocessing: Preprocessing, seed: u64) -> Self {
        let shape = shape(recipe, config, &preprocessing);
        let mut stream = Stream::new(seed, "initialisation");
        let parameters = initialise(&Layout::new(&shape), recipe.initialisation(), &mut stream);
        let untrained = untrained(recipe.naming(), &shape, &mut stream);
        Self { recipe, config: config.clone(), shape, parameters, untrained, preprocessing }
    }

    /// A policy for up to `rows` episodes at once, conditioned on each episode's target return.
    pub fn policy(&self, rows: usize) -> Box<dyn Policy> {
        Box::new(policy::TargetReturn::new(self, rows))
    }
}

/// Sizes of the network that the configuration and the data ask for.
pub fn shape(recipe: Recipe, config: &ModelConfig, preprocessing: &Preprocessing) -> Shape {
    Shape {
        observation: preprocessing.normaliser.mean.len(),
        action: preprocessing.actions.width(),
        context: config.context,
        width: config.width,
        heads: config.heads,
        layers: config.layers,
        timesteps: recipe.timesteps(preprocessing.episode_length, config.context),
        activation: config.activation,
        head: match &preprocessing.actions {
            ActionCodec::Discrete { .. } => Head::Logits,
            ActionCodec::Continuous { max_action, .. } => Head::Tanh { scale: *max_action as f32 },
        },
    }
}

/// What one optimiser step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Mean loss of the step's batches.
    pub loss: f64,
    /// Global L2 norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// The optimiser's memory, one number for each trained parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

/// Trains a model: `accumulate` the batches of a step, then `apply`.
pub struct Learner {
    model: Model,
    network: Network,
    config: OptimiserConfig,
    dropout: Dropout,
    objective: Objective,
    moments: Moments,
    /// Optimiser steps done.
    step: u64,
    /// Optimiser steps of the whole run.
    steps: u64,
    dropout_key: u64,
    losses: Vec<f64>,
    gradient: Vec<f32>,
}

impl Learner {
    /// A learner for a run of `steps` optimiser steps.
    pub fn new(
        model: Model,
        config: &ModelConfig,
        optimiser: &OptimiserConfig,
        (seed, steps, threads): (u64, u64, usize),
    ) -> Self {
        let fused = config.engine == EngineKind::Fused;
        let network = Network::new(model.shape, model.parameters.clone(), fused, threads);
        let zeros = vec![0.0; model.parameters.len()];
        Self {
            objective: match model.preprocessing.actions {
                ActionCodec::Discrete { .. } => Objective::CrossEntropy,
                ActionCodec::Continuous { .. } => Objective::SquaredError,
            },
            dropout: Dropout {
                attention: config.attention_dropout,
                residual: config.residual_dropout,
                embedding: config.embedding_dropout,
                key: 0,
            },
            moments: Moments { first: zeros.clone(), second: zeros },
            config: optimiser.clone(),
            network,
            model,
            step: 0,
            steps,
            dropout_key: derive(seed, "dropout"),
            losses: Vec::new(),
            gradient: Vec::new(),
        }
    }

    /// Adds the gradient of one batch to the step's.
    pub fn accumulate(&mut self, batch: &Batch) {
        let part = self.losses.len() as u64;
        self.dropout.key =
            mix(self.dropout_key.wrapping_add(self.step * self.config.accumulation as u64 + part));
        let denominator = self.model.recipe.denominator();
        let dropout = Some(&self.dropout).filter(|dropout| !dropout.is_off());
        let loss = self.network.accumulate(&windows(batch), self.objective, denominator, dropout);
        self.losses.push(loss);
    }

    /// One AdamW step with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let mut gradient = self.network.take_gradient();
        let batches = self.losses.len().max(1) as f64;
        let norm = adamw::global_norm(&gradient) / batches;
        let clip = self.config.gradient_clip;
        let clipped = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        adamw::scale(&mut gradient, (clipped / batches) as f32);

        let learning_rate = self.config.learning_rate_at(self.step, self.steps);
        let loss = self.losses.iter().sum::<f64>() / batches;
        self.losses.clear();
        self.step += 1;
        let optimiser = AdamW {
            learning_rate,
            weight_decay: self.config.weight_decay,
            beta_1: self.config.beta_1,
            beta_2: self.config.beta_2,
            epsilon: self.config.epsilon,
        };
        let mut parameters = std::mem::take(&mut self.model.parameters);
        let Moments { first, second } = &mut self.moments;
        optimiser.step(self.step, &mut parameters, &gradient, first, second);
        self.network.set_parameters(&parameters);
        self.model.parameters = parameters;
        self.gradient = gradient;
        Update { loss, gradient_norm: norm, learning_rate }
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The optimiser's memory.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Optimiser steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Weights and last clipped gradient, by name: (name, weights, gradient).
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &[f32], &[f32])> {
        self.network.layout.views().iter().map(|view| {
            let weights = &self.model.parameters[view.range.clone()];
            let gradient = self.gradient.get(view.range.clone()).unwrap_or_default();
            (view.name.as_str(), weights, gradient)
        })
    }

    /// Goes on after `step` steps with this memory.
    pub fn restore(&mut self, moments: Moments, step: u64) {
        self.moments = moments;
        self.step = step;
    }
}

/// Draws this model's windows from the data: padded, normalised and scaled as its recipe asks.
pub fn sampler(model: &Model, data: &Dataset) -> WindowSampler {
    let Preprocessing { normaliser, return_scale, episode_length, actions } = &model.preprocessing;
    let (side, padding) = model.recipe.padding();
    let config = WindowConfig {
        context: model.config.context,
        side,
        padding,
        return_scale: *return_scale,
        max_timestep: model.recipe.clamps_timesteps().then(|| episode_length.saturating_sub(1)),
        actions: match actions {
            ActionCodec::Discrete { .. } => None,
            ActionCodec::Continuous { offset, scale, .. } => Some((offset.clone(), scale.clone())),
        },
    };
    WindowSampler::new(data, normaliser, config)
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
