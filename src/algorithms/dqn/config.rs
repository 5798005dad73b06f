//! The configuration of DQN, with the published values.

use rtg_datasets::sample::{RewardTransform, TransitionConfig};

use super::NAME;
use crate::algorithms::Interaction;
pub use crate::algorithms::conventions::OnlineConventions;
use crate::algorithms::q_learning::{Copies, Epsilon, Loss, Method, Online};
use crate::keys::{Range, keys};

keys! {
    /// DQN's network, batches, update, exploration and interaction with the environment.
    pub struct Config = "dqn", code: OnlineConventions;

    /// Units in each hidden layer of the Q-network.
    hidden: Vec<usize> = code.pick(vec![120, 84], vec![64, 64]), Range::at_least(1), "",
        "[120, 84]; sb3 [64, 64], its tuned plans [256, 256]";
    /// Transitions in a batch.
    batch_size: usize = code.pick(128, 32), Range::at_least(1), "transitions", "128; sb3 32";
    /// Adam's learning rate.
    learning_rate: f64 = code.pick(2.5e-4, 1e-4), Range::POSITIVE, "", "2.5e-4; sb3 1e-4";
    /// The loss between values and targets: `squared`, or `huber`.
    loss: Loss = code.pick(Loss::Squared, Loss::Huber), Range::Words(Loss::NAMES), "",
        "squared; sb3 huber";
    /// The norm at which gradients are clipped; 0 for no limit.
    gradient_limit: f64 = code.pick(0.0, 10.0), Range::NOT_NEGATIVE, "", "0; sb3 10";
    /// Double DQN: the trained network chooses the action that the target network values.
    double: bool = false, Range::Any, "", "false";
    /// A dueling network: advantages and a state value.
    dueling: bool = false, Range::Any, "", "false";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::at_least(1), "steps", "1";
    /// Environment steps between two moves of the target network.
    target_every: u64 = code.pick(500, 10_000), Range::at_least(1), "steps", "500; sb3 10,000";
    /// Fraction by which the target network moves towards the trained one; 1 copies it.
    tau: f64 = 1.0, Range::PART, "", "1";
    /// The share of random actions at the first step.
    initial_epsilon: f64 = 1.0, Range::UNIT, "", "1";
    /// The share of random actions after that decay.
    final_epsilon: f64 = 0.05, Range::UNIT, "", "0.05";
    /// Fraction of the run over which the share of random actions falls linearly.
    exploration_fraction: f64 = code.pick(0.5, 0.1), Range::UNIT, "", "0.5; sb3 0.1";
    /// Environments that are stepped together.
    environments: usize = 1, Range::at_least(1), "environments", "1";
    /// Capacity of the replay buffer, at most 2^24; a dataset's steps are stored first.
    capacity: usize = code.pick(10_000, 1_000_000), Range::between(1.0, 16_777_216.0), "steps",
        "1e4; sb3 1e6";
    /// Environment steps before the first update; with `sb3` their actions are random. Default: the
    /// published number, or a tenth of the run if the run is shorter than ten times that.
    learning_starts: Option<u64> = None, Range::at_least(0), "steps", "10,000; sb3 100";
    /// Environment steps between two rounds of updates.
    update_every: u64 = code.pick(10, 4), Range::at_least(1), "steps", "10; sb3 4";
    /// Updates in a round.
    updates: u64 = 1, Range::at_least(1), "updates", "1";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
}

impl Config {
    /// Fills in values that follow from the number of steps of the run.
    pub fn resolve(&mut self, code: OnlineConventions, steps: u64) {
        let published = code.pick(10_000, 100);
        self.learning_starts
            .get_or_insert(published.min(steps / 10));
    }

    /// The method of this configuration, for a run of this many steps.
    pub fn method(self, code: OnlineConventions, steps: u64) -> Method {
        let learning_starts = self.learning_starts.unwrap_or_default();
        let transitions = TransitionConfig {
            n_step: self.n_step,
            discount: self.discount,
            reward: RewardTransform {
                scale: self.reward_scale,
                shift: self.reward_shift,
            },
            ..TransitionConfig::default()
        };
        Method {
            name: NAME,
            hidden: self.hidden,
            dueling: self.dueling,
            quantiles: 1,
            double: self.double,
            loss: self.loss,
            conservative: 0.0,
            learning_rate: self.learning_rate,
            gradient_limit: self.gradient_limit,
            tau: self.tau,
            target_every: self.target_every,
            batch_size: self.batch_size,
            transitions: transitions.clone(),
            normalise: false,
            online: Some(Online {
                interaction: Interaction {
                    transitions,
                    normaliser: None,
                    rows: self.batch_size,
                    dataset_rows: 0,
                    environments: self.environments,
                    capacity: self.capacity,
                    learning_starts,
                    random_steps: code.pick(0, learning_starts),
                    action_noise: None,
                    update_every: self.update_every,
                    updates: self.updates,
                },
                epsilon: Epsilon {
                    first: self.initial_epsilon,
                    last: self.final_epsilon,
                    steps: self.exploration_fraction * steps as f64,
                },
                copies: code.pick(Copies::AfterUpdates, Copies::BeforeUpdates),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_starts_to_learn_after_a_tenth_of_its_steps() {
        for (code, steps, expected) in [
            (OnlineConventions::CleanRl, 50_000, 5000),
            (OnlineConventions::CleanRl, 500_000, 10_000),
            (OnlineConventions::Sb3, 50_000, 100),
        ] {
            let mut config = Config::of(code);
            config.resolve(code, steps);
            assert_eq!(config.learning_starts, Some(expected));
            let method = config.method(code, steps);
            let interaction = method.online.unwrap().interaction;
            assert_eq!(interaction.learning_starts, expected);
            let random = if code == OnlineConventions::Sb3 {
                expected
            } else {
                0
            };
            assert_eq!(interaction.random_steps, random);
        }
    }
}
