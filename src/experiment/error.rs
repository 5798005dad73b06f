//! What can be wrong with a plan, and what to do about it.

use crate::keys::{KeyError, PlanError};

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The file is not TOML.
    #[error("not a TOML file: {0}")]
    Syntax(String),
    /// A key that no plan has.
    #[error("unknown key '{key}'")]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// Keys with similar names.
        nearest: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A table that belongs to other algorithms than the plan's.
    #[error("unknown key '{table}': it is a table of {owners}")]
    OtherTable {
        /// The table.
        table: String,
        /// The algorithms that have it.
        owners: String,
    },
    /// A run that is continued with another plan than it began with.
    #[error("the run was made with {key} = {before}, not {now}")]
    OtherPlan {
        /// The key that differs.
        key: String,
        /// The run's value.
        before: String,
        /// The value given now.
        now: String,
    },
    /// `--set` without `=`.
    #[error("'--set {0}' has no value")]
    NoValue(String),
}

impl ExperimentError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } if nearest.is_empty() => {
                Some("`rtg keys` lists every key".to_owned())
            }
            Self::UnknownKey { nearest, .. } => {
                Some(format!("did you mean {}?", nearest.join(" or ")))
            }
            Self::OtherTable { owners, .. } => Some(format!("train with --algorithm {owners}")),
            Self::NoValue(key) => Some(format!("write --set {key}=VALUE")),
            Self::Syntax(_) => {
                Some("strings need quotes: dataset = \"builtin/cartpole/mixed\"".to_owned())
            }
            Self::OtherPlan { .. } => Some(
                "continue without that option, or start a new run in another --run-dir".to_owned(),
            ),
            Self::Plan(PlanError::Type(_)) => {
                Some("`rtg keys` lists every key with its type and range".to_owned())
            }
            Self::Plan(PlanError::Key(error)) => Some(format!(
                "change it in the file or with --set {}=VALUE",
                error.key
            )),
        }
    }
}

impl From<KeyError> for ExperimentError {
    fn from(error: KeyError) -> Self {
        Self::Plan(error.into())
    }
}
