//! The configuration of EDAC and SAC-N, with the published values.

use rtg_datasets::sample::TruncatedLast;
use serde::{Deserialize, Serialize};

use crate::keys::{Range, keys};

/// One of the two algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// EDAC, with the diversity term.
    Edac,
    /// SAC-N, without it.
    SacN,
}

impl Variant {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["edac", "sac_n"];

    /// The algorithm of this recipe; EDAC if the name is unknown.
    pub fn named(recipe: &str) -> Self {
        if recipe == "sac_n" {
            Self::SacN
        } else {
            Self::Edac
        }
    }
}

keys! {
    /// The networks, batches and update of EDAC and SAC-N.
    pub struct Config = "edac", variant: Variant;

    /// Units in each hidden layer of actor and critics.
    width: usize = 256, Range::WIDTH, "", "256";
    /// Hidden layers of actor and critics.
    layers: usize = 3, Range::LAYERS, "", "3";
    /// Critics, N.
    members: usize = 10, Range::between(2.0, 1000.0), "critics",
        "10; hopper 50; adroit 20 to 50; sac_n: halfcheetah 10, walker2d 20, hopper 200 or 500, \
         antmaze, maze2d 25, adroit 100";
    /// Weight of the diversity term, eta; 0 is SAC-N.
    eta: f64 = match variant {
        Variant::Edac => 1.0,
        Variant::SacN => 0.0,
    }, Range::NOT_NEGATIVE, "",
        "1; 5 in HalfCheetah and Walker2d medium-expert; maze2d 0.1; adroit 200, pen 10; sac_n 0";
    /// Transitions in a batch.
    batch_size: usize = 256, Range::ROWS, "transitions", "256";
    /// Adam's learning rate of the actor.
    actor_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the critics.
    critic_learning_rate: f64 = 3e-4, Range::POSITIVE, "", "3e-4";
    /// Adam's learning rate of the temperature's logarithm; 0 keeps the temperature constant.
    alpha_learning_rate: f64 = 3e-4, Range::NOT_NEGATIVE, "", "3e-4";
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
    /// Whether observations are normalised by mean and standard deviation (plus 1e-3) of the data.
    normalise: bool = false, Range::Any, "", "false";
    /// The last step of a truncated episode: `keep` it, or `drop` it as CORL does.
    truncated_last: TruncatedLast =
        TruncatedLast::Drop, Range::Words(&["keep", "drop"]), "", "drop";
    /// Rewards are multiplied by this, after `reward_shift` is added.
    reward_scale: f64 = 1.0, Range::POSITIVE, "", "1";
    /// Added to each reward.
    reward_shift: f64 = 0.0, Range::FINITE, "reward", "0";
}
