//! The named recipes: which switches are set, and whose conventions are followed otherwise.

use serde::{Deserialize, Serialize};

use crate::algorithms::PublishedCode;
use crate::nn::state_dict::Naming;
use crate::optimise::OptimiserConfig;

/// A published variant of the Decision Transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// corl-team/CORL, `algorithms/offline/dt.py`.
    Corl,
    /// kzl/decision-transformer, `gym/` (Chen et al. 2021).
    Official,
    /// beanie00/Decision-ConvFormer, `gym/` (Kim et al. 2024): the official code with a
    /// convolution.
    Convformer,
    /// The Decoupled Decision Transformer: the official code with the return-to-go outside the
    /// sequence. It follows the paper's formula; no code is published.
    Ddt,
}

impl Recipe {
    /// The names of the recipes, the default first.
    pub const NAMES: &'static [&'static str] = &["corl", "official", "convformer", "ddt"];

    /// The recipe of this name; CORL's if the name is unknown.
    pub fn named(name: &str) -> Self {
        match name {
            "official" => Self::Official,
            "convformer" => Self::Convformer,
            "ddt" => Self::Ddt,
            _ => Self::Corl,
        }
    }

    /// The code whose windows, loss and initial weights it uses.
    pub fn published(self) -> PublishedCode {
        match self {
            Self::Corl => PublishedCode::Corl,
            Self::Official | Self::Convformer | Self::Ddt => PublishedCode::Official,
        }
    }

    /// Weight names in files.
    pub fn naming(self) -> Naming {
        match self {
            Self::Convformer => Naming::Convformer,
            _ => self.published().naming(),
        }
    }

    /// The optimiser's defaults.
    pub fn optimiser(self) -> OptimiserConfig {
        let mut config = OptimiserConfig::default();
        if self == Self::Convformer {
            config.learning_rate = 1e-3;
        }
        config
    }
}
