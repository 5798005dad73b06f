//! A finding of a reader or of the doctor: a code, its severity, how often it occurs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a finding is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training on it is meaningless.
    Error,
    /// Results are doubtful.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing found in a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name, see [`doctor`](crate::doctor).
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How often it occurs, in the unit that [`doctor`](crate::doctor) states.
    pub count: usize,
    /// One sentence without the count at its beginning.
    pub message: String,
}

impl Finding {
    pub(crate) fn error(code: &'static str, count: usize, message: String) -> Self {
        Self {
            code,
            severity: Severity::Error,
            count,
            message,
        }
    }

    pub(crate) fn warning(code: &'static str, count: usize, message: String) -> Self {
        Self {
            code,
            severity: Severity::Warning,
            count,
            message,
        }
    }

    pub(crate) fn note(code: &'static str, count: usize, message: String) -> Self {
        Self {
            code,
            severity: Severity::Note,
            count,
            message,
        }
    }
}

/// Codes of readers' findings; the others come from the numbers alone.
const READERS: [&str; 13] = [
    "no-ends",
    "unclear-ends",
    "unreadable-episode",
    "flattened-actions",
    "early-end",
    "empty-episode",
    "missing-final-observation",
    "discontinuity",
    "unmarked-timeout",
    "step-count",
    "misplaced",
    "dropped-tail",
    "repeated-final-observation",
];

/// The code of a reader's finding that was stored; one that this version does not know becomes
/// `reader`.
pub(crate) fn stable_code(stored: &str) -> &'static str {
    READERS
        .into_iter()
        .find(|&code| code == stored)
        .unwrap_or("reader")
}

/// The first few names, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        format!("{shown} and {} more", names.len() - SHOWN)
    } else {
        shown
    }
}
