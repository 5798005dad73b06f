//! The configuration of behaviour cloning, with the values of the two published codes.

use crate::algorithms::PublishedCode;
use crate::keys::{Range, keys};
use crate::optimise::OptimiserConfig;

keys! {
    /// The network of behaviour cloning, a perceptron, and its input: as in kzl's `mlp_bc.py` or in
    /// CORL's `any_percent_bc.py`.
    pub struct BcConfig = "bc", published: PublishedCode;

    /// Observations in the network's input, the newest last, K. A window begins at a uniformly
    /// drawn step and only its last step is cloned, as in kzl's code, so with a long context the
    /// first steps of episodes are rarely learned from.
    context: usize = match published {
        PublishedCode::Official => 20,
        PublishedCode::Corl => 1,
    }, Range::WIDTH, "steps", "20 (official), 1 (corl)";
    /// Units in each hidden layer.
    width: usize = match published {
        PublishedCode::Official => 128,
        PublishedCode::Corl => 256,
    }, Range::WIDTH, "", "128 (official), 256 (corl)";
    /// Hidden layers.
    layers: usize = match published {
        PublishedCode::Official => 3,
        PublishedCode::Corl => 2,
    }, Range::LAYERS, "", "3 (official), 2 (corl)";
    /// Dropout after each hidden layer.
    dropout: f32 = match published {
        PublishedCode::Official => 0.1,
        PublishedCode::Corl => 0.0,
    }, Range::BELOW_ONE, "", "0.1 (official), 0 (corl)";
}

/// The optimiser of the same codes: kzl's is that of its transformer without clipping, CORL's is
/// Adam at 3e-4 with batches of 256, without decay and warm-up.
pub fn optimiser(published: PublishedCode) -> OptimiserConfig {
    let kzl = OptimiserConfig {
        gradient_clip: 0.0,
        ..OptimiserConfig::default()
    };
    match published {
        PublishedCode::Official => kzl,
        PublishedCode::Corl => OptimiserConfig {
            batch_size: 256,
            learning_rate: 3e-4,
            weight_decay: 0.0,
            warmup_steps: Some(0),
            ..kzl
        },
    }
}
