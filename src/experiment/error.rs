//! What can be wrong with a plan, and the way out.

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
    /// A value of the wrong type.
    #[error("wrong value: {0}")]
    WrongType(String),
    /// A value that makes no sense.
    #[error("'{key}' is {value}: {reason}")]
    Invalid {
        /// The key with its tables.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        reason: &'static str,
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
    /// The way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } if nearest.is_empty() => Some(
                "`rtg train --help` names the tables; ARCHITECTURE.md lists every key".to_owned(),
            ),
            Self::UnknownKey { nearest, .. } => {
                Some(format!("did you mean {}?", nearest.join(" or ")))
            }
            Self::NoValue(key) => Some(format!("write --set {key}=VALUE")),
            Self::Syntax(_) => {
                Some("strings need quotes: dataset = \"builtin/cartpole/mixed\"".to_owned())
            }
            Self::OtherPlan { .. } => Some(
                "continue without that option, or start a new run in another --run-dir".to_owned(),
            ),
            Self::WrongType(_) => Some(
                "experiment.toml of any run shows every key with a value of its type".to_owned(),
            ),
            Self::Invalid { key, .. } => {
                Some(format!("change it in the file or with --set {key}=VALUE"))
            }
        }
    }
}

pub(super) fn invalid(
    key: &'static str,
    value: &impl ToString,
    reason: &'static str,
) -> ExperimentError {
    ExperimentError::Invalid {
        key,
        value: value.to_string(),
        reason,
    }
}

pub(super) fn wrong_type(error: &toml::de::Error) -> ExperimentError {
    ExperimentError::WrongType(error.to_string().trim().replace('\n', " "))
}
