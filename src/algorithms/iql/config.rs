//! The configuration of IQL, with the published values.

use rtg_datasets::sample::TruncatedLast;
use rtg_datasets::{Dataset, ReturnSummary};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyError, Range, keys};
use crate::optimise::Schedule;

/// The published code that is reproduced where the two differ in more than default values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conventions {
    /// CORL's `iql.py`.
    Corl,
    /// The authors' `implicit_q_learning`.
    Paper,
    /// d3rlpy's `iql_impl.py`.
    D3rlpy,
}

impl Conventions {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["corl", "paper", "d3rlpy"];

    /// The code of this recipe; CORL's if the name is unknown.
    pub fn named(recipe: &str) -> Self {
        match recipe {
            "paper" => Self::Paper,
            "d3rlpy" => Self::D3rlpy,
            _ => Self::Corl,
        }
    }

    /// One value for each variant.
    fn pick<T>(self, corl: T, paper: T, d3rlpy: T) -> T {
        match self {
            Self::Corl => corl,
            Self::Paper => paper,
            Self::D3rlpy => d3rlpy,
        }
    }
}

/// The kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A Gaussian, whose standard deviations are free parameters.
    Gaussian,
    /// A single action.
    Deterministic,
}

/// How rewards are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardScaling {
    /// They are not scaled.
    None,
    /// The returns of the best and the worst episode differ by [`RETURN_RANGE`].
    ReturnRange,
}

/// The authors' difference between the returns of the best and the worst episode.
pub const RETURN_RANGE: f64 = 1000.0;

keys! {
    /// IQL's networks, batches and update.
    pub struct Config = "iql", code: Conventions;

    /// The order of the updates, the scale of the critics' loss, the initial weights and the kind
    /// of bound of log sigma: as in CORL (`corl`), the authors' code (`paper`) or d3rlpy
    /// (`d3rlpy`).
    conventions: Conventions = code, Range::Words(Conventions::RECIPES), "", "";
    /// Units in each hidden layer of actor, critics and value function.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor, critics and value function.
    layers: usize = 2, Range::LAYERS, "", "2";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Schedule of the actor's learning rate: `constant`, or `cosine` to zero at the last step.
    actor_schedule: Schedule =
        Schedule::Cosine, Range::Words(&["constant", "cosine"]), "", "cosine";
    /// Adam's learning rate of both critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the value function.
    value_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Discount of one step, gamma.
    discount: f64 = 0.99, Range::UNIT, "", "0.99";
    /// Steps whose rewards are summed in a target before it bootstraps.
    n_step: usize = 1, Range::between(1.0, 1000.0), "steps", "1";
    /// Fraction by which targets move towards the trained critics in each update.
    tau: f64 = 0.005, Range::PART, "",
        "0.005; corl 0.001 in Hopper medium and medium-replay";
    /// The expectile of the critics' values that the value function learns: 0.5 is their mean,
    /// towards 1 their maximum over the actions of the data.
    expectile: f64 = 0.7, Range::BELOW_ONE, "",
        "0.7; antmaze 0.9; adroit 0.8 (corl); corl 0.5 in Hopper medium-expert";
    /// How fast an action's weight increases with its advantage, beta; 0 is plain cloning.
    beta: f64 = 3.0, Range::NOT_NEGATIVE, "",
        "3; antmaze 10; adroit 0.5, corl 3; corl 6 in Hopper medium-expert";
    /// The largest weight of an action.
    weight_limit: f64 = 100.0, Range::POSITIVE, "", "100";
    /// The actor's output: the mean of a Gaussian (`gaussian`), or an action (`deterministic`).
    actor: ActorKind = ActorKind::Gaussian, Range::Words(&["gaussian", "deterministic"]), "",
        "gaussian; corl deterministic in Hopper medium and medium-replay";
    /// Lower bound of the logarithm of a Gaussian actor's standard deviations; the upper bound is
    /// 2.
    log_sigma_low: f64 = code.pick(-20.0, -5.0, -5.0), Range::between(-20.0, 2.0), "",
        "corl -20; paper, d3rlpy -5";
    /// Dropout rate after the actor's hidden layers.
    actor_dropout: f64 = 0.0, Range::BELOW_ONE, "", "0; adroit 0.1";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = code.pick(true, false, false), Range::Any, "", "corl true; others false";
    /// The data's actions are clipped at plus and minus this. Default: no clipping.
    action_clip: Option<f64> = code.pick(None, Some(1.0 - 1e-5), None), Range::PART,
        "of the largest action", "paper 1 - 1e-5";
    /// The last step of a truncated episode: `keep` it, or `drop` it as all three codes do.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// How rewards are scaled if `reward_scale` is not given: `none` does not scale them,
    /// `return_range` makes the returns of the best and the worst episode differ by 1000.
    reward_scaling: RewardScaling =
        code.pick(RewardScaling::None, RewardScaling::ReturnRange, RewardScaling::ReturnRange),
        Range::Words(&["none", "return_range"]), "",
        "paper, d3rlpy return_range, antmaze none; corl none, Hopper medium(-replay) return_range";
    /// Rewards are multiplied by this, after `reward_shift` is added. Default: computed by
    /// `reward_scaling`.
    reward_scale: Option<f64> = None, Range::POSITIVE, "", "";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; -1 in antmaze";
}

impl Config {
    /// The factor of rewards for this data.
    ///
    /// # Errors
    /// `return_range`, for data whose episodes all have the same return.
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
