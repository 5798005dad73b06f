//! The configuration of TD3+BC, with the published values.

use rtg_datasets::sample::TruncatedLast;

use crate::keys::{Range, keys};

keys! {
    /// TD3+BC's networks, batches and update.
    pub struct Config = "td3_bc", _recipe: &str;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = 2, Range::LAYERS, "", "2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained weights in each update of the actor.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Weight of the values relative to cloning, alpha: the larger, the further from the data.
    alpha: f64 = 2.5, Range::NOT_NEGATIVE, "", "2.5";
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
    normalise: bool = true, Range::Any, "", "true";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast = TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; -1 in antmaze";
}
