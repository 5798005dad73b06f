//! Findings from the numbers alone: not finite, outside a space, repeated, constant.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use rtg_envs::Space;

use super::Finding;
use crate::finding::listed;
use crate::{Dataset, EpisodeView};

/// An action dimension counts as saturated if more than this fraction of its steps are at a bound.
const SATURATED: f64 = 0.5;

/// Transitions that are compared with each other; of more, a sample is.
const COMPARED: usize = 1 << 23;

pub(super) fn not_finite(dataset: &Dataset) -> Finding {
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

/// Whether a row is within a space's bounds. NaN is another finding; the number type does not
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

pub(super) fn outside_spaces(dataset: &Dataset) -> [Finding; 2] {
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
            "observations are outside the observation space".into(),
        ),
    ]
}

pub(super) fn duplicates(dataset: &Dataset) -> [Finding; 2] {
    let (s, a) = (dataset.observation_width(), dataset.action_width());
    let hash = |parts: &[&[f64]]| {
        let mut hasher = DefaultHasher::new();
        for number in parts.iter().copied().flatten() {
            number.to_bits().hash(&mut hasher);
        }
        hasher.finish()
    };
    // Of very many rows, only those whose hash ends in zeros are kept, as a sample.
    let share = dataset
        .steps()
        .div_ceil(COMPARED)
        .max(1)
        .next_power_of_two();
    let (mut compared, mut rows) = (0, HashSet::new());
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
            let row = hash(&[
                observations,
                &episode.actions[t * a..(t + 1) * a],
                &episode.rewards[t..=t],
            ]);
            if row.is_multiple_of(share as u64) {
                compared += 1;
                rows.insert(row);
            }
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
            (compared - rows.len()) * share,
            "transitions repeat an earlier one number by number".into(),
        ),
    ]
}

/// Columns that never change, and actions that are mostly at their bounds.
pub(super) fn columns(dataset: &Dataset) -> Vec<Finding> {
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
                "action dimensions are at a bound in most steps: {}",
                listed(&saturated)
            ),
        ),
    ]
}
