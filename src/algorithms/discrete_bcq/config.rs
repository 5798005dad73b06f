//! The configuration of discrete BCQ, with the published values.

use rtg_datasets::sample::{RewardTransform, TransitionConfig, TruncatedLast};

use crate::keys::{Range, keys};

/// Whose defaults are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// The authors' networks for small observations.
    Authors,
}

impl Defaults {
    /// The names of the recipes.
    pub const RECIPES: &'static [&'static str] = &["authors"];
}

keys! {
    /// Discrete BCQ's networks, batches and update.
    pub struct Config = "discrete_bcq", _whose: Defaults;

    /// An action may be chosen if its estimated probability in the data is more than this fraction
    /// of the likeliest one's; 0 allows all actions, 1 would allow none.
    threshold: f64 = 0.3, Range::BELOW_ONE, "", "0.3";
    /// The weight of the squared logits of the imitation network.
    logit_weight: f64 = 0.01, Range::NOT_NEGATIVE, "", "0.01; d3rlpy 0.5, its Atari script 0.01";
    /// Units in each hidden layer of the Q-network and of the imitation network.
    hidden: Vec<usize> = vec![256, 256], Range::at_least(1), "", "[256, 256]";
    /// Transitions in a batch.
    batch_size: usize = 64, Range::at_least(1), "transitions", "64; on Atari 32";
    /// Adam's learning rate.
    learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4; on Atari 6.25e-5";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::at_least(1), "steps", "1";
    /// Updates between two moves of the target network.
    target_every: u64 = 1, Range::at_least(1), "updates", "1; on Atari 8000";
    /// Fraction by which the target network moves towards the trained one; 1 copies it.
    tau: f64 = 0.005, Range::PART, "", "0.005; on Atari 1";
    /// Whether observations are normalised with the dataset's mean and standard deviation.
    normalise: bool = false, Range::Any, "", "false";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
    /// The last step of a truncated episode: `keep` it as an ordinary transition, or `drop` it.
    truncated_last: TruncatedLast = TruncatedLast::Keep, Range::Words(&["keep", "drop"]), "",
        "keep";
}

impl Config {
    /// How transitions are built.
    pub(super) fn transitions(&self) -> TransitionConfig {
        TransitionConfig {
            truncated_last: self.truncated_last,
            n_step: self.n_step,
            discount: self.discount,
            reward: RewardTransform {
                scale: self.reward_scale,
                shift: self.reward_shift,
            },
            ..TransitionConfig::default()
        }
    }
}
