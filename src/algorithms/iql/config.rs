//! Every choice of IQL, with the published values.

use rtg_datasets::sample::TruncatedLast;
use rtg_datasets::{Dataset, ReturnSummary};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyError, Range, keys};
use crate::optimise::Schedule;

/// Which published code is followed where the two differ in more than a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conventions {
    /// CORL's `iql.py`.
    Corl,
    /// The authors' `implicit_q_learning`.
    Paper,
}

impl Conventions {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["corl", "paper"];

    /// The code called by the recipe's name; CORL's where the name is another.
    pub fn named(recipe: &str) -> Self {
        if recipe == "paper" {
            Self::Paper
        } else {
            Self::Corl
        }
    }

    /// One value for each.
    fn pick<T>(self, corl: T, paper: T) -> T {
        match self {
            Self::Corl => corl,
            Self::Paper => paper,
        }
    }
}

/// What the actor gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// The mean of a Gaussian whose standard deviations are parameters of their own.
    Gaussian,
    /// An action.
    Deterministic,
}

/// How large rewards become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardScaling {
    /// They stay.
    None,
    /// The best and the worst episode's returns are [`RETURN_RANGE`] apart.
    ReturnRange,
}

/// How far apart the authors place the best and the worst episode's returns.
pub const RETURN_RANGE: f64 = 1000.0;

keys! {
    /// IQL's networks, batches and update.
    pub struct Config = "iql", code: Conventions;

    /// The order of the updates, the scale of the critics' loss and the initial weights: those of
    /// `corl`, or of the authors (`paper`).
    conventions: Conventions = code, Range::Words(Conventions::RECIPES), "", "";
    /// Numbers in a hidden layer of actor, critics and value function.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor, critics and value function.
    layers: usize = 2, Range::LAYERS, "", "2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// How the actor's learning rate goes on: `constant`, or `cosine` to zero at the last step.
    actor_schedule: Schedule =
        Schedule::Cosine, Range::Words(&["constant", "cosine"]), "", "cosine";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the value function.
    value_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards a target sums up before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// How far targets move towards the trained critics with each update.
    tau: f64 = 0.005, Range::PART, "",
        "0.005; corl 0.001 in Hopper medium and medium-replay";
    /// The expectile of the critics' values that the value function learns: 0.5 is their mean,
    /// towards 1 their maximum over the actions of the data.
    expectile: f64 = 0.7, Range::BELOW_ONE, "",
        "0.7; antmaze 0.9; adroit 0.8 (corl); corl 0.5 in Hopper medium-expert";
    /// How steeply an action's weight rises with its advantage, beta; 0 is plain cloning.
    beta: f64 = 3.0, Range::NOT_NEGATIVE, "",
        "3; antmaze 10; adroit 0.5, corl 3; corl 6 in Hopper medium-expert";
    /// The largest weight of an action.
    weight_limit: f64 = 100.0, Range::POSITIVE, "", "100";
    /// What the actor gives: the mean of a Gaussian (`gaussian`), or an action (`deterministic`).
    actor: ActorKind = ActorKind::Gaussian, Range::Words(&["gaussian", "deterministic"]), "",
        "gaussian; corl deterministic in Hopper medium and medium-replay";
    /// The least logarithm of a Gaussian actor's standard deviations; the largest is 2.
    log_sigma_low: f64 = code.pick(-20.0, -5.0), Range::between(-20.0, 2.0), "",
        "corl -20, paper -5";
    /// How often a number that leaves a hidden layer of the actor is dropped in training.
    actor_dropout: f64 = 0.0, Range::BELOW_ONE, "", "0; adroit 0.1";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = code.pick(true, false), Range::Any, "", "corl true, paper false";
    /// Actions of the data are cut off at plus and minus this. Default: they are not.
    action_clip: Option<f64> = code.pick(None, Some(1.0 - 1e-5)), Range::PART,
        "of the largest action", "paper 1 - 1e-5";
    /// The last step of an episode that a time limit cut off: `keep`, or `drop` as both codes do.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// How large rewards become where `reward_scale` is not given: `none` leaves them,
    /// `return_range` places the best and the worst episode's returns 1000 apart.
    reward_scaling: RewardScaling = code.pick(RewardScaling::None, RewardScaling::ReturnRange),
        Range::Words(&["none", "return_range"]), "",
        "paper return_range, in antmaze none; corl none, in Hopper medium(-replay) return_range";
    /// Rewards are multiplied by this, after `reward_shift` is added. Default: as `reward_scaling`
    /// says.
    reward_scale: Option<f64> = None, Range::POSITIVE, "", "";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; -1 in antmaze";
}

impl Config {
    /// What rewards of this data are multiplied by.
    ///
    /// # Errors
    /// A range of returns, of data whose episodes all have the same one.
    pub fn reward_scale_for(&self, data: &Dataset) -> Result<f64, KeyError> {
        match (self.reward_scale, self.reward_scaling) {
            (Some(scale), _) => Ok(scale),
            (None, RewardScaling::None) => Ok(1.0),
            (None, RewardScaling::ReturnRange) => {
                let returns = ReturnSummary::of(data);
                let scale = RETURN_RANGE / (returns.max - returns.min);
                if scale.is_finite() {
                    return Ok(scale);
                }
                let key = Self::KEYS.path("reward_scaling");
                let expected = "none: all episodes of the data have the same return";
                Err(KeyError::new(&key, "return_range", expected))
            }
        }
    }
}
