//! The configuration of SAC, with the published values.

pub use crate::algorithms::conventions::OnlineConventions;
use crate::behaviour::NoiseProcess;
use crate::keys::{Range, keys};

keys! {
    /// SAC's networks, batches, update and interaction with the environment.
    pub struct Config = "sac", code: OnlineConventions;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = 2, Range::LAYERS, "", "2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = code.pick(1e-3, 3e-4), Range::POSITIVE, "", "1e-3; sb3 3e-4";
    /// Adam's learning rate of the temperature's logarithm; 0 keeps the temperature constant.
    alpha_learning_rate: f64 = code.pick(1e-3, 3e-4), Range::NOT_NEGATIVE, "", "1e-3; sb3 3e-4";
    /// The temperature before the first update, alpha.
    initial_alpha: f64 = 1.0, Range::POSITIVE, "", "1";
    /// The policy's target entropy, to which the temperature is adapted. Default: minus the number
    /// of action dimensions.
    target_entropy: Option<f64> = None, Range::FINITE, "nats", "minus the action dimensions";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained critics in each update.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Updates of the critics per update of the actor and the temperature. `cleanrl` then updates
    /// both this many times, `sb3` once.
    policy_delay: u64 = code.pick(2, 1), Range::ROWS, "updates", "2; sb3 1";
    /// The process of noise that is added to the policy's samples and to the random actions before
    /// them: `gaussian`, each step's on its own, or `ornstein_uhlenbeck`, correlated over hundreds
    /// of steps. Default: no noise.
    exploration: Option<NoiseProcess> as serde(default) = None,
        Range::Words(NoiseProcess::NAMES), "", "none";
    /// The scale of that noise, sigma: for `gaussian` its standard deviation.
    exploration_noise: f64 as serde(default) = 0.1, Range::NOT_NEGATIVE,
        "of half the action's range", "";
    /// Environments that are stepped together.
    environments: usize = 1, Range::between(1.0, 4096.0), "environments", "1";
    /// Capacity of the replay buffer, at most 2^24; a dataset's steps are stored first.
    capacity: usize = 1_000_000, Range::between(1.0, 16_777_216.0), "steps", "1e6";
    /// Environment steps with random actions before the first update. Default: the published
    /// number, or a tenth of the run if the run is shorter than ten times that.
    learning_starts: Option<u64> = None, Range::at_least(0), "steps",
        "5000; sb3 100, its tuned plans 10,000";
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
    /// Fills in values that follow from the run and the environment: from the number of steps and
    /// of action dimensions.
    pub fn resolve(&mut self, code: OnlineConventions, steps: u64, action: usize) {
        let published = code.pick(5000, 100);
        self.learning_starts
            .get_or_insert(published.min(steps / 10));
        self.target_entropy.get_or_insert(-(action as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_starts_to_learn_after_a_tenth_of_its_steps() {
        for (code, steps, expected) in [
            (OnlineConventions::CleanRl, 10_000, 1000),
            (OnlineConventions::CleanRl, 1_000_000, 5000),
            (OnlineConventions::Sb3, 500, 50),
            (OnlineConventions::Sb3, 10_000, 100),
        ] {
            let mut config = Config::of(code);
            config.resolve(code, steps, 3);
            assert_eq!(config.learning_starts, Some(expected));
            assert_eq!(config.target_entropy, Some(-3.0));
        }
        let mut given = Config {
            learning_starts: Some(7),
            target_entropy: Some(0.5),
            ..Config::of(OnlineConventions::Sb3)
        };
        given.resolve(OnlineConventions::Sb3, 10_000, 3);
        assert_eq!(
            (given.learning_starts, given.target_entropy),
            (Some(7), Some(0.5))
        );
    }
}
