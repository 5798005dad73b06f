//! The two published codes that online algorithms reproduce.

use rtg_datasets::sample::ActionMap;

use super::ActionCodec;

/// The published code that is reproduced where the two differ in more than default values.
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
