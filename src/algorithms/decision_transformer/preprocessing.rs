//! From raw observations, returns and actions to the network's units and back.

use rtg_datasets::statistics::Normaliser;
use serde::{Deserialize, Serialize};

use crate::algorithms::ActionCodec;

/// The conversions between the environment's units and the network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Observations: (x - mean) / std.
    pub normaliser: Normaliser,
    /// Returns-to-go are divided by this.
    pub return_scale: f64,
    /// Timesteps beyond this are clamped to the last row of the table.
    pub episode_length: usize,
    /// Whether the target stays constant in acting, because it is not a return.
    #[serde(default)]
    pub constant_target: bool,
    /// Actions.
    pub actions: ActionCodec,
}
