//! The configuration of PPO, with the published values.

use serde::{Deserialize, Serialize};

pub use crate::algorithms::conventions::OnlineConventions;
use crate::keys::{Range, keys};

/// The schedule of a value over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Annealing {
    /// Constant.
    Constant,
    /// Linear decay to zero at the end of the run.
    Linear,
}

impl Annealing {
    const NAMES: &'static [&'static str] = &["constant", "linear"];

    /// The value when this fraction of the run remains.
    pub fn of(self, value: f64, remaining: f64) -> f64 {
        match self {
            Self::Constant => value,
            Self::Linear => value * remaining,
        }
    }
}

keys! {
    /// PPO's networks, collections and updates.
    pub struct Config = "ppo", code: OnlineConventions;

    /// Units in each hidden layer of actor and critic.
    hidden: Vec<usize> = vec![64, 64], Range::at_least(1), "",
        "[64, 64]; sb3's tuned plan for Hopper [256, 256]";
    /// Environments that are stepped together.
    environments: usize = code.pick(4, 1), Range::at_least(1), "environments",
        "4; cleanrl 1 with continuous actions; sb3 1";
    /// Steps in each environment between two updates.
    rollout_steps: usize = code.pick(128, 2048), Range::at_least(1), "steps",
        "128; cleanrl 2048 with continuous actions; sb3 2048";
    /// Passes of an update over its steps.
    epochs: usize = code.pick(4, 10), Range::at_least(1), "",
        "4; cleanrl 10 with continuous actions; sb3 10";
    /// Steps in a minibatch; the last one of an epoch may be smaller.
    minibatch_size: usize = code.pick(128, 64), Range::at_least(1), "steps",
        "128; cleanrl 64 with continuous actions; sb3 64";
    /// Adam's learning rate of actor and critic.
    learning_rate: f64 = code.pick(2.5e-4, 3e-4), Range::POSITIVE, "",
        "2.5e-4; cleanrl 3e-4 with continuous actions; sb3 3e-4";
    /// Schedule of the learning rate: `constant`, or `linear` to zero at the end of the run.
    learning_rate_schedule: Annealing = code.pick(Annealing::Linear, Annealing::Constant),
        Range::Words(Annealing::NAMES), "", "linear; sb3 constant";
    /// Adam's epsilon.
    adam_epsilon: f64 = 1e-5, Range::POSITIVE, "", "1e-5";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Lambda of generalised advantage estimation: 0 uses one step, 1 all steps to the end of the
    /// episode.
    gae_lambda: f64 = 0.95, Range::UNIT, "", "0.95";
    /// The largest distance from 1 of the ratio between new and old probabilities before it is
    /// clipped.
    clip: f64 = 0.2, Range::POSITIVE, "", "0.2";
    /// Schedule of `clip`: `constant`, or `linear` to zero at the end of the run.
    clip_schedule: Annealing = Annealing::Constant, Range::Words(Annealing::NAMES), "",
        "constant; sb3's tuned plan for CartPole linear";
    /// The largest change of a value before it is clipped; 0 for no clipping.
    value_clip: f64 = code.pick(0.2, 0.0), Range::NOT_NEGATIVE, "", "0.2; sb3 0";
    /// The weight of the policy's entropy.
    entropy_weight: f64 = code.pick(0.01, 0.0), Range::NOT_NEGATIVE, "",
        "0.01; cleanrl 0 with continuous actions; sb3 0";
    /// The weight of the critic's loss.
    value_weight: f64 = 0.5, Range::NOT_NEGATIVE, "", "0.5";
    /// The norm at which the gradient of actor and critic together is clipped; 0 for no limit.
    gradient_limit: f64 = 0.5, Range::NOT_NEGATIVE, "", "0.5";
    /// An update ends early when the policy's divergence from that of its steps exceeds this; 0 for
    /// never. `cleanrl` checks after each epoch, `sb3` before each step, with 1.5 times this.
    target_kl: f64 = 0.0, Range::NOT_NEGATIVE, "nats", "0";
    /// Whether the value of a truncated episode's last observation is added to its return; if not,
    /// truncation counts as termination.
    bootstrap_truncated: bool = true, Range::Any, "", "sb3 true; cleanrl false";
    /// The logarithm of the standard deviations of continuous actions before the first update.
    initial_log_sigma: f64 = 0.0, Range::FINITE, "", "0; sb3's tuned plan for Hopper -2";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_falls_to_zero_and_a_constant_stays() {
        assert!((Annealing::Linear.of(2.0, 0.25) - 0.5).abs() < 1e-12);
        assert!((Annealing::Constant.of(2.0, 0.25) - 2.0).abs() < 1e-12);
    }
}
