//! Speed on this machine: the measurements of `rtg bench`.

mod act;
mod clock;
mod device_reference;
mod device_step;
mod env;
mod load;
mod peak;
mod train_step;
mod update;

use rtg_datasets::statistics::Normaliser;
use serde::Serialize;

pub use self::act::{act, act_on_request};
pub use self::clock::Milliseconds;
pub use self::device_step::{DeviceStep, DeviceStepPlan, device_step};
pub use self::env::env;
pub use self::load::load;
pub use self::train_step::{train_step, train_step_on_request};
pub use self::update::update;
use crate::algorithms::ActionCodec;
use crate::algorithms::decision_transformer::Model;
use crate::algorithms::decision_transformer::config::{ConditionName, MixerName, ModelConfig};
use crate::algorithms::decision_transformer::preprocessing::Preprocessing;
use crate::algorithms::decision_transformer::recipe::Recipe;
use rtg_kernels::Level;
use rtg_kernels::decision_transformer::MixerKind;

/// Sizes of the timed model and batch; the defaults are the published ones for Hopper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sizes {
    /// Windows in a batch.
    pub batch: usize,
    /// Steps in a window.
    pub context: usize,
    /// Channels of a token.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Dropout at all three places.
    pub dropout: f32,
    /// Numbers in an observation.
    pub observation: usize,
    /// Numbers in an action.
    pub action: usize,
    /// Where the return-to-go enters.
    pub condition: ConditionName,
    /// How tokens are mixed.
    #[serde(with = "MixerName")]
    pub mixer: MixerKind,
}

/// Longest episode of the published timestep table.
const EPISODE_LENGTH: usize = 1000;

/// The configuration of a model of these sizes, with the corl recipe's shape.
pub fn config(sizes: &Sizes) -> ModelConfig {
    ModelConfig {
        context: sizes.context,
        width: sizes.width,
        layers: sizes.layers,
        heads: sizes.heads,
        condition: sizes.condition,
        mixer: sizes.mixer,
        attention_dropout: sizes.dropout,
        residual_dropout: sizes.dropout,
        embedding_dropout: sizes.dropout,
        ..ModelConfig::of(Recipe::Corl)
    }
}

/// A new model of these sizes.
fn model(sizes: &Sizes) -> Model {
    let preprocessing = Preprocessing {
        constant_target: false,
        normaliser: Normaliser::identity(sizes.observation),
        return_scale: 1000.0,
        episode_length: EPISODE_LENGTH,
        actions: ActionCodec::Continuous {
            offset: vec![0.0; sizes.action],
            scale: vec![1.0; sizes.action],
            max_action: 1.0,
        },
    };
    Model::new(Recipe::Corl, &config(sizes), preprocessing, 0)
}

/// The instruction set of the kernels.
fn instructions() -> &'static str {
    Level::detect().name()
}
