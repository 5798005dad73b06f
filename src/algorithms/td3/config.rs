//! The configuration of TD3, with the published values.

pub use crate::algorithms::conventions::OnlineConventions;
use crate::behaviour::NoiseProcess;
use crate::keys::{Range, keys};

keys! {
    /// TD3's networks, batches, update and interaction with the environment.
    pub struct Config = "td3", code: OnlineConventions;

    /// Units in each hidden layer of actor and critics.
    hidden: Vec<usize> = code.pick(vec![256, 256], vec![400, 300]), Range::WIDTH, "",
        "[256, 256]; sb3 [400, 300]";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = code.pick(3e-4, 1e-3), Range::POSITIVE, "", "3e-4; sb3 1e-3";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = code.pick(3e-4, 1e-3), Range::POSITIVE, "", "3e-4; sb3 1e-3";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained weights in each update of the actor.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Standard deviation of the noise on the target policy's actions.
    policy_noise: f64 = 0.2, Range::NOT_NEGATIVE, "of half the action's range", "0.2";
    /// Bound at which that noise is clipped.
    noise_clip: f64 = 0.5, Range::NOT_NEGATIVE, "of half the action's range", "0.5";
    /// Updates of the critics per update of the actor and the targets.
    policy_delay: u64 = 2, Range::ROWS, "updates", "2";
    /// The process of the exploration noise: `gaussian`, each step's on its own, or
    /// `ornstein_uhlenbeck`, correlated over hundreds of steps.
    exploration: NoiseProcess as serde(default) = NoiseProcess::Gaussian,
        Range::Words(NoiseProcess::NAMES), "",
        "gaussian; sb3 none, its tuned plans either";
    /// The scale of the exploration noise, sigma: for `gaussian` its standard deviation.
    exploration_noise: f64 = 0.1, Range::NOT_NEGATIVE, "of half the action's range",
        "0.1; sb3 none, its tuned plans 0.1, with ornstein_uhlenbeck 0.5";
    /// Environments that are stepped together.
    environments: usize = 1, Range::between(1.0, 4096.0), "environments", "1";
    /// Capacity of the replay buffer, at most 2^24; a dataset's steps are stored first.
    capacity: usize = 1_000_000, Range::between(1.0, 16_777_216.0), "steps", "1e6";
    /// Environment steps with random actions before the first update. Default: the published
    /// number, or a tenth of the run if the run is shorter than ten times that.
    learning_starts: Option<u64> = None, Range::at_least(0), "steps",
        "25,000; sb3 100, its tuned plans 10,000";
    /// Environment steps between two rounds of updates.
    update_every: u64 = 1, Range::at_least(1), "steps", "1";
    /// Updates in a round.
    updates: u64 = 1, Range::ROWS, "updates", "1";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
}

impl Config {
    /// Fills in values that follow from the number of steps of the run.
    pub fn resolve(&mut self, code: OnlineConventions, steps: u64) {
        let published = code.pick(25_000, 100);
        self.learning_starts
            .get_or_insert(published.min(steps / 10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_starts_to_learn_after_a_tenth_of_its_steps() {
        for (code, steps, expected) in [
            (OnlineConventions::CleanRl, 10_000, 1000),
            (OnlineConventions::CleanRl, 1_000_000, 25_000),
            (OnlineConventions::Sb3, 10_000, 100),
        ] {
            let mut config = Config::of(code);
            config.resolve(code, steps);
            assert_eq!(config.learning_starts, Some(expected));
        }
    }
}
