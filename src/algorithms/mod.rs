//! Learning algorithms: each has a configuration, a learner and the policy that comes out.
//!
//! A [`Learner`] is what the training loop drives, a [`Model`] is what a checkpoint holds and what
//! acts. The loop, the checkpoint and the evaluation know no more of an algorithm than this page.

pub mod bc;
pub mod decision_transformer;

use rtg_datasets::Dataset;
use rtg_datasets::sample::{Batch, WindowSampler};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;

pub use decision_transformer::{Moments, Update};

/// How a policy is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// [`decision_transformer`]; its network is the table `[model]`.
    #[default]
    DecisionTransformer,
    /// [`bc`], behaviour cloning; its network is the table `[bc]`.
    Bc,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::DecisionTransformer, Self::Bc];

    /// The table of an experiment that only this algorithm reads.
    pub fn table(self) -> &'static str {
        match self {
            Self::DecisionTransformer => "model",
            Self::Bc => "bc",
        }
    }
}

/// A trained (or new) policy of any algorithm.
#[derive(Clone, Debug)]
pub enum Model {
    /// Asked for a return.
    DecisionTransformer(decision_transformer::Model),
    /// Does what the data do.
    Bc(bc::Model),
}

impl Model {
    /// The trained weights.
    pub fn parameters(&self) -> &[f32] {
        match self {
            Self::DecisionTransformer(model) => &model.parameters,
            Self::Bc(model) => &model.parameters,
        }
    }

    /// A policy for up to `rows` episodes at once. Its actions have the same bits for any number of
    /// rows and threads.
    pub fn policy(&self, rows: usize, threads: usize) -> Box<dyn Policy> {
        match self {
            Self::DecisionTransformer(model) => model.policy(rows, threads),
            Self::Bc(model) => model.policy(rows),
        }
    }

    /// Draws the windows that this model learns from.
    pub fn sampler(&self, data: &Dataset) -> Result<WindowSampler, rtg_datasets::Error> {
        match self {
            Self::DecisionTransformer(model) => decision_transformer::sampler(model, data),
            Self::Bc(model) => bc::sampler(model, data),
        }
    }
}

/// Trains a model of any algorithm: `accumulate` the batches of a step, then `apply`.
pub enum Learner {
    /// Through the fused engine, or step by step beside a GPU.
    DecisionTransformer(Box<decision_transformer::Learner>),
    /// On the CPU.
    Bc(Box<bc::Learner>),
}

impl Learner {
    /// Adds the gradient of one batch to the step's.
    pub fn accumulate(&mut self, batch: &Batch) {
        match self {
            Self::DecisionTransformer(learner) => learner.accumulate(batch),
            Self::Bc(learner) => learner.accumulate(batch),
        }
    }

    /// The loss on a batch, without dropout and without learning from it.
    pub fn loss(&mut self, batch: &Batch) -> f64 {
        match self {
            Self::DecisionTransformer(learner) => learner.loss(batch),
            Self::Bc(learner) => learner.loss(batch),
        }
    }

    /// One optimiser step with the mean of the accumulated gradients.
    pub fn apply(&mut self) -> Update {
        match self {
            Self::DecisionTransformer(learner) => learner.apply(),
            Self::Bc(learner) => learner.apply(),
        }
    }

    /// A copy of the model as it stands.
    pub fn model(&self) -> Model {
        match self {
            Self::DecisionTransformer(learner) => {
                Model::DecisionTransformer(learner.model().clone())
            }
            Self::Bc(learner) => Model::Bc(learner.model().clone()),
        }
    }

    /// The optimiser's memory.
    pub fn moments(&self) -> &Moments {
        match self {
            Self::DecisionTransformer(learner) => learner.moments(),
            Self::Bc(learner) => learner.moments(),
        }
    }

    /// Goes on after `step` steps with this memory.
    pub fn restore(&mut self, moments: Moments, step: u64) {
        match self {
            Self::DecisionTransformer(learner) => learner.restore(moments, step),
            Self::Bc(learner) => learner.restore(moments, step),
        }
    }

    /// Weights and last gradient before clipping, by name: (name, weights, gradient).
    pub fn histograms(&self) -> Vec<(String, &[f32], &[f32])> {
        match self {
            Self::DecisionTransformer(learner) => (learner.histograms())
                .map(|(name, weights, gradient)| (name.to_owned(), weights, gradient))
                .collect(),
            Self::Bc(learner) => learner.histograms(),
        }
    }
}
