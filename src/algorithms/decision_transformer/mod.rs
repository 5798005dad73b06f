//! The Decision Transformer (Chen et al. 2021): behaviour cloning of windows of
//! (return-to-go, observation, action), conditioned at evaluation on the return one asks for.
//!
//! [`Learner`] trains; [`Model`] is what it leaves: weights, sizes and the way from raw numbers into
//! the network, all that a [`policy`](Model::policy) needs. Recipes and their differences are in
//! [`config`].

pub mod config;
mod device;
mod policy;
pub mod preprocessing;

use rtg_datasets::Dataset;
use rtg_datasets::sample::{Batch, WindowConfig, WindowSampler};

use self::config::{EngineKind, ModelConfig, OptimiserConfig, Recipe};
pub use self::device::DeviceLearner;
use self::preprocessing::Preprocessing;
use crate::kernels::adamw;
use crate::kernels::{Dropout, Layout, Objective, Shape, Side, Windows};
use crate::nn::initialise::initialise;
use crate::nn::network::Network;
use crate::nn::state_dict::{Entry, untrained};
use crate::policy::Policy;
use crate::random::{Stream, derive};

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
    pub fn new(
        recipe: Recipe,
        config: &ModelConfig,
        preprocessing: Preprocessing,
        seed: u64,
    ) -> Self {
        let shape = shape(recipe, config, &preprocessing);
        let mut stream = Stream::new(seed, "initialisation");
        let parameters = initialise(&Layout::new(&shape), recipe.initialisation(), &mut stream);
        let untrained = untrained(recipe.naming(), &shape, &mut stream);
        Self {
            recipe,
            config: config.clone(),
            shape,
            parameters,
            untrained,
            preprocessing,
        }
    }

    /// A policy for up to `rows` episodes at once, conditioned on each episode's target return. Its
    /// actions have the same bits for any number of rows and threads.
    pub fn policy(&self, rows: usize, threads: usize) -> Box<dyn Policy> {
        Box::new(policy::TargetReturn::new(self, rows, threads))
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
        head: preprocessing.actions.head(),
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
        // A precision that only a GPU has is that of `DeviceLearner`; the engine here does not train then.
        let precision = Some(config.precision).filter(|precision| precision.is_available());
        let fused = (config.engine == EngineKind::Fused).then_some(precision.unwrap_or_default());
        let network = Network::new(model.shape, model.parameters.clone(), fused, threads);
        let zeros = vec![0.0; model.parameters.len()];
        Self {
            objective: model.preprocessing.actions.objective(),
            dropout: Dropout {
                probability_attention: config.attention_dropout,
                probability_residual: config.residual_dropout,
                probability_embedding: config.embedding_dropout,
                key: 0,
            },
            moments: Moments {
                first: zeros.clone(),
                second: zeros,
            },
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
        self.dropout.key = self.key(self.step, part);
        let denominator = self.model.recipe.denominator();
        let dropout = Some(&self.dropout).filter(|dropout| is_on(dropout));
        let loss = self
            .network
            .accumulate(&windows(batch), self.objective, denominator, dropout);
        self.losses.push(loss);
    }

    /// The loss on a batch, without dropout and without learning from it.
    pub fn loss(&mut self, batch: &Batch) -> f64 {
        let denominator = self.model.recipe.denominator();
        self.network
            .loss(&windows(batch), self.objective, denominator)
    }

    /// One AdamW step with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        let mut gradient = self.network.take_gradient();
        let batches = self.losses.len().max(1) as f64;
        if batches > 1.0 {
            for value in &mut gradient {
                *value /= batches as f32;
            }
        }
        let norm = adamw::norm(&gradient);
        let clip = self.config.clip(norm);
        let learning_rate = self.config.learning_rate_at(self.step, self.steps);
        let loss = self.losses.drain(..).sum::<f64>() / batches;
        self.step += 1;
        let optimiser = self.config.adamw();
        let parameters = &mut self.model.parameters;
        let Moments { first, second } = &mut self.moments;
        let (rate, step) = (learning_rate, self.step);
        match self.network.engine() {
            Some(engine) => engine.update(
                &optimiser, rate, step, clip, &gradient, parameters, first, second,
            ),
            None => adamw::update(
                &optimiser, rate, step, clip, &gradient, parameters, first, second,
            ),
        }
        self.network.set_parameters(parameters);
        self.gradient = gradient;
        Update {
            loss,
            gradient_norm: norm,
            learning_rate,
        }
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

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &[f32], &[f32])> {
        self.network.layout.views().map(|view| {
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
pub fn sampler(model: &Model, data: &Dataset) -> Result<WindowSampler, rtg_datasets::Error> {
    let Preprocessing {
        normaliser,
        return_scale,
        episode_length,
        actions,
    } = &model.preprocessing;
    let context = model.config.context;
    let mut config = match model.recipe {
        Recipe::Official => WindowConfig::official(context, *return_scale, *episode_length),
        Recipe::Corl => WindowConfig::corl(context, *return_scale),
    };
    config.action_map = actions.action_map();
    WindowSampler::new(data, normaliser, config)
}

/// Whether anything is dropped at all.
fn is_on(dropout: &Dropout) -> bool {
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
