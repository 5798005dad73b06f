//! The description of an environment.

use crate::Space;
use serde::{Deserialize, Serialize};

/// The description of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Gymnasium's id, such as `CartPole-v1`.
    pub id: String,
    /// The observation space.
    pub observation_space: Space,
    /// The action space.
    pub action_space: Space,
    /// Steps after which an episode is truncated.
    pub max_episode_steps: Option<usize>,
    /// The mean return above which the task counts as solved.
    pub reward_threshold: Option<f64>,
    /// The two reference returns of a score.
    pub reference_returns: Option<ReferenceReturns>,
}

/// Mean returns of a random and of an expert policy: the 0 and the 100 of a score.
/// [`registry`](crate::registry) states their sources.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceReturns {
    /// Mean return of uniformly random actions.
    pub random: f64,
    /// Mean return of the expert.
    pub expert: f64,
}

impl ReferenceReturns {
    /// The score of a return, `100 (r - random) / (expert - random)`, as D4RL defines it.
    pub fn score(&self, episode_return: f64) -> f64 {
        100.0 * (episode_return - self.random) / (self.expert - self.random)
    }

    /// The spread of scores (a standard deviation, an interval's width) from that of returns:
    /// scaled alike, not shifted.
    pub fn score_spread(&self, spread: f64) -> f64 {
        100.0 * spread / (self.expert - self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_0_for_random_and_100_for_the_expert() {
        let reference = ReferenceReturns {
            random: -1200.0,
            expert: -200.0,
        };
        assert_eq!(reference.score(-1200.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(reference.score(-200.0).to_bits(), 100.0_f64.to_bits());
        assert_eq!(reference.score_spread(10.0).to_bits(), 1.0_f64.to_bits());
    }
}
