//! The configuration of discrete AWAC, with AWAC's values where it has them.

use rtg_datasets::sample::TruncatedLast;

use crate::keys::{Range, keys};

keys! {
    /// Discrete AWAC's networks, batches and update.
    pub struct Config = "discrete_awac", _recipe: &str;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "awac 256";
    /// Hidden layers of actor and critics.
    layers: usize = 2, Range::LAYERS, "", "awac 3";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "awac 256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "awac 3e-4";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "awac 3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "awac 0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "awac 1";
    /// Fraction by which targets move towards the trained critics in each update.
    tau: f64 = 0.005, Range::PART, "", "awac 0.005";
    /// Divisor of advantages in the exponential, lambda: the larger, the closer to plain cloning.
    temperature: f64 = 1.0 / 3.0, Range::POSITIVE, "", "awac 1/3 in locomotion, 0.1 elsewhere";
    /// The largest weight of an action.
    weight_limit: f64 = 100.0, Range::POSITIVE, "", "awac 100";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = true, Range::Any, "", "awac true";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Keep, Range::Words(&["keep", "drop"]), "", "awac drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "awac 1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "awac 0";
}
