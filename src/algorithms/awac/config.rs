//! The configuration of AWAC, with the published values.

use rtg_datasets::sample::TruncatedLast;
use serde::{Deserialize, Serialize};

use crate::algorithms::conventions::OfflineConventions;
use crate::keys::{Range, keys};

/// How an action's weight follows from its advantage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageWeights {
    /// The exponential, clipped at a limit.
    Clip,
    /// The softmax over the batch, times the number of rows.
    Softmax,
}

/// The value of a recipe.
fn of<T>(recipe: &str, corl: T, d3rlpy: T) -> T {
    OfflineConventions::named(recipe).pick(corl, d3rlpy)
}

keys! {
    /// AWAC's networks, batches and update.
    pub struct Config = "awac", recipe: &str;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = of(recipe, 3, 4), Range::LAYERS, "", "3; rlkit and d3rlpy 4";
    /// Transitions in a batch.
    batch_size: usize = of(recipe, 256, 1024), Range::ROWS, "transitions", "256; rlkit and d3rlpy 1024";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// L2 regularisation: the actor's gradient plus this times its parameters is what Adam gets.
    actor_weight_decay: f64 as serde(default) = of(recipe, 0.0, 1e-4), Range::NOT_NEGATIVE, "",
        "0; d3rlpy 1e-4";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained critics in each update.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Divisor of advantages in the exponential, lambda: the larger, the closer to plain cloning.
    temperature: f64 = of(recipe, 1.0 / 3.0, 1.0), Range::POSITIVE, "",
        "1/3 in locomotion, 0.1 elsewhere; rlkit and d3rlpy 1";
    /// How an action's weight follows from its advantage: `clip` is the exponential, clipped at
    /// `weight_limit`; `softmax` the softmax over the batch times its rows.
    weights: AdvantageWeights = of(recipe, AdvantageWeights::Clip, AdvantageWeights::Softmax),
        Range::Words(&["clip", "softmax"]), "",
        "clip; rlkit and d3rlpy softmax";
    /// The largest weight of an action, with `clip`.
    weight_limit: f64 = 100.0, Range::POSITIVE, "", "100";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = of(recipe, true, false), Range::Any, "", "true; d3rlpy false";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; -1 in antmaze";
}
