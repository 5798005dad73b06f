//! Behaviour cloning: a perceptron learns to do what the data do, return or no return.
//!
//! The baseline of the Decision Transformer paper. On the best part of the data alone, a plan's
//! `selection.top_fraction`, it is the paper's %BC. The network is that of kzl's `mlp_bc.py` or of
//! CORL's `any_percent_bc.py` ([`config`]): the last K observations in, one action out; squared error,
//! or cross-entropy for discrete actions. Observations are normalised by the statistics of the data
//! that it learns from, as in CORL (kzl takes those of the whole dataset).

pub mod config;
mod policy;

use rtg_datasets::sample::{Batch, PaddedObservation, Padding, Side, WindowConfig, WindowSampler};
use rtg_datasets::{Dataset, statistics::Normaliser};

use self::config::BcConfig;
use super::decision_transformer::config::{OptimiserConfig, Recipe};
use super::decision_transformer::preprocessing::ActionCodec;
use super::{Moments, Update};
use crate::kernels::Dropout;
use crate::kernels::adamw;
use crate::nn::mlp::Mlp;
use crate::policy::Policy;
use crate::random::{Stream, derive, mix};

/// A trained (or new) clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which code's conventions it follows.
    pub recipe: Recipe,
    /// What it was made from.
    pub config: BcConfig,
    /// Sizes of the network, from the configuration and the data.
    pub network: Mlp,
    /// The trained weights.
    pub parameters: Vec<f32>,
    /// Observations: (x - mean) / std.
    pub normaliser: Normaliser,
    /// Actions.
    pub actions: ActionCodec,
}

impl Model {
    /// A model without weights yet.
    pub fn empty(
        recipe: Recipe,
        config: BcConfig,
        normaliser: Normaliser,
        actions: ActionCodec,
    ) -> Self {
        let mut sizes = vec![config.context * normaliser.width()];
        sizes.extend(vec![config.width; config.layers]);
        sizes.push(actions.width());
        Self {
            network: Mlp {
                sizes,
                head: actions.head(),
            },
            parameters: Vec::new(),
            recipe,
            config,
            normaliser,
            actions,
        }
    }

    /// The same with new weights.
    #[must_use]
    pub fn initialised(mut self, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "initialisation");
        self.parameters = self.network.initialise(&mut stream);
        self
    }

    /// The greedy policy for up to `rows` episodes at once. It takes no target return.
    pub fn policy(&self, rows: usize) -> Box<dyn Policy> {
        Box::new(policy::Clone::new(self, rows))
    }
}

/// Windows whose last place is cloned: padding, if any, stands before the steps.
pub fn sampler(model: &Model, data: &Dataset) -> Result<WindowSampler, rtg_datasets::Error> {
    let padding = Padding {
        observation: match model.recipe {
            Recipe::Official => PaddedObservation::ZeroBeforeNormalisation,
            Recipe::Corl => PaddedObservation::ZeroAfterNormalisation,
        },
        action: 0.0,
    };
    let config = WindowConfig {
        context: model.config.context,
        side: Side::Left,
        padding,
        return_scale: 1.0,
        max_timestep: None,
        action_map: model.actions.action_map(),
    };
    WindowSampler::new(data, &model.normaliser, config)
}

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
}

impl Learner {
    /// A learner for a run of `steps` optimiser steps.
    pub fn new(model: Model, optimiser: &OptimiserConfig, seed: u64, steps: u64) -> Self {
        let zeros = vec![0.0; model.parameters.len()];
        Self {
            moments: Moments {
                first: zeros.clone(),
                second: zeros.clone(),
            },
            gradient: zeros,
            optimiser: optimiser.clone(),
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
        Update {
            loss: self.losses.drain(..).sum::<f64>() / batches,
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

    /// Goes on after `step` steps with this memory.
    pub fn restore(&mut self, moments: Moments, step: u64) {
        self.moments = moments;
        self.step = step;
    }

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    pub fn histograms(&self) -> Vec<(String, &[f32], &[f32])> {
        let places = self.model.network.views().into_iter();
        places
            .map(|(name, place)| {
                let weights = &self.model.parameters[place.clone()];
                (name, weights, &self.gradient[place])
            })
            .collect()
    }
}
