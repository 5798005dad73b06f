//! The configuration of discrete IQL, with IQL's values where it has them.

use rtg_datasets::sample::TruncatedLast;

use crate::keys::{Range, keys};
use crate::optimise::Schedule;

keys! {
    /// Discrete IQL's networks, batches and update.
    pub struct Config = "discrete_iql", _recipe: &str;

    /// Units in each hidden layer of actor, critics and value function.
    width: usize = 256, Range::WIDTH, "", "iql 256";
    /// Hidden layers of actor, critics and value function.
    layers: usize = 2, Range::LAYERS, "", "iql 2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "iql 256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "iql 3e-4";
    /// Schedule of the actor's learning rate: `constant`, or `cosine` to zero at the last step.
    actor_schedule: Schedule =
        Schedule::Cosine, Range::Words(&["constant", "cosine"]), "", "iql cosine";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "iql 3e-4";
    /// Adam's learning rate of the value function.
    value_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "iql 3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "iql 0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "iql 1";
    /// Fraction by which targets move towards the trained critics in each update.
    tau: f64 = 0.005, Range::PART, "", "iql 0.005";
    /// The expectile of the critics' values that the value function learns: 0.5 is their mean,
    /// towards 1 their maximum over the actions of the data.
    expectile: f64 = 0.7, Range::BELOW_ONE, "", "iql 0.7; antmaze 0.9";
    /// How fast an action's weight increases with its advantage, beta; 0 is plain cloning.
    beta: f64 = 3.0, Range::NOT_NEGATIVE, "", "iql 3; antmaze 10";
    /// The largest weight of an action.
    weight_limit: f64 = 100.0, Range::POSITIVE, "", "iql 100";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = true, Range::Any, "", "iql true";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Keep, Range::Words(&["keep", "drop"]), "", "iql drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "iql 1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "iql 0";
}
