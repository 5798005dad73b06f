//! Every choice of CQL, with the published values.

use rtg_datasets::sample::TruncatedLast;

use crate::keys::{Range, keys};

keys! {
    /// CQL's networks, batches and update.
    pub struct Config = "cql", _recipe: &str;

    /// Numbers in a hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = 3, Range::LAYERS, "", "3; young-geng 2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-5, Range::POSITIVE, "",
        "3e-5; antmaze, adroit 1e-4; young-geng 3e-4; d3rlpy 1e-4";
    /// Adam's learning rate of both critics, and of the multiplier of `lagrange`.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the temperature's logarithm; 0 keeps the temperature as it is.
    alpha_learning_rate: f64 = 3e-5, Range::NOT_NEGATIVE, "", "the actor's";
    /// The temperature before the first update, alpha.
    initial_alpha: f64 = 1.0, Range::POSITIVE, "", "1";
    /// The entropy that the temperature is adapted to. Default: minus the numbers in an action.
    target_entropy: Option<f64> = None, Range::FINITE, "nats", "minus the numbers in an action";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards a target sums up before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// How far targets move towards the trained critics with each update.
    tau: f64 = 0.005, Range::PART, "", "0.005";
    /// Weight of the conservative term against the squared error, CORL's `cql_alpha`.
    conservative_weight: f64 = 10.0, Range::NOT_NEGATIVE, "", "10; antmaze 5; adroit 1";
    /// Actions of each kind (uniform, the policy's here, the policy's at the next observation) whose
    /// values the conservative term lowers.
    samples: usize = 10, Range::between(1.0, 1000.0), "actions", "10";
    /// Temperature of the log-sum-exp over their values.
    temperature: f64 = 1.0, Range::POSITIVE, "", "1";
    /// A difference between that log-sum-exp and the data's value counts as no less than this.
    /// Default: as what it is.
    difference_low: Option<f64> = None, Range::FINITE, "", "none; antmaze -200";
    /// A difference counts as no more than this. Default: as what it is.
    difference_high: Option<f64> = None, Range::FINITE, "", "none";
    /// Whether the term's weight is multiplied by a number that is learned, so that the difference
    /// comes to `gap`.
    lagrange: bool = false, Range::Any, "", "false; antmaze, maze2d true";
    /// The difference that `lagrange` aims at.
    gap: f64 = 5.0, Range::FINITE, "", "0.8 (antmaze), 5";
    /// Whether a target takes the best of `samples` next actions instead of one.
    max_target_backup: bool = false, Range::Any, "", "false; antmaze true";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = true, Range::Any, "", "true; antmaze, young-geng false";
    /// Actions of the data are cut off at plus and minus this. Default: they are not.
    action_clip: Option<f64> = None, Range::PART, "of the largest action", "young-geng 0.999";
    /// The last step of an episode that a time limit cut off: `keep`, or `drop` as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1; antmaze 10";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; antmaze -0.5";
}
