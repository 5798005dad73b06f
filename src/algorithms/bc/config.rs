//! Every choice of behaviour cloning, with the values of the two published codes.

use serde::{Deserialize, Serialize};

use crate::algorithms::decision_transformer::config::{OptimiserConfig, Recipe};

/// The network, a perceptron, and what it sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BcConfig {
    /// Observations that the network sees, the newest last, K. Official: 20; corl: 1.
    ///
    /// A window begins at a uniform step and is cloned at its last step alone, as kzl's code does, so
    /// with a long context the first steps of episodes are hardly learned from.
    pub context: usize,
    /// Numbers in a hidden layer. Official: 128; corl: 256.
    pub width: usize,
    /// Hidden layers. Official: 3; corl: 2.
    pub layers: usize,
    /// Dropout behind each hidden layer. Official: 0.1; corl: 0.
    pub dropout: f32,
}

impl BcConfig {
    /// The network of kzl's `mlp_bc.py` or of CORL's `any_percent_bc.py`.
    pub fn of(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Official => Self {
                context: 20,
                width: 128,
                layers: 3,
                dropout: 0.1,
            },
            Recipe::Corl => Self {
                context: 1,
                width: 256,
                layers: 2,
                dropout: 0.0,
            },
        }
    }
}

/// The optimiser of the same codes: kzl's is that of its transformer without clipping, CORL's is Adam
/// at 3e-4 with batches of 256 and neither decay nor warm-up.
pub fn optimiser(recipe: Recipe) -> OptimiserConfig {
    let kzl = OptimiserConfig {
        gradient_clip: 0.0,
        ..OptimiserConfig::default()
    };
    match recipe {
        Recipe::Official => kzl,
        Recipe::Corl => OptimiserConfig {
            batch_size: 256,
            learning_rate: 3e-4,
            weight_decay: 0.0,
            warmup_steps: Some(0),
            ..kzl
        },
    }
}
