//! How fast is it on this machine: the answers of `rtg bench`.

mod act;
mod device_step;
mod env;
mod load;
mod peak;
mod train_step;
mod update;

use std::time::{Duration, Instant};

use rtg_datasets::statistics::Normaliser;
use serde::Serialize;

pub use self::act::act;
pub use self::device_step::device_step;
pub use self::env::env;
pub use self::load::load;
pub use self::train_step::train_step;
pub use self::update::update;
use crate::algorithms::decision_transformer::Model;
use crate::algorithms::decision_transformer::config::ModelConfig;
use crate::algorithms::decision_transformer::preprocessing::Preprocessing;
use crate::algorithms::{ActionCodec, Published};

/// Sizes of the model and the batch under the clock; the defaults are the published ones for Hopper.
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
    /// Numbers of an observation.
    pub observation: usize,
    /// Numbers of an action.
    pub action: usize,
}

/// Longest episode of the published time-step table.
const EPISODE_LENGTH: usize = 1000;

/// A new model of these sizes, with the corl recipe's shape.
fn model(sizes: &Sizes) -> Model {
    let config = ModelConfig {
        context: sizes.context,
        width: sizes.width,
        layers: sizes.layers,
        heads: sizes.heads,
        attention_dropout: sizes.dropout,
        residual_dropout: sizes.dropout,
        embedding_dropout: sizes.dropout,
        ..ModelConfig::of(Published::Corl)
    };
    let preprocessing = Preprocessing {
        normaliser: Normaliser::identity(sizes.observation),
        return_scale: 1000.0,
        episode_length: EPISODE_LENGTH,
        actions: ActionCodec::Continuous {
            offset: vec![0.0; sizes.action],
            scale: vec![1.0; sizes.action],
            max_action: 1.0,
        },
    };
    Model::new(Published::Corl, &config, preprocessing, 0)
}

/// Repeats `work` for about `budget` after a warm-up and gives the median seconds of one call.
fn median_secs(budget: Duration, work: impl FnMut()) -> f64 {
    let times = times(budget, work);
    times[times.len() / 2]
}

/// The seconds of each call, the least first.
fn times(budget: Duration, mut work: impl FnMut()) -> Vec<f64> {
    const WARM_UP: usize = 3;
    const FEWEST: usize = 5;
    (0..WARM_UP).for_each(|_| work());
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < FEWEST || began.elapsed() < budget {
        let call = Instant::now();
        work();
        times.push(call.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times
}
