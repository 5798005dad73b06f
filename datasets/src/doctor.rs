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
//! | `discontinuity` | error | steps whose next observation differs from the observation of the next step |
//! | `action-outside-space` | warning | steps |
//! | `observation-outside-space` | warning | observation rows |
//! | `unfinished-episode` | warning | episodes neither terminated nor truncated |
//! | `unmarked-timeout` | warning | episodes as long as the limit allows, but not marked truncated |
//! | `mid-episode-cut` | warning | episodes that the next one continues |
//! | `early-truncation` | warning | episodes truncated before the limit, the last one aside |
//! | `reward-mismatch` | warning | replayed steps that the environment rewards differently |
//! | `observation-mismatch` | warning | replayed steps after which the environment's observation differs |
//! | `overlong-episode` | warning | episodes longer than the limit allows |
//! | `duplicate-episodes` | warning | episodes equal to an earlier one |
//! | `step-count` | warning | steps by which the metadata are wrong (Minari) |
//! | `duplicate-rows` | note | transitions equal to an earlier one |
//! | `constant-column` | note | observation or action dimensions that never change |
//! | `constant-return` | note | episodes, if all have the same return |
//! | `saturated-actions` | note | action dimensions that are at a bound in most steps |
//! | `single-step-episodes` | note | episodes |
//! | `unfinished-tail` | note | 1, if the last episode is truncated before the limit |
//! | `misplaced` | note | 1, if the folder does not fit the id (Minari) |
//! | `reader` | any | a finding that another version stored |
//! | `no-ends` | warning | 1, if no column states where episodes end |
//! | `unclear-ends` | warning | episodes of which no column states how they end |
//! | `unreadable-episode` | error | episodes that do not fit their spaces and are omitted |
//! | `flattened-actions` | warning | numbers by which a composite action is represented |
//! | `dropped-tail`, `repeated-final-observation` | note | rows, episodes (D4RL) |
//!
//! The strongest proof that rows, actions and rewards are aligned is a replay, see [`ReplayCheck`].
//! [`check_up`] adds what to know before training: histograms, the range of returns-to-go, targets
//! and a return scale.

mod alike_states;
mod checkup;
mod content;
mod ends;
mod replay;

pub use self::alike_states::AlikeStates;
pub use self::checkup::{Checkup, CurvePoint, Histogram, check_up};
pub use self::replay::{ReplayCheck, ReplayKind};
use crate::Dataset;
pub use crate::finding::{Finding, Severity};

/// Examines a dataset, and adds its reader's findings. The worst findings come first.
pub fn examine(dataset: &Dataset) -> Vec<Finding> {
    let (findings, _) = examine_and_replay(dataset);
    findings
}

/// As [`examine`], and how much was replayed.
fn examine_and_replay(dataset: &Dataset) -> (Vec<Finding>, ReplayCheck) {
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

#[cfg(test)]
mod tests;
