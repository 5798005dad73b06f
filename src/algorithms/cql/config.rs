//! The configuration of CQL, with the published values.

use rtg_datasets::sample::{ReturnsToGo, TruncatedLast};
use serde::{Deserialize, Serialize};

use crate::keys::{Range, keys};

/// The method whose published values are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CqlVariant {
    /// CQL, after CORL's `offline/cql.py`.
    Cql,
    /// Cal-QL, after CORL's `finetune/cal_ql.py`.
    CalQl,
    /// CQL, after young-geng/CQL, which CORL's is made from: other values.
    YoungGeng,
    /// CQL, after d3rlpy's `cql_impl.py`.
    D3rlpy,
}

impl CqlVariant {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["corl", "cal_ql", "young_geng", "d3rlpy"];

    /// The method of a recipe.
    pub fn named(recipe: &str) -> Self {
        match recipe {
            "cal_ql" => Self::CalQl,
            "young_geng" => Self::YoungGeng,
            "d3rlpy" => Self::D3rlpy,
            _ => Self::Cql,
        }
    }

    /// One value for each variant, in the order of [`Self::RECIPES`].
    fn pick<T>(self, values: [T; 4]) -> T {
        let [cql, cal_ql, young_geng, d3rlpy] = values;
        match self {
            Self::Cql => cql,
            Self::CalQl => cal_ql,
            Self::YoungGeng => young_geng,
            Self::D3rlpy => d3rlpy,
        }
    }
}

/// The distribution of the initial weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// Orthogonal critics, PyTorch's defaults in the actor's hidden layers; the last layers have a
    /// gain of 0.01, so that values and means are close to 0 at first.
    #[default]
    SmallOutputs,
    /// Every layer is orthogonal with a gain of the square root of 2; biases are 0.
    Orthogonal,
    /// `PyTorch`'s defaults, but the last layers of actor and critics are Xavier with a gain of
    /// 0.01.
    SmallXavier,
    /// `PyTorch`'s defaults.
    Pytorch,
}

keys! {
    /// The networks, batches and update of CQL and Cal-QL.
    pub struct Config = "cql", variant: CqlVariant;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of the actor, and of the critics unless `critic_layers` is given.
    layers: usize = variant.pick([3, 3, 2, 3]), Range::LAYERS, "", "3; young_geng 2";
    /// Hidden layers of the critics. Default: `layers`.
    critic_layers: Option<usize> as serde(default) = variant.pick([None, Some(2), None, None]),
        Range::LAYERS, "",
        "cal_ql 2; adroit 3; antmaze 5";
    /// The initial weights: `small_outputs` (orthogonal critics, last layers with a gain of 0.01),
    /// `orthogonal` with a gain of the square root of 2 in every layer, `small_xavier` (last layers
    /// Xavier with a gain of 0.01), or `pytorch`'s own.
    initialisation: InitialWeights as serde(default) =
        variant.pick([
            InitialWeights::SmallOutputs,
            InitialWeights::Orthogonal,
            InitialWeights::SmallXavier,
            InitialWeights::Pytorch,
        ]),
        Range::Words(&["small_outputs", "orthogonal", "small_xavier", "pytorch"]), "",
        "corl small_outputs, cal_ql orthogonal, young_geng small_xavier, d3rlpy pytorch";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = variant.pick([3e-5, 3e-5, 3e-4, 1e-4]), Range::POSITIVE, "",
        "3e-5; antmaze, adroit 1e-4; young_geng 3e-4; d3rlpy 1e-4";
    /// Adam's learning rate of both critics, and of the multiplier of `lagrange`.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the temperature's logarithm; 0 keeps the temperature constant.
    alpha_learning_rate: f64 = variant.pick([3e-5, 3e-5, 3e-4, 1e-4]), Range::NOT_NEGATIVE, "", "the actor's";
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
    /// Weight of the conservative term relative to the squared error, CORL's `cql_alpha`.
    conservative_weight: f64 = variant.pick([10.0, 10.0, 5.0, 5.0]), Range::NOT_NEGATIVE, "",
        "10; antmaze 5; adroit 1; young_geng 5; d3rlpy 5, medium 10";
    /// Actions of each kind (uniform, the policy's here, the policy's at the next observation)
    /// whose values the conservative term lowers.
    samples: usize = 10, Range::between(1.0, 1000.0), "actions", "10";
    /// Temperature of the log-sum-exp over their values.
    temperature: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Cal-QL's lower bound of the policy's values in that log-sum-exp: the discounted return that
    /// followed in the data (`discounted`), with r / (1 - gamma) in episodes without any success
    /// (`sparse`), or none (`off`). Disabled in a run that continues online.
    calibrate: ReturnsToGo as serde(default) =
        variant.pick([
            ReturnsToGo::Off,
            ReturnsToGo::Discounted,
            ReturnsToGo::Off,
            ReturnsToGo::Off,
        ]),
        Range::Words(&["off", "discounted", "sparse"]), "",
        "corl off, cal_ql discounted; antmaze, adroit sparse";
    /// Lower bound at which the difference between that log-sum-exp and the data's value is
    /// clipped. Default: no bound.
    difference_low: Option<f64> = None, Range::FINITE, "", "none; antmaze -200";
    /// Upper bound at which that difference is clipped. Default: no bound.
    difference_high: Option<f64> = None, Range::FINITE, "", "none";
    /// Whether the term's weight is multiplied by a learned multiplier that drives the difference
    /// to `gap`. Not available with `d3rlpy`, whose published plans have a learning rate of 0 for
    /// it.
    lagrange: bool = false, Range::Any, "", "false; antmaze, maze2d true";
    /// The target difference of `lagrange`.
    gap: f64 = 5.0, Range::FINITE, "", "0.8 (antmaze), 5";
    /// Whether a target uses the best of `samples` next actions instead of a single one.
    max_target_backup: bool = false, Range::Any, "", "false; antmaze true";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = variant.pick([true, true, false, false]), Range::Any, "",
        "true; antmaze, young_geng, d3rlpy false";
    /// The data's actions are clipped at plus and minus this. Default: no clipping.
    action_clip: Option<f64> = variant.pick([None, None, Some(0.999), None]), Range::PART,
        "of the largest action", "young_geng 0.999";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1; antmaze 10";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0; antmaze -0.5";
}
