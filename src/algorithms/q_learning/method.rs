//! What tells one Q-learning algorithm from another.

use rtg_datasets::sample::TransitionConfig;
use serde::{Deserialize, Serialize};

use crate::algorithms::Interaction;

/// The distance between a value and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Its square.
    Squared,
    /// Huber's loss: the square near zero, linear from 1 on.
    Huber,
}

impl Loss {
    /// Their names in a plan.
    pub const NAMES: &'static [&'static str] = &["squared", "huber"];
}

/// Everything that decides the learning of a Q-network.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The algorithm's name, which is that of its table in a plan.
    pub name: &'static str,
    /// Numbers in each hidden layer.
    pub hidden: Vec<usize>,
    /// Advantages and a value of the state instead of values of the actions.
    pub dueling: bool,
    /// Numbers for each action; 1 is the mean return, more are quantiles.
    pub quantiles: usize,
    /// The trained weights choose the action whose target value is taken.
    pub double: bool,
    /// The loss where there is one number for each action.
    pub loss: Loss,
    /// The weight of the conservative gap, alpha; 0 leaves it out.
    pub conservative: f64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// The largest norm of a gradient; 0 leaves it as it is.
    pub gradient_limit: f64,
    /// How far the target moves towards the trained weights when it moves.
    pub tau: f64,
    /// Steps between two moves of the target: environment steps online, updates offline.
    pub target_every: u64,
    /// Transitions in a batch.
    pub batch_size: usize,
    /// How transitions are made.
    pub transitions: TransitionConfig,
    /// Whether observations are normalised with the dataset's mean and deviation.
    pub normalise: bool,
    /// How it acts, of an algorithm that collects its own steps.
    pub online: Option<Online>,
}

/// How a Q-network acts while it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Online {
    /// Steps and updates in turns.
    pub interaction: Interaction,
    /// The share of random actions.
    pub epsilon: Epsilon,
    /// When the target is moved.
    pub copies: Copies,
}

/// Whether a target that is due at an environment step moves before or after the updates at that
/// step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Stable-Baselines3: with the step.
    BeforeUpdates,
    /// `CleanRL`: after the update.
    AfterUpdates,
}

/// The share of random actions: it falls in a line and then stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epsilon {
    /// At the first step.
    pub first: f64,
    /// In the end.
    pub last: f64,
    /// Environment steps of the fall.
    pub steps: f64,
}

impl Epsilon {
    /// After so many environment steps.
    pub fn at(&self, step: u64) -> f64 {
        let progress = if self.steps > 0.0 {
            (step as f64 / self.steps).min(1.0)
        } else {
            1.0
        };
        self.first + (self.last - self.first) * progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_falls_in_a_line_and_stays() {
        let epsilon = Epsilon {
            first: 1.0,
            last: 0.05,
            steps: 100.0,
        };
        for (step, expected) in [(0, 1.0), (50, 0.525), (100, 0.05), (1000, 0.05)] {
            assert!((epsilon.at(step) - expected).abs() < 1e-12, "{step}");
        }
        let at_once = Epsilon {
            steps: 0.0,
            ..epsilon
        };
        assert!((at_once.at(0) - 0.05).abs() < 1e-12);
    }
}
