//! What is wrong with a dataset, or worth knowing before training on it.
//!
//! Codes are stable, scripts may depend on them. Errors make training meaningless, warnings make
//! results doubtful, notes are facts to know.
//!
//! | code | severity | count of |
//! |---|---|---|
//! | `nan` | error | numbers that are NaN or infinite |
//! | `early-end` | error | episodes flagged as ended before their last step |
//! | `empty-episode` | error | episodes without a step |
//! | `missing-final-observation` | error | episodes with T observations for T steps |
//! | `discontinuity` | error | steps whose next observation is not the one that follows |
//! | `action-outside-space` | warning | steps |
//! | `observation-outside-space` | warning | observation rows |
//! | `unfinished-episode` | warning | episodes neither terminated nor truncated |
//! | `unmarked-timeout` | warning | episodes as long as the limit allows, but not marked truncated |
//! | `mid-episode-cut` | warning | episodes that the next one continues |
//! | `early-truncation` | warning | episodes truncated before the limit, the last one aside |
//! | `reward-mismatch` | warning | replayed steps to which the environment gives another reward |
//! | `observation-mismatch` | warning | replayed steps that lead elsewhere in the environment |
//! | `overlong-episode` | warning | episodes longer than the limit allows |
//! | `duplicate-episodes` | warning | episodes equal to an earlier one |
//! | `step-count` | warning | steps by which the metadata are wrong (Minari) |
//! | `duplicate-rows` | note | transitions equal to an earlier one |
//! | `constant-column` | note | observation or action dimensions that never change |
//! | `constant-return` | note | episodes, if all have the same return |
//! | `saturated-actions` | note | action dimensions that lie at a bound in most steps |
//! | `single-step-episodes` | note | episodes |
//! | `unfinished-tail` | note | 1, if the last episode is truncated before the limit |
//! | `misplaced` | note | 1, if the folder does not fit the id (Minari) |
//! | `reader` | any | what a reader of another version noted in a store |
//! | `no-ends` | warning | 1, if no column tells where episodes end |
//! | `unclear-ends` | warning | episodes of which no column tells how they end |
//! | `unreadable-episode` | error | episodes that do not fit their spaces and are left out |
//! | `flattened-actions` | warning | numbers in which composite actions are learnt |
//! | `dropped-tail`, `repeated-final-observation` | note | rows, episodes (D4RL) |
//!
//! The strongest proof that rows, actions and rewards are aligned is to play them again, see
//! [`Replay`]. [`check_up`] adds what to know before training: histograms, the range of
//! returns-to-go, targets and a return scale.

mod checkup;
mod content;
mod ends;
mod replay;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::checkup::{Checkup, CurvePoint, Histogram, check_up};
pub use self::replay::{Replay, ReplayKind};
use crate::Dataset;

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
    /// A stable name, see the module's page.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How often it occurs, in the unit that the module's page gives.
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

/// Codes that readers note; the others come from the numbers alone.
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

/// Examines a dataset, and adds what its reader noted. The worst findings come first.
pub fn examine(dataset: &Dataset) -> Vec<Finding> {
    let (findings, _) = examine_and_replay(dataset);
    findings
}

/// As [`examine`], and how much was replayed.
fn examine_and_replay(dataset: &Dataset) -> (Vec<Finding>, Replay) {
    let mut findings = dataset.findings().to_vec();
    findings.push(content::not_finite(dataset));
    findings.extend(content::outside_spaces(dataset));
    findings.extend(ends::ends(dataset));
    findings.extend(content::duplicates(dataset));
    findings.extend(content::columns(dataset));
    let replay = replay::replay(dataset);
    findings.extend(replay.findings());
    findings.retain(|finding| finding.count > 0);
    findings.sort_by_key(|finding| (finding.severity, finding.code));
    (findings, replay)
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

#[cfg(test)]
mod tests;
