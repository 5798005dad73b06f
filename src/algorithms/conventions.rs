//! The published codes that algorithms reproduce where two differ in more than default values.

use rtg_datasets::sample::ActionMap;

use super::ActionCodec;

/// The published code of an online algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlineConventions {
    /// `CleanRL`'s.
    CleanRl,
    /// Stable-Baselines3's.
    Sb3,
}

impl OnlineConventions {
    /// The names of the recipes, the default first.
    pub const RECIPES: &'static [&'static str] = &["cleanrl", "sb3"];

    /// The code of this recipe; `CleanRL`'s if the name is unknown.
    pub fn named(recipe: &str) -> Self {
        if recipe == "sb3" {
            Self::Sb3
        } else {
            Self::CleanRl
        }
    }

    /// How the replay buffer's actions are mapped in a batch: `CleanRL` keeps the environment's
    /// units.
    pub(super) fn action_map(self, actions: &ActionCodec) -> Option<ActionMap> {
        self.pick(None, actions.action_map())
    }

    /// One value for each.
    pub(super) fn pick<T>(self, cleanrl: T, sb3: T) -> T {
        match self {
            Self::CleanRl => cleanrl,
            Self::Sb3 => sb3,
        }
    }
}

/// The published code of an offline algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfflineConventions {
    /// CORL's.
    Corl,
    /// d3rlpy's.
    D3rlpy,
}

impl OfflineConventions {
    /// The names of the recipes, the default first.
    pub(super) const RECIPES: &'static [&'static str] = &["corl", "d3rlpy"];

    /// The code of this recipe; CORL's if the name is unknown.
    pub(super) fn named(recipe: &str) -> Self {
        if recipe == "d3rlpy" {
            Self::D3rlpy
        } else {
            Self::Corl
        }
    }

    /// One value for each.
    pub(super) fn pick<T>(self, corl: T, d3rlpy: T) -> T {
        match self {
            Self::Corl => corl,
            Self::D3rlpy => d3rlpy,
        }
    }
}
