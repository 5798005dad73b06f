//! Every choice of PPO, with the published values.

use serde::{Deserialize, Serialize};

pub use crate::algorithms::conventions::Conventions;
use crate::keys::{Range, keys};

/// How a number goes on over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fall {
    /// It stays.
    Constant,
    /// It falls in a line, to zero at the end of the run.
    Linear,
}

impl Fall {
    const NAMES: &'static [&'static str] = &["constant", "linear"];

    /// What is left of `value` when this part of the run remains.
    pub fn of(self, value: f64, remaining: f64) -> f64 {
        match self {
            Self::Constant => value,
            Self::Linear => value * remaining,
        }
    }
}

keys! {
    /// PPO's networks, collections and updates.
    pub struct Config = "ppo", code: Conventions;

    /// Numbers in each hidden layer of actor and critic.
    hidden: Vec<usize> = vec![64, 64], Range::at_least(1), "",
        "[64, 64]; sb3's tuned plan for Hopper [256, 256]";
    /// Environments that step in turns.
    environments: usize = code.pick(4, 1), Range::at_least(1), "environments",
        "4; cleanrl 1 with continuous actions; sb3 1";
    /// Steps in each environment between two updates.
    rollout_steps: usize = code.pick(128, 2048), Range::at_least(1), "steps",
        "128; cleanrl 2048 with continuous actions; sb3 2048";
    /// Times that an update goes through its steps.
    epochs: usize = code.pick(4, 10), Range::at_least(1), "",
        "4; cleanrl 10 with continuous actions; sb3 10";
    /// Steps in a minibatch; what is left of an epoch makes a smaller one.
    minibatch_size: usize = code.pick(128, 64), Range::at_least(1), "steps",
        "128; cleanrl 64 with continuous actions; sb3 64";
    /// Adam's learning rate of actor and critic.
    learning_rate: f64 = code.pick(2.5e-4, 3e-4), Range::POSITIVE, "",
        "2.5e-4; cleanrl 3e-4 with continuous actions; sb3 3e-4";
    /// How the learning rate goes on: `constant`, or `linear` to zero at the end of the run.
    learning_rate_schedule: Fall = code.pick(Fall::Linear, Fall::Constant),
        Range::Words(Fall::NAMES), "", "linear; sb3 constant";
    /// Adam's number that keeps its divisor from zero.
    adam_epsilon: f64 = 1e-5, Range::POSITIVE, "", "1e-5";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// How far advantages look ahead, lambda: 0 is one step, 1 to the end of the episode.
    gae_lambda: f64 = 0.95, Range::UNIT, "", "0.95";
    /// How far the ratio of new to old probabilities is followed beyond 1.
    clip: f64 = 0.2, Range::POSITIVE, "", "0.2";
    /// How `clip` goes on: `constant`, or `linear` to zero at the end of the run.
    clip_schedule: Fall = Fall::Constant, Range::Words(Fall::NAMES), "",
        "constant; sb3's tuned plan for CartPole linear";
    /// How far a value is followed from the former one; 0 leaves values free.
    value_clip: f64 = code.pick(0.2, 0.0), Range::NOT_NEGATIVE, "", "0.2; sb3 0";
    /// The weight of the policy's entropy.
    entropy_weight: f64 = code.pick(0.01, 0.0), Range::NOT_NEGATIVE, "",
        "0.01; cleanrl 0 with continuous actions; sb3 0";
    /// The weight of the critic's loss.
    value_weight: f64 = 0.5, Range::NOT_NEGATIVE, "", "0.5";
    /// The largest norm of the gradient of actor and critic together; 0 leaves it as it is.
    gradient_limit: f64 = 0.5, Range::NOT_NEGATIVE, "", "0.5";
    /// An update ends early when the policy is this far from that of its steps; 0 never.
    /// `cleanrl` looks after each epoch, `sb3` before each step, at 1.5 times this.
    target_kl: f64 = 0.0, Range::NOT_NEGATIVE, "nats", "0";
    /// Whether an episode that was cut off goes on with the value of its last observation; if not,
    /// it counts as ended.
    bootstrap_truncated: bool = true, Range::Any, "", "sb3 true; cleanrl false";
    /// Of continuous actions, the logarithm of the standard deviations before the first update.
    initial_log_sigma: f64 = 0.0, Range::FINITE, "", "0; sb3's tuned plan for Hopper -2";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_falls_to_zero_and_a_constant_stays() {
        assert!((Fall::Linear.of(2.0, 0.25) - 0.5).abs() < 1e-12);
        assert!((Fall::Constant.of(2.0, 0.25) - 2.0).abs() < 1e-12);
    }
}
