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
//! same; the doctor reports each of these decisions.
//!
//! A conversion also keeps other arrays of N rows, as infos (those in the group `infos` under their
//! own names, others likewise), and texts and single numbers, as entries `d4rl/...` of the metadata.
//! Weights of policies and everything under `virtual` are left out, which the summary says.
//!
//! A file does not say its spaces. Observations count as unbounded. Actions of an integer type
//! are one choice of `max + 1`; others lie in [-1, 1], as in all of D4RL's environments, or up to
//! the largest absolute value if that is more.

mod extras;
mod sink;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::json;

use self::extras::Extras;
pub(crate) use self::sink::D4rlSink;
use crate::hdf5::{Group, Variable};
use crate::recording::{Array, Node, RecordedEpisode, Recording, Source};
use crate::{Contents, Error, Finding};

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
    observations: Array,
    next_observations: Option<Array>,
    actions: Array,
    rewards: Array,
    terminals: Option<Vec<bool>>,
    timeouts: Option<Vec<bool>>,
    extras: Extras,
}

/// A file cut into episodes. Its columns are in memory, each number in its own type.
pub(crate) struct D4rlSource {
    path: PathBuf,
    columns: Columns,
    recording: Recording,
    cuts: Vec<Cut>,
    next: usize,
    findings: Vec<Finding>,
}

/// An episode's rows, and how it ended.
struct Cut {
    rows: Range<usize>,
    terminated: bool,
    truncated: bool,
}

impl D4rlSource {
    /// Reads the file whose root group is `root`; `path` gives the name.
    pub(crate) fn open(root: &Group, path: &Path, contents: Contents) -> Result<Self, Error> {
        let name = path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let columns = Columns::read(root, contents)?;
        let lower = name.to_lowercase().replace('_', "-");
        let known = WORLDS.iter().find(|world| lower.starts_with(world.prefix));
        let limit = known.map_or(DEFAULT_MAX_EPISODE_STEPS, |world| world.max_episode_steps);
        let observation_width = columns.observations.row_numbers();
        let observation_space = Space::Box(BoxSpace {
            low: vec![f64::NEG_INFINITY; observation_width],
            high: vec![f64::INFINITY; observation_width],
            shape: columns.observations.row_shape().to_vec(),
            dtype: columns.observations.dtype(),
        });
        let mut recording =
            Recording::new(&name, observation_space, action_space(&columns.actions)?)
                .with("source", format!("D4RL file {name}.hdf5"));
        if let Some(world) = known {
            // Gymnasium fills in what is missing from its registry when the spec is made again.
            let env_spec = json!({"id": world.env_id, "max_episode_steps": limit});
            recording = recording.with("env_spec", env_spec.to_string());
        }
        recording.entries.extend(columns.extras.entries());
        let mut source = Self {
            path: path.to_path_buf(),
            columns,
            recording,
            cuts: Vec::new(),
            next: 0,
            findings: Vec::new(),
        };
        source.cut(limit);
        source.recording.total_episodes = Some(source.cuts.len());
        Ok(source)
    }

    /// Finds the episodes.
    fn cut(&mut self, limit: usize) {
        let columns = &self.columns;
        let steps = columns.rewards.numbers();
        let flag =
            |flags: &Option<Vec<bool>>, row: usize| flags.as_ref().is_some_and(|flags| flags[row]);
        let breaks = columns.breaks();
        let (mut start, mut inferred, mut broken) = (0, 0, 0);
        for row in 0..steps {
            let terminated = flag(&columns.terminals, row);
            let at_limit = columns.timeouts.is_none() && row + 1 - start == limit;
            let truncated = flag(&columns.timeouts, row) || (at_limit && !terminated);
            if terminated || truncated {
                inferred += usize::from(at_limit && !terminated);
                self.cuts.push(Cut {
                    rows: start..row + 1,
                    terminated,
                    truncated,
                });
                start = row + 1;
            } else {
                broken += usize::from(breaks.get(row).copied().unwrap_or(false));
            }
        }
        if start == 0 && steps > 0 {
            self.cuts.push(Cut {
                rows: 0..steps,
                terminated: false,
                truncated: false,
            });
            start = steps;
        }
        let repeated = if columns.next_observations.is_some() {
            0
        } else {
            self.cuts.len()
        };
        self.findings = vec![
            Finding::error(
                "discontinuity",
                broken,
                "steps within episodes are not followed by the observation that they led to".into(),
            ),
            Finding::warning(
                "unmarked-timeout",
                inferred,
                format!("episodes were cut at {limit} steps, since the file marks no timeouts"),
            ),
            Finding::note(
                "dropped-tail",
                steps - start,
                "rows after the last finished episode were left out".into(),
            ),
            Finding::note(
                "repeated-final-observation",
                repeated,
                "episodes repeat their last observation, since the file has no next_observations"
                    .into(),
            ),
        ];
        self.findings.retain(|finding| finding.count > 0);
        self.recording.total_steps = Some(start);
    }
}

impl Source for D4rlSource {
    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        let Some(cut) = self.cuts.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let rows = cut.rows.clone();
        let columns = &self.columns;
        let mut observations = columns.observations.slice(rows.clone());
        let last = columns
            .next_observations
            .as_ref()
            .unwrap_or(&columns.observations);
        observations.extend(&last.slice(rows.end.saturating_sub(1)..rows.end))?;
        let mut terminations = vec![false; rows.len()];
        let mut truncations = vec![false; rows.len()];
        if let (Some(terminated), Some(truncated)) =
            (terminations.last_mut(), truncations.last_mut())
        {
            (*terminated, *truncated) = (cut.terminated, cut.truncated);
        }
        Ok(Some(RecordedEpisode {
            observations: Node::Array(observations),
            actions: Node::Array(columns.actions.slice(rows.clone())),
            rewards: columns.rewards.slice(rows.clone()),
            terminations,
            truncations,
            infos: columns.extras.rows(rows)?,
            seed: None,
            attributes: Vec::new(),
        }))
    }

    fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }

    fn left_out(&self) -> Vec<String> {
        self.columns.extras.left_out()
    }
}

impl Columns {
    fn read(root: &Group, contents: Contents) -> Result<Self, Error> {
        let observations = root.required_array("observations")?;
        let actions = root.required_array("actions")?;
        let rows = observations.shape().first().copied().unwrap_or(0);
        let observation_shape = row_shape(&observations, rows)?;
        row_shape(&actions, rows)?;
        let single = |name: &str| -> Result<Option<Array>, Error> {
            let Some(array) = root.array(name)? else {
                return Ok(None);
            };
            if !matches!(row_shape(&array, rows)?, [] | [1]) {
                return Err(misshapen(&array, format!("({rows},)")));
            }
            array.read()?.reshaped(vec![rows]).map(Some)
        };
        let flags = |name: &str| -> Result<Option<Vec<bool>>, Error> {
            let array = single(name)?;
            Ok(array.map(|array| array.to_f64().into_iter().map(|flag| flag != 0.0).collect()))
        };
        let next_observations = match root.array("next_observations")? {
            Some(array)
                if row_shape(&array, rows)? == observation_shape
                    && array.dtype() == observations.dtype() =>
            {
                Some(array.read()?)
            }
            Some(array) => {
                let shape = observations.shape();
                return Err(misshapen(
                    &array,
                    format!("{shape:?}, as the observations have"),
                ));
            }
            None => None,
        };
        let mut actions = actions.read()?;
        if !actions.dtype().is_float() && *actions.row_shape() == [1] {
            actions = actions.reshaped(vec![rows])?;
        }
        Ok(Self {
            observations: observations.read()?,
            next_observations,
            actions,
            rewards: single("rewards")?.ok_or_else(|| Error::Missing("/rewards".into()))?,
            terminals: flags("terminals")?,
            timeouts: flags("timeouts")?,
            extras: match contents {
                Contents::Everything => Extras::read(root, rows)?,
                Contents::Steps => Extras::default(),
            },
        })
    }

    /// For each row but the last: whether the observation after it is not the one that the step
    /// led to. Without `next_observations` nothing can be compared.
    fn breaks(&self) -> Vec<bool> {
        let Some(next) = &self.next_observations else {
            return Vec::new();
        };
        let width = self.observations.row_numbers();
        if self
            .observations
            .bytes()
            .get(width * crate::recording::dtype_size(next.dtype())..)
            == next.bytes().get(
                ..next
                    .bytes()
                    .len()
                    .saturating_sub(width * crate::recording::dtype_size(next.dtype())),
            )
        {
            return Vec::new();
        }
        let (observations, next) = (self.observations.to_f64(), next.to_f64());
        let following = observations.chunks_exact(width.max(1)).skip(1);
        let differs = |(led_to, following): (&[f64], &[f64])| {
            let mut pairs = led_to.iter().zip(following);
            pairs.any(|(a, b)| (a - b).abs() > CONTINUITY * (1.0 + a.abs()))
        };
        next.chunks_exact(width.max(1))
            .zip(following)
            .map(differs)
            .collect()
    }
}

/// The shape of a row of an array that must have `rows` rows.
fn row_shape(array: &Variable, rows: usize) -> Result<&[usize], Error> {
    match array.shape() {
        [found, row @ ..] if *found == rows && !row.contains(&0) => Ok(row),
        _ => Err(misshapen(array, format!("{rows} rows of numbers"))),
    }
}

fn misshapen(array: &Variable, expected: String) -> Error {
    Error::Shape {
        what: array.path().to_owned(),
        found: array.shape().to_vec(),
        expected,
    }
}

/// The space of the actions, as the module's page says.
fn action_space(actions: &Array) -> Result<Space, Error> {
    let numbers = actions.to_f64();
    let largest = numbers
        .iter()
        .copied()
        .filter(|a| a.is_finite())
        .fold(1.0_f64, |m, a| m.max(a.abs()));
    let width = actions.row_numbers();
    if !actions.dtype().is_float() && actions.dtype() != Dtype::Bool {
        let smallest = numbers.iter().copied().fold(0.0, f64::min);
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
        shape: actions.row_shape().to_vec(),
        dtype: actions.dtype(),
    }))
}

#[cfg(test)]
mod tests;
