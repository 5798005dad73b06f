//! A Gaussian actor without squashing, whose standard deviations are free parameters, and weighted
//! cloning of the data's actions.

use rtg_datasets::sample::Transitions;

use crate::algorithms::Rule;
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::vector::TrainedVector;
use rtg_kernels::mlp::heads::{gaussian::Gaussian, tanh};

/// CORL's name of the log standard deviations.
pub(in crate::algorithms) const LOG_SIGMA: &str = "actor.log_std";

/// The mean and, exploring, noise around it.
pub struct GaussianDecision {
    /// Whether the mean is the tanh of the network's outputs; else it is the outputs.
    pub(in crate::algorithms) squash: bool,
    /// The distribution and its log standard deviations; a deterministic actor has none and
    /// explores without noise, as in CORL.
    pub(in crate::algorithms) noise: Option<(Gaussian, Vec<f32>)>,
}

impl Decision for GaussianDecision {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        if self.squash {
            tanh::forward(1.0, outputs, actions);
        } else {
            actions.copy_from_slice(outputs);
        }
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
        if let Some((gaussian, log_sigma)) = &self.noise {
            let means = actions.to_vec();
            gaussian.sample(&means, log_sigma, noise, actions);
            for action in actions {
                *action = action.clamp(-1.0, 1.0);
            }
        }
    }

    fn rule(&self) -> Option<Rule> {
        Some(if self.squash {
            Rule::Tanh { scale: 1.0 }
        } else {
            Rule::Outputs
        })
    }
}

/// Scratch memory of weighted cloning, kept for the next update.
#[derive(Default)]
pub(in crate::algorithms) struct Regression {
    /// w, row by row.
    pub(in crate::algorithms) weights: Vec<f32>,
    /// The actor's actions, or their means.
    pub(in crate::algorithms) actions: Vec<f32>,
    /// Their gradients.
    pub(in crate::algorithms) gradients: Vec<f32>,
    /// The loss of each row, before its weight.
    pub(in crate::algorithms) cloning: Vec<f32>,
    log_gradients: Vec<f32>,
}

impl Regression {
    /// Allocates memory for the batch's actions.
    pub(in crate::algorithms) fn begin(&mut self, batch: &Transitions) {
        self.actions.resize(batch.actions.len(), 0.0);
        self.gradients.resize(batch.actions.len(), 0.0);
        self.cloning.resize(batch.rows, 0.0);
    }

    /// The loss of a row is -log pi(a | s), and the total the sum of w times it, divided by `rows`.
    pub(in crate::algorithms) fn gaussian(
        &mut self,
        batch: &Transitions,
        gaussian: Gaussian,
        log_sigma: &mut TrainedVector,
        rows: f32,
    ) {
        let sigma = &log_sigma.values;
        gaussian.log_probabilities(&self.actions, sigma, &batch.actions, &mut self.cloning);
        self.log_gradients.clear();
        self.log_gradients
            .extend(self.weights.iter().map(|weight| -weight / rows));
        for log_probability in &mut self.cloning {
            *log_probability = -*log_probability;
        }
        log_sigma.gradient.fill(0.0);
        gaussian.backward(
            (&self.actions, sigma, &batch.actions),
            &self.log_gradients,
            &mut self.gradients,
            &mut log_sigma.gradient,
        );
    }

    /// The weighted sum of the rows' losses.
    pub(in crate::algorithms) fn sum(&self) -> f64 {
        let terms = self.weights.iter().zip(&self.cloning);
        terms.map(|(w, c)| f64::from(*w) * f64::from(*c)).sum()
    }

    /// The share of weights that reach the limit.
    pub(in crate::algorithms) fn limited(&self, limit: f32) -> f64 {
        let limited = self.weights.iter().filter(|weight| **weight >= limit);
        limited.count() as f64 / self.weights.len().max(1) as f64
    }
}
