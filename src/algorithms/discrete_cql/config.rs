//! The configuration of discrete CQL, with the published values.

use rtg_datasets::sample::{RewardTransform, TransitionConfig, TruncatedLast};

use super::NAME;
use crate::algorithms::q_learning::{Loss, Method};
use crate::keys::{Range, keys};

/// Whose defaults are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// d3rlpy's `DiscreteCQLConfig`.
    D3rlpy,
    /// rtg's, for small observations: a target network that moves in each update, larger batches
    /// and a higher learning rate. Unpublished.
    Rtg,
}

impl Defaults {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["d3rlpy", "rtg"];

    /// The defaults of this recipe; d3rlpy's if the name is unknown.
    pub fn named(recipe: &str) -> Self {
        if recipe == "rtg" {
            Self::Rtg
        } else {
            Self::D3rlpy
        }
    }

    /// One value for each variant.
    fn pick<T>(self, d3rlpy: T, rtg: T) -> T {
        match self {
            Self::D3rlpy => d3rlpy,
            Self::Rtg => rtg,
        }
    }
}

keys! {
    /// Discrete CQL's network, batches and update.
    pub struct Config = "discrete_cql", whose: Defaults;

    /// The weight of the conservative gap, alpha; 0 is double DQN on the data.
    alpha: f64 = 1.0, Range::NOT_NEGATIVE, "",
        "1; d3rlpy's Atari script 4; the authors' Atari code 1, 4 or 10";
    /// Outputs per action: 1 is the mean return, more are quantiles of the return (QR-DQN).
    quantiles: usize = 1, Range::between(1.0, 1000.0), "", "1; on Atari 200";
    /// Units in each hidden layer of the Q-network.
    hidden: Vec<usize> = vec![256, 256], Range::at_least(1), "", "[256, 256]";
    /// Transitions in a batch.
    batch_size: usize = whose.pick(32, 256), Range::at_least(1), "transitions", "32; rtg 256";
    /// Adam's learning rate.
    learning_rate: f64 = whose.pick(6.25e-5, 3e-4), Range::POSITIVE, "",
        "6.25e-5; its Atari script 5e-5; rtg 3e-4";
    /// Double DQN: the trained network chooses the action that the target network values.
    double: bool = true, Range::Any, "", "true; the authors' Atari code false";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::at_least(1), "steps", "1";
    /// Updates between two moves of the target network; it also moves after the first update.
    target_every: u64 = whose.pick(8000, 1), Range::at_least(1), "updates",
        "8000; its Atari script 2000; rtg 1";
    /// Fraction by which the target network moves towards the trained one; 1 copies it.
    tau: f64 = whose.pick(1.0, 0.005), Range::PART, "", "1; rtg 0.005";
    /// Whether observations are normalised with the dataset's mean and standard deviation.
    normalise: bool = false, Range::Any, "", "false";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
    /// The last step of a truncated episode: `keep` it as an ordinary transition, or `drop` it.
    truncated_last: TruncatedLast = whose.pick(TruncatedLast::Drop, TruncatedLast::Keep),
        Range::Words(&["keep", "drop"]), "", "drop; rtg keep";
}

impl Config {
    /// The method of this configuration.
    pub fn method(self) -> Method {
        Method {
            name: NAME,
            hidden: self.hidden,
            dueling: false,
            quantiles: self.quantiles,
            double: self.double,
            loss: Loss::Huber,
            conservative: self.alpha,
            learning_rate: self.learning_rate,
            gradient_limit: 0.0,
            tau: self.tau,
            target_every: self.target_every,
            batch_size: self.batch_size,
            transitions: TransitionConfig {
                truncated_last: self.truncated_last,
                n_step: self.n_step,
                discount: self.discount,
                reward: RewardTransform {
                    scale: self.reward_scale,
                    shift: self.reward_shift,
                },
                ..TransitionConfig::default()
            },
            normalise: self.normalise,
            online: None,
        }
    }
}
