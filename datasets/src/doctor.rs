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
//! | `overlong-episode` | warning | episodes longer than the limit allows |
//! | `duplicate-episodes` | warning | episodes equal to an earlier one |
//! | `step-count` | warning | steps by which the metadata are wrong (Minari) |
//! | `duplicate-rows` | note | transitions equal to an earlier one |
//! | `constant-column` | note | observation or action dimensions that never change |
//! | `constant-return` | note | episodes, if all have the same return |
//! | `saturated-actions` | note | action dimensions that lie at a bound in most steps |
//! | `single-step-episodes` | note | episodes |
//! | `misplaced` | note | 1, if the folder does not fit the id (Minari) |
//! | `dropped-tail`, `repeated-final-observation` | note | rows, episodes (D4RL) |

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

use rtg_envs::Space;
use serde::Serialize;

use crate::{Dataset, EpisodeView};

/// How bad a finding is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// An action dimension counts as saturated if more than this part of its steps lie at a bound.
const SATURATED: f64 = 0.5;

/// Examines a dataset, and adds what its reader noted. The worst findings come first.
pub fn examine(dataset: &Dataset) -> Vec<Finding> {
    let mut findings = dataset.findings().to_vec();
    findings.push(not_finite(dataset));
    findings.extend(outside_spaces(dataset));
    findings.extend(ends(dataset));
    findings.extend(duplicates(dataset));
    findings.extend(columns(dataset));
    findings.retain(|finding| finding.count > 0);
    findings.sort_by_key(|finding| (finding.severity, finding.code));
    findings
}

fn not_finite(dataset: &Dataset) -> Finding {
    let (mut count, mut first) = (0, String::new());
    for (index, episode) in dataset.iter().enumerate() {
        for (name, numbers, width) in [
            (
                "observation",
                episode.observations,
                dataset.observation_width(),
            ),
            ("action", episode.actions, dataset.action_width()),
            ("reward", episode.rewards, 1),
        ] {
            for (at, number) in numbers
                .iter()
                .enumerate()
                .filter(|(_, number)| !number.is_finite())
            {
                if count == 0 {
                    let (step, dimension) = (at / width, at % width);
                    first = format!(
                        "{name} is {number} at episode {index}, step {step}, dimension {dimension}"
                    );
                }
                count += 1;
            }
        }
    }
    Finding::error(
        "nan",
        count,
        format!("numbers are NaN or infinite; the first {first}"),
    )
}

/// Whether a row lies within a space's bounds. NaN is another finding; the number type does not
/// matter here, since files store spaces and arrays with different ones.
fn within(space: &Space, row: &[f64]) -> bool {
    match space {
        Space::Box(space) => row
            .iter()
            .zip(space.low.iter().zip(&space.high))
            .all(|(&number, (&low, &high))| number.is_nan() || (low <= number && number <= high)),
        other => row.iter().any(|number| number.is_nan()) || other.contains(row),
    }
}

fn outside_spaces(dataset: &Dataset) -> [Finding; 2] {
    let info = dataset.info();
    let count = |space: &Space, width: usize, rows: fn(EpisodeView<'_>) -> &[f64]| {
        let outside = |episode| {
            rows(episode)
                .chunks_exact(width.max(1))
                .filter(|row| !within(space, row))
                .count()
        };
        dataset.iter().map(outside).sum()
    };
    let actions = count(&info.action_space, dataset.action_width(), |episode| {
        episode.actions
    });
    let observations = count(
        &info.observation_space,
        dataset.observation_width(),
        |episode| episode.observations,
    );
    [
        Finding::warning(
            "action-outside-space",
            actions,
            "steps have an action outside the action space".into(),
        ),
        Finding::warning(
            "observation-outside-space",
            observations,
            "observations lie outside the observation space".into(),
        ),
    ]
}

fn ends(dataset: &Dataset) -> [Finding; 5] {
    let limit = dataset.info().max_episode_steps;
    let count = |holds: &dyn Fn(EpisodeView<'_>) -> bool| {
        dataset.iter().filter(|&episode| holds(episode)).count()
    };
    let at_limit = |episode: EpisodeView<'_>| Some(episode.len()) == limit;
    let unfinished = |episode: EpisodeView<'_>| !episode.terminated && !episode.truncated;
    let returns: HashSet<u64> = dataset
        .iter()
        .map(|episode| episode.return_().to_bits())
        .collect();
    let constant = returns.len() == 1 && dataset.episodes() > 1;
    let steps = limit.unwrap_or(0);
    [
        Finding::warning(
            "unfinished-episode",
            count(&|episode| unfinished(episode) && !at_limit(episode)),
            "episodes are neither terminated nor truncated: they were cut while running".into(),
        ),
        Finding::warning(
            "unmarked-timeout",
            count(&|episode| unfinished(episode) && at_limit(episode)),
            format!(
                "episodes have the {steps} steps that the environment allows, but are not marked as truncated"
            ),
        ),
        Finding::warning(
            "overlong-episode",
            count(&|episode| limit.is_some_and(|limit| episode.len() > limit)),
            format!("episodes are longer than the {steps} steps that the environment allows"),
        ),
        Finding::note(
            "single-step-episodes",
            count(&|episode| episode.len() == 1),
            "episodes have one step only".into(),
        ),
        Finding::note(
            "constant-return",
            if constant { dataset.episodes() } else { 0 },
            "episodes all have the same return, so that asking for another one is meaningless"
                .into(),
        ),
    ]
}

fn duplicates(dataset: &Dataset) -> [Finding; 2] {
    let (s, a) = (dataset.observation_width(), dataset.action_width());
    let hash = |parts: &[&[f64]]| {
        let mut hasher = DefaultHasher::new();
        for number in parts.iter().copied().flatten() {
            number.to_bits().hash(&mut hasher);
        }
        hasher.finish()
    };
    let mut rows = HashSet::with_capacity(dataset.steps());
    let mut episodes = HashSet::with_capacity(dataset.episodes());
    for episode in dataset.iter() {
        episodes.insert(hash(&[
            episode.observations,
            episode.actions,
            episode.rewards,
        ]));
        for t in 0..episode.len() {
            // The observation before and after, the action, the reward.
            let observations = &episode.observations[t * s..(t + 2) * s];
            rows.insert(hash(&[
                observations,
                &episode.actions[t * a..(t + 1) * a],
                &episode.rewards[t..=t],
            ]));
        }
    }
    [
        Finding::warning(
            "duplicate-episodes",
            dataset.episodes() - episodes.len(),
            "episodes repeat an earlier one number by number".into(),
        ),
        Finding::note(
            "duplicate-rows",
            dataset.steps() - rows.len(),
            "transitions repeat an earlier one number by number".into(),
        ),
    ]
}

/// Columns that never change, and actions that mostly lie at their bounds.
fn columns(dataset: &Dataset) -> Vec<Finding> {
    let (s, a) = (dataset.observation_width(), dataset.action_width());
    if dataset.steps() < 2 {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    for (name, width, rows) in [
        (
            "observation",
            s,
            (|episode| episode.observations) as fn(EpisodeView<'_>) -> &[f64],
        ),
        ("action", a, |episode| episode.actions),
    ] {
        let first = &rows(dataset.episode(0))[..width];
        let mut constant = vec![true; width];
        for row in dataset
            .iter()
            .flat_map(|episode| rows(episode).chunks_exact(width.max(1)))
        {
            for ((constant, x), first) in constant.iter_mut().zip(row).zip(first) {
                *constant &= x.to_bits() == first.to_bits();
            }
        }
        names.extend(
            (0..width)
                .filter(|&i| constant[i])
                .map(|i| format!("{name} {i}")),
        );
    }
    let mut saturated: Vec<String> = Vec::new();
    if let Space::Box(space) = &dataset.info().action_space {
        let mut at_bound = vec![0_usize; a];
        for row in dataset
            .iter()
            .flat_map(|episode| episode.actions.chunks_exact(a.max(1)))
        {
            for (i, &x) in row.iter().enumerate() {
                at_bound[i] += usize::from(x <= space.low[i] || x >= space.high[i]);
            }
        }
        let most = SATURATED * dataset.steps() as f64;
        saturated.extend(
            (0..a)
                .filter(|&i| at_bound[i] as f64 > most)
                .map(|i| i.to_string()),
        );
    }
    vec![
        Finding::note(
            "constant-column",
            names.len(),
            format!("columns never change: {}", listed(&names)),
        ),
        Finding::note(
            "saturated-actions",
            saturated.len(),
            format!(
                "action dimensions lie at a bound in most steps: {}",
                listed(&saturated)
            ),
        ),
    ]
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        format!("{shown} and {} more", names.len() - SHOWN)
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use rtg_envs::{BoxSpace, Dtype};

    use super::*;
    use crate::{Defects, Episode, Info};

    fn unit_box(width: usize) -> Space {
        let (low, high) = (vec![-1.0; width], vec![1.0; width]);
        Space::Box(BoxSpace {
            low,
            high,
            shape: vec![width],
            dtype: Dtype::Float64,
        })
    }

    /// Four sound episodes of 5 steps, numbers from a fixed scramble, the limit at 10 steps.
    fn sound() -> Vec<Episode> {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24) * 1.8 - 0.9
        };
        (0..4)
            .map(|_| Episode {
                observations: (0..12).map(|_| random()).collect(),
                actions: (0..5).map(|_| random()).collect(),
                rewards: (0..5).map(|_| random()).collect(),
                terminated: true,
                ..Episode::default()
            })
            .collect()
    }

    fn findings(episodes: Vec<Episode>) -> Vec<Finding> {
        let info = Info {
            id: "planted".into(),
            env_id: None,
            max_episode_steps: Some(10),
            observation_space: unit_box(2),
            action_space: unit_box(1),
            provenance: String::new(),
        };
        let mut dataset = Dataset::with(info, Defects::Keep);
        for episode in episodes {
            dataset.push(episode).unwrap();
        }
        examine(&dataset)
    }

    fn examined(episodes: Vec<Episode>) -> Vec<(&'static str, Severity, usize)> {
        findings(episodes)
            .into_iter()
            .map(|finding| (finding.code, finding.severity, finding.count))
            .collect()
    }

    fn planted(change: impl FnOnce(&mut Vec<Episode>)) -> Vec<(&'static str, Severity, usize)> {
        let mut episodes = sound();
        change(&mut episodes);
        examined(episodes)
    }

    #[test]
    fn sound_data_give_no_finding() {
        assert_eq!(planted(|_| {}), []);
        assert_eq!(examined(Vec::new()), []);
    }

    #[test]
    fn each_planted_defect_is_found_and_nothing_else() {
        use Severity::{Error, Note, Warning};
        let found = planted(|e| {
            e[1].observations[3] = f64::NAN;
            e[2].rewards[0] = f64::INFINITY;
        });
        assert_eq!(found, [("nan", Error, 2)]);
        assert_eq!(
            planted(|e| e[0].actions[2] = 1.5),
            [("action-outside-space", Warning, 1)]
        );
        assert_eq!(
            planted(|e| e[0].observations[11] = -2.0),
            [("observation-outside-space", Warning, 1)]
        );
        assert_eq!(
            planted(|e| e[3].terminated = false),
            [("unfinished-episode", Warning, 1)]
        );
        assert_eq!(
            planted(|e| e.push(e[0].clone())),
            [
                ("duplicate-episodes", Warning, 1),
                ("duplicate-rows", Note, 5)
            ]
        );
        let found = planted(|e| {
            for x in e
                .iter_mut()
                .flat_map(|e| e.observations.iter_mut().step_by(2))
            {
                *x = 0.5;
            }
        });
        assert_eq!(found, [("constant-column", Note, 1)]);
        let found = planted(|e| e.iter_mut().for_each(|e| e.actions[1..].fill(-1.0)));
        assert_eq!(found, [("saturated-actions", Note, 1)]);
        let found = planted(|e| e.iter_mut().for_each(|e| e.rewards.fill(0.25)));
        assert_eq!(found, [("constant-return", Note, 4)]);
        let found = planted(|e| {
            let episode = &mut e[2];
            episode.observations.truncate(4);
            episode.actions.truncate(1);
            episode.rewards.truncate(1);
        });
        assert_eq!(found, [("single-step-episodes", Note, 1)]);
    }

    /// Makes one episode of the sound ones out of `count` of them.
    fn joined(episodes: &[Episode], count: usize) -> Episode {
        let mut long = episodes[0].clone();
        for episode in &episodes[1..count] {
            long.observations.extend(&episode.observations[2..]);
            long.actions.extend(&episode.actions);
            long.rewards.extend(&episode.rewards);
        }
        long
    }

    #[test]
    fn the_time_limit_is_held_against_the_lengths() {
        let found = planted(|e| {
            let unfinished = Episode {
                terminated: false,
                ..joined(&e[2..], 2)
            };
            *e = vec![joined(e, 2), unfinished];
        });
        assert_eq!(found, [("unmarked-timeout", Severity::Warning, 1)]);
        let found = planted(|e| *e = vec![joined(e, 3), e[3].clone()]);
        assert_eq!(found, [("overlong-episode", Severity::Warning, 1)]);
    }

    #[test]
    fn messages_name_the_first_place_and_not_endless_lists() {
        let mut episodes = sound();
        episodes[1].observations[3] = f64::NAN;
        let found = findings(episodes);
        let message = "numbers are NaN or infinite; the first observation is NaN at episode 1, step 1, dimension 1";
        assert_eq!(found[0].message, message);
        let names: Vec<String> = (0..9).map(|i| i.to_string()).collect();
        assert_eq!(listed(&names), "0, 1, 2, 3, 4, 5 and 3 more");
        let finding = Finding::error("nan", 1, "x".into());
        let json = serde_json::to_string(&finding).unwrap();
        assert_eq!(
            json,
            r#"{"code":"nan","severity":"error","count":1,"message":"x"}"#
        );
    }
}
