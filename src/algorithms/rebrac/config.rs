//! The configuration of ReBRAC, with the published values.

use rtg_datasets::sample::TruncatedLast;

use crate::algorithms::conventions::OfflineConventions;
use crate::keys::{Range, keys};

keys! {
    /// ReBRAC's networks, batches and update.
    pub struct Config = "rebrac", recipe: &str;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = 3, Range::LAYERS, "", "3";
    /// Whether the critics have a layer norm after each activation.
    critic_norm: bool = true, Range::Any, "", "true";
    /// Transitions in a batch.
    batch_size: usize = 1024, Range::ROWS, "transitions",
        "1024 in locomotion, 256 elsewhere";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 1e-3, Range::POSITIVE, "",
        "1e-3; antmaze, maze2d, adroit 3e-4";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 1e-3, Range::POSITIVE, "",
        "1e-3; maze2d, adroit 3e-4; antmaze 5e-5";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99; antmaze 0.999";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained weights in each update of the actor.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Weight of the distance to the data's actions in the actor's loss, beta 1.
    actor_penalty: f64 = 0.01, Range::NOT_NEGATIVE, "",
        "hopper 0.01 (medium), 0.05 (replay), 0.1 (expert); halfcheetah 0.001, 0.01, 0.01; \
         walker2d 0.05, 0.05, 0.01";
    /// Weight of the distance between the target policy's and the data's next actions, beta 2.
    critic_penalty: f64 = 0.01, Range::NOT_NEGATIVE, "",
        "hopper 0.01 (medium), 0.5 (replay), 0.01 (expert); halfcheetah 0.01, 0.001, 0.1; \
         walker2d 0.1, 0.01, 0.01";
    /// Standard deviation of the noise on the target policy's actions, as a fraction of the largest
    /// action.
    policy_noise: f64 = 0.2, Range::NOT_NEGATIVE, "of the largest action", "0.2";
    /// Bound at which that noise is clipped.
    noise_clip: f64 = 0.5, Range::NOT_NEGATIVE, "of the largest action", "0.5";
    /// Updates of the critics per update of the actor and the targets.
    policy_delay: u64 = 2, Range::ROWS, "updates", "2";
    /// Standard deviation of the exploration noise, for recording datasets with this policy.
    exploration_noise: f64 = 0.1, Range::NOT_NEGATIVE, "of the largest action", "0.1 (TD3)";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = OfflineConventions::named(recipe).pick(false, true), Range::Any, "", "false; d3rlpy true";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does. No action
    /// follows it, so it is dropped in either case.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1; antmaze 100";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
}
