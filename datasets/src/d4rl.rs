//! D4RL datasets: one HDF5 file of flat columns, cut into episodes by flags.
//!
//! | array | shape | |
//! |---|---|---|
//! | `observations` | N x S | before each step |
//! | `actions`, `rewards` | N x A, N | rewards also N x 1 |
//! | `terminals` | N | a terminal state was reached |
//! | `timeouts` | N, optional | the time limit cut the episode off |
//! | `next_observations` | N x S, optional | after each step |
//!
//! An episode ends where either flag is set. Without `timeouts` it also ends, truncated, when it
//! is as long as its environment allows: by the file's name as in `WORLDS`, else 1000 steps. Rows
//! after the last end are an unfinished episode and are dropped, as D4RL's own splitter and the
//! Decision Transformer's do; only if no row ends an episode, all rows are one unfinished episode.
//! The observation after the last step comes from `next_observations`;
//! without them the last observation is repeated. No window contains that row, so training is the
//! same; the doctor reports each of these decisions. Other arrays and scalars are ignored.
//!
//! A file does not say its spaces. Observations count as unbounded. Actions of an integer type
//! are one choice of `max + 1`; others lie in [-1, 1], as in all of D4RL's environments, or up to
//! the largest absolute value if that is more.

use std::ops::Range;
use std::path::Path;

use rtg_envs::{BoxSpace, Dtype, Space};

use crate::hdf5::{Array, Group, Number};
use crate::{Dataset, Defects, Episode, Error, Finding, Info};

/// A family of files: how its names begin, its time limit, and the environment that continues it.
struct World {
    prefix: &'static str,
    max_episode_steps: usize,
    env_id: Option<&'static str>,
}

const fn world(
    prefix: &'static str,
    max_episode_steps: usize,
    env_id: Option<&'static str>,
) -> World {
    World {
        prefix,
        max_episode_steps,
        env_id,
    }
}

/// D4RL's time limits; the first prefix that fits counts.
const WORLDS: [World; 18] = [
    world("hopper", 1000, Some("Hopper-v5")),
    world("halfcheetah", 1000, Some("HalfCheetah-v5")),
    world("walker2d", 1000, Some("Walker2d-v5")),
    world("antmaze-umaze", 700, None),
    world("ant-maze-u-maze", 700, None),
    world("ant", 1000, None),
    world("maze2d-open", 150, None),
    world("maze2d-umaze", 300, None),
    world("maze2d-medium", 600, None),
    world("maze2d-large", 800, None),
    world("pen", 100, None),
    world("hammer", 200, None),
    world("door", 200, None),
    world("relocate", 200, None),
    world("mini-kitchen", 280, None),
    world("kitchen", 280, None),
    world("cartpole", 500, Some("CartPole-v1")),
    world("pendulum", 200, Some("Pendulum-v1")),
];

/// The time limit where the name says nothing.
const DEFAULT_MAX_EPISODE_STEPS: usize = 1000;

/// `observation[t + 1]` and `next_observation[t]` may differ by this much, relative to 1 + size.
const CONTINUITY: f64 = 1e-5;

/// The flat columns of a file.
struct Columns {
    observations: Vec<f64>,
    next_observations: Option<Vec<f64>>,
    actions: Vec<f64>,
    rewards: Vec<f64>,
    terminals: Option<Vec<f64>>,
    timeouts: Option<Vec<f64>>,
}

/// Reads the file whose root group is `root`; `path` gives the name.
pub(crate) fn read(root: &Group, path: &Path, defects: Defects) -> Result<Dataset, Error> {
    let name = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let observations = root.required_array("observations")?;
    let actions = root.required_array("actions")?;
    let rows = observations.shape().first().copied().unwrap_or(0);
    let (observation_width, action_width) =
        (row_width(&observations, rows)?, row_width(&actions, rows)?);
    let single = |name: &str| -> Result<Option<Vec<f64>>, Error> {
        let Some(array) = root.array(name)? else {
            return Ok(None);
        };
        if row_width(&array, rows)? != 1 {
            return Err(misshapen(&array, format!("({rows},)")));
        }
        array.read().map(Some)
    };
    let next_observations = match root.array("next_observations")? {
        Some(array) if row_width(&array, rows)? == observation_width => Some(array.read()?),
        Some(array) => return Err(misshapen(&array, format!("({rows}, {observation_width})"))),
        None => None,
    };
    let columns = Columns {
        observations: observations.read()?,
        next_observations,
        actions: actions.read()?,
        rewards: single("rewards")?.ok_or_else(|| Error::Missing("/rewards".into()))?,
        terminals: single("terminals")?,
        timeouts: single("timeouts")?,
    };

    let lower = name.to_lowercase().replace('_', "-");
    let known = WORLDS.iter().find(|world| lower.starts_with(world.prefix));
    let limit = known.map_or(DEFAULT_MAX_EPISODE_STEPS, |world| world.max_episode_steps);
    let info = Info {
        provenance: format!("D4RL file {name}.hdf5"),
        id: name,
        env_id: known.and_then(|world| world.env_id).map(str::to_owned),
        max_episode_steps: known.map(|world| world.max_episode_steps),
        observation_space: Space::Box(BoxSpace {
            low: vec![f64::NEG_INFINITY; observation_width],
            high: vec![f64::INFINITY; observation_width],
            shape: vec![observation_width],
            dtype: dtype(observations.number()),
        }),
        action_space: action_space(&actions, action_width, &columns.actions)?,
    };
    cut(&columns, limit, Dataset::with(info, defects))
}

/// Cuts the columns into the episodes of `dataset`.
fn cut(columns: &Columns, limit: usize, mut dataset: Dataset) -> Result<Dataset, Error> {
    let width = dataset.observation_width();
    let steps = columns.rewards.len();
    let flag = |flags: &Option<Vec<f64>>, row: usize| {
        flags.as_ref().is_some_and(|flags| flags[row] != 0.0)
    };
    let (mut start, mut inferred, mut breaks) = (0, 0, 0);
    dataset.reserve(steps);
    for row in 0..steps {
        let terminated = flag(&columns.terminals, row);
        let at_limit = columns.timeouts.is_none() && row + 1 - start == limit;
        let truncated = flag(&columns.timeouts, row) || (at_limit && !terminated);
        if terminated || truncated {
            inferred += usize::from(at_limit && !terminated);
            let episode = columns.episode(start..row + 1, &dataset);
            dataset.push(Episode {
                terminated,
                truncated,
                ..episode
            })?;
            start = row + 1;
        } else {
            breaks += usize::from(columns.breaks_after(row, width));
        }
    }
    if start == 0 {
        dataset.push(columns.episode(0..steps, &dataset))?;
        start = steps;
    }
    let repeated = if columns.next_observations.is_some() {
        0
    } else {
        dataset.episodes()
    };
    dataset.note(Finding::error(
        "discontinuity",
        breaks,
        "steps within episodes are not followed by the observation that they led to".into(),
    ));
    dataset.note(Finding::warning(
        "unmarked-timeout",
        inferred,
        format!("episodes were cut at {limit} steps, since the file marks no timeouts"),
    ));
    dataset.note(Finding::note(
        "dropped-tail",
        steps - start,
        "rows after the last finished episode were left out".into(),
    ));
    dataset.note(Finding::note(
        "repeated-final-observation",
        repeated,
        "episodes repeat their last observation, since the file has no next_observations".into(),
    ));
    Ok(dataset)
}

impl Columns {
    /// The episode of these rows, without its flags.
    fn episode(&self, rows: Range<usize>, dataset: &Dataset) -> Episode {
        let of =
            |column: &[f64], width: usize| column[rows.start * width..rows.end * width].to_vec();
        let width = dataset.observation_width();
        let mut observations = of(&self.observations, width);
        let last = self
            .next_observations
            .as_ref()
            .unwrap_or(&self.observations);
        observations.extend(&last[rows.end.saturating_sub(1) * width..rows.end * width]);
        Episode {
            observations,
            actions: of(&self.actions, dataset.action_width()),
            rewards: of(&self.rewards, 1),
            ..Episode::default()
        }
    }

    /// Whether the observation after `row` is not the one that the step led to. The last row of
    /// all has nothing after it, and without `next_observations` nothing can be compared.
    fn breaks_after(&self, row: usize, width: usize) -> bool {
        let Some(next) = &self.next_observations else {
            return false;
        };
        let Some(following) = self.observations.get((row + 1) * width..(row + 2) * width) else {
            return false;
        };
        let led_to = &next[row * width..(row + 1) * width];
        led_to
            .iter()
            .zip(following)
            .any(|(a, b)| (a - b).abs() > CONTINUITY * (1.0 + a.abs()))
    }
}

/// Numbers in a row of an array that must have `rows` rows.
fn row_width(array: &Array, rows: usize) -> Result<usize, Error> {
    match *array.shape() {
        [found] if found == rows => Ok(1),
        [found, width] if found == rows && width > 0 => Ok(width),
        _ => Err(misshapen(array, format!("{rows} rows of numbers"))),
    }
}

fn misshapen(array: &Array, expected: String) -> Error {
    Error::Shape {
        what: array.path().to_owned(),
        found: array.shape().to_vec(),
        expected,
    }
}

fn dtype(number: Number) -> Dtype {
    if number == Number::Float32 {
        Dtype::Float32
    } else {
        Dtype::Float64
    }
}

/// The space of the actions, as the module's page says.
fn action_space(array: &Array, width: usize, actions: &[f64]) -> Result<Space, Error> {
    let largest = actions
        .iter()
        .copied()
        .filter(|a| a.is_finite())
        .fold(1.0_f64, |m, a| m.max(a.abs()));
    if matches!(array.number(), Number::Integer { .. }) {
        let smallest = actions.iter().copied().fold(0.0, f64::min);
        if width != 1 || smallest < 0.0 {
            return Err(Error::Unsupported(
                "an integer action of several numbers or below 0".into(),
            ));
        }
        return Ok(Space::Discrete {
            n: largest as usize + 1,
            start: 0,
        });
    }
    Ok(Space::Box(BoxSpace {
        low: vec![-largest; width],
        high: vec![largest; width],
        shape: vec![width],
        dtype: dtype(array.number()),
    }))
}

#[cfg(test)]
mod tests {
    use crate::{Defects, open, open_with};

    use super::*;

    fn fixture(name: &str) -> String {
        format!("{}/fixtures/d4rl/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn lengths(dataset: &Dataset) -> Vec<usize> {
        dataset.iter().map(|episode| episode.len()).collect()
    }

    fn codes(dataset: &Dataset) -> Vec<(&'static str, usize)> {
        dataset
            .findings()
            .iter()
            .map(|finding| (finding.code, finding.count))
            .collect()
    }

    #[test]
    fn episodes_end_at_terminals_and_at_timeouts_and_the_tail_is_dropped() {
        // 40 rows: a terminal at row 9, a timeout at row 24, a terminal at row 34, five rows more.
        let dataset = open(&fixture("hopper_marked-v2.hdf5"), None).unwrap();
        assert_eq!(lengths(&dataset), [10, 15, 10]);
        let ends: Vec<_> = dataset
            .iter()
            .map(|e| (e.terminated, e.truncated))
            .collect();
        assert_eq!(ends, [(true, false), (false, true), (true, false)]);
        assert_eq!(codes(&dataset), [("dropped-tail", 5)]);
        // The fixture's observations count rows, its next_observations are one ahead.
        let second = dataset.episode(1);
        assert_eq!(second.observations[..3], [10.0, 20.0, -10.0]);
        assert_eq!(second.observations[15 * 3..], [25.0, 50.0, -25.0]);
        assert_eq!(dataset.info().env_id.as_deref(), Some("Hopper-v5"));
        assert!(
            matches!(&dataset.info().action_space, Space::Box(space) if space.high == [1.0, 1.0])
        );
    }

    #[test]
    fn without_timeouts_the_time_limit_cuts_and_without_next_observations_the_last_is_repeated() {
        // 250 rows of the pen, whose limit is 100; a terminal at row 29.
        let dataset = open(&fixture("pen-plain-v0.hdf5"), None).unwrap();
        assert_eq!(lengths(&dataset), [30, 100, 100]);
        assert_eq!(
            codes(&dataset),
            [
                ("unmarked-timeout", 2),
                ("dropped-tail", 20),
                ("repeated-final-observation", 3)
            ]
        );
        let first = dataset.episode(0);
        assert_eq!(
            first.observations[29 * 3..30 * 3],
            first.observations[30 * 3..]
        );
        // Actions beyond [-1, 1] widen the space.
        assert!(
            matches!(&dataset.info().action_space, Space::Box(space) if space.high == [2.5, 2.5])
        );
    }

    #[test]
    fn integer_actions_are_choices_and_columns_of_one_number_are_squeezed() {
        let dataset = open(&fixture("choices.hdf5"), None).unwrap();
        assert_eq!(
            dataset.info().action_space,
            Space::Discrete { n: 4, start: 0 }
        );
        assert_eq!(dataset.info().env_id, None);
        assert_eq!(lengths(&dataset), [6, 6]);
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_or_kept() {
        let path = fixture("hopper_broken-v2.hdf5");
        let error = open(&path, None).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("reward is NaN at episode 1, step 2, dimension 0: {path}")
        );
        let dataset = open_with(&path, None, Defects::Keep).unwrap();
        assert_eq!(codes(&dataset), [("discontinuity", 1)]);
        assert!(dataset.episode(1).rewards[2].is_nan());
    }

    #[test]
    fn a_file_in_which_nothing_ends_is_one_unfinished_episode() {
        let dataset = open(&fixture("endless.hdf5"), None).unwrap();
        assert_eq!(lengths(&dataset), [8]);
        let findings = crate::doctor::examine(&dataset);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["unfinished-episode"]);
    }
}
