//! The two published codes of the Decision Transformer and of its behaviour cloning baseline.

use serde::{Deserialize, Serialize};

use crate::nn::state_dict::Naming;

/// The published code that is reproduced where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishedCode {
    /// kzl/decision-transformer, `gym/` (Chen et al. 2021).
    Official,
    /// corl-team/CORL, `algorithms/offline/` (the defaults of its dataclasses).
    Corl,
}

impl PublishedCode {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["corl", "official"];

    /// The code of this recipe; CORL's if the name is unknown.
    pub fn named(recipe: &str) -> Self {
        if recipe == "official" {
            Self::Official
        } else {
            Self::Corl
        }
    }

    /// Weight names in files.
    pub fn naming(self) -> Naming {
        match self {
            Self::Official => Naming::Official,
            Self::Corl => Naming::Corl,
        }
    }
}
