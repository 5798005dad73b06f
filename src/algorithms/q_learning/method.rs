//! The properties in which Q-learning algorithms differ.

use rtg_datasets::sample::TransitionConfig;
use serde::{Deserialize, Serialize};

use crate::algorithms::Interaction;

/// The loss between a value and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The squared difference.
    Squared,
    /// Huber's loss: the square near zero, linear from 1 on.
    Huber,
}

impl Loss {
    /// Their names in a plan.
    pub const NAMES: &'static [&'static str] = &["squared", "huber"];
}

/// The configuration of a Q-learning algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The algorithm's name, which is that of its table in a plan.
    pub name: &'static str,
    /// Units in each hidden layer.
    pub hidden: Vec<usize>,
    /// Whether the network is dueling: advantages and a state value instead of action values.
    pub dueling: bool,
    /// Outputs per action; 1 is the mean return, more are quantiles.
    pub quantiles: usize,
    /// Double DQN: the trained network chooses the action that the target network values.
    pub double: bool,
    /// The loss if there is one output per action.
    pub loss: Loss,
    /// The weight of the conservative gap, alpha; 0 omits it.
    pub conservative: f64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// The norm at which gradients are clipped; 0 for no limit.
    pub gradient_limit: f64,
    /// Fraction by which the target network moves towards the trained one.
    pub tau: f64,
    /// Steps between two moves of the target network: environment steps online, updates offline.
    pub target_every: u64,
    /// Transitions in a batch.
    pub batch_size: usize,
    /// How transitions are built.
    pub transitions: TransitionConfig,
    /// Whether observations are normalised with the dataset's mean and standard deviation.
    pub normalise: bool,
    /// How it acts, if it collects its own steps.
    pub online: Option<Online>,
}

/// How an online Q-network acts while it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Online {
    /// How steps and updates alternate.
    pub interaction: Interaction,
    /// The share of random actions.
    pub epsilon: Epsilon,
    /// When the target network moves.
    pub copies: Copies,
}

/// Whether a target network that is due at an environment step moves before or after the updates of
/// that step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// As in Stable-Baselines3.
    BeforeUpdates,
    /// As in `CleanRL`.
    AfterUpdates,
}

/// The share of random actions: it decays linearly and is constant afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epsilon {
    /// At the first step.
    pub first: f64,
    /// After the decay.
    pub last: f64,
    /// Environment steps of the decay.
    pub steps: f64,
}

impl Epsilon {
    /// The share after this many environment steps.
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
    fn epsilon_decays_linearly_and_then_stays() {
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
