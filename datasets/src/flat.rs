//! Flat columns over all episodes, cut into episodes by flags: D4RL's way, and that of most logs.
//!
//! [`FlatSource::cut`] tells the rule. Readers of D4RL files, d3rlpy's first layout, `.npz` archives
//! and CSV files all end in [`Columns`].

mod extras;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::Value;

pub(crate) use self::extras::Extras;
use crate::recording::{Array, Node, RecordedEpisode, Recording, Source, dtype_size};
use crate::{Error, Finding};

/// `observation[t + 1]` and `next_observation[t]` may differ by this much, relative to 1 + size.
const CONTINUITY: f64 = 1e-5;

/// The flat columns of a file.
pub(crate) struct Columns {
    pub(crate) observations: Array,
    pub(crate) next_observations: Option<Array>,
    pub(crate) actions: Array,
    pub(crate) rewards: Array,
    pub(crate) terminals: Option<Vec<bool>>,
    pub(crate) timeouts: Option<Vec<bool>>,
    /// Rows that end an episode without saying how.
    pub(crate) ends: Option<Vec<bool>>,
    pub(crate) extras: Extras,
}

/// Columns cut into episodes. They are in memory, each number in its own type.
pub(crate) struct FlatSource {
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

impl FlatSource {
    /// Columns that are not cut yet; `kind` says for people what the file is.
    ///
    /// They do not say their spaces. Observations count as unbounded. Actions of an integer type
    /// are one choice of `max + 1`; others lie in [-1, 1], or up to the largest absolute value if
    /// that is more.
    pub(crate) fn new(path: &Path, kind: &str, columns: Columns) -> Result<Self, Error> {
        let name = file_name(path);
        columns.check()?;
        let file = path
            .file_name()
            .map_or_else(String::new, |file| file.to_string_lossy().into_owned());
        let observation_space = unbounded(&columns.observations);
        let action_space = action_space([&columns.actions])?;
        let mut recording = Recording::new(&name, observation_space, action_space)
            .with("source", format!("{kind} {file}"));
        recording.entries.extend(columns.extras.entries());
        Ok(Self {
            path: path.to_path_buf(),
            columns,
            recording,
            cuts: Vec::new(),
            next: 0,
            findings: Vec::new(),
        })
    }

    /// The file's name without its ending.
    pub(crate) fn name(&self) -> &str {
        &self.recording.id
    }

    /// Sets an entry of the metadata.
    pub(crate) fn set_entry(&mut self, name: &str, value: impl Into<Value>) {
        self.recording.entries.insert(name.to_owned(), value.into());
    }

    /// Finds the episodes: they end at either flag, where the columns say so otherwise, and, if
    /// there are no timeouts, after `limit` steps. Rows after the last end are dropped, unless no
    /// row ends an episode: then all rows are one.
    pub(crate) fn cut(&mut self, limit: Option<usize>) {
        let columns = &self.columns;
        let steps = columns.rewards.numbers();
        let flag =
            |flags: &Option<Vec<bool>>, row: usize| flags.as_ref().is_some_and(|flags| flags[row]);
        let breaks = columns.breaks();
        let (mut start, mut inferred, mut broken) = (0, 0, 0);
        for row in 0..steps {
            let terminated = flag(&columns.terminals, row);
            let at_limit = columns.timeouts.is_none() && Some(row + 1 - start) == limit;
            let truncated = flag(&columns.timeouts, row) || (at_limit && !terminated);
            if terminated || truncated || flag(&columns.ends, row) {
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
                format!(
                    "episodes were cut at {} steps, since the file marks no timeouts",
                    limit.unwrap_or(0)
                ),
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
        self.recording.total_episodes = Some(self.cuts.len());
    }
}

impl Source for FlatSource {
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
    /// Checks that all columns have a row a step.
    fn check(&self) -> Result<(), Error> {
        let rows = self.observations.rows();
        let next = self.next_observations.as_ref();
        let flags = [&self.terminals, &self.timeouts, &self.ends];
        let fits = self.actions.rows() == rows
            && self.rewards.numbers() == rows
            && next.is_none_or(|next| {
                next.shape() == self.observations.shape()
                    && next.dtype() == self.observations.dtype()
            })
            && flags
                .iter()
                .all(|flags| flags.as_ref().is_none_or(|flags| flags.len() == rows));
        if fits && !self.observations.shape().is_empty() && !self.actions.shape().is_empty() {
            return Ok(());
        }
        Err(Error::Shape {
            what: "the columns".into(),
            found: vec![rows, self.actions.rows(), self.rewards.numbers()],
            expected: "as many rows of observations, actions, rewards and flags".into(),
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
            .get(width * dtype_size(next.dtype())..)
            == next.bytes().get(
                ..next
                    .bytes()
                    .len()
                    .saturating_sub(width * dtype_size(next.dtype())),
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

/// The file's name without its ending.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// The space of observations of which nothing is known but their type and shape.
pub(crate) fn unbounded(observations: &Array) -> Space {
    let width = observations.row_numbers();
    Space::Box(BoxSpace {
        low: vec![f64::NEG_INFINITY; width],
        high: vec![f64::INFINITY; width],
        shape: observations.row_shape().to_vec(),
        dtype: observations.dtype(),
    })
}

/// The space of actions, as [`FlatSource::new`] says, from all parts of their column.
pub(crate) fn action_space<'a>(parts: impl IntoIterator<Item = &'a Array>) -> Result<Space, Error> {
    /// Rows that are looked at together.
    const ROWS: usize = 4096;
    let (mut largest, mut smallest) = (1.0_f64, 0.0_f64);
    let mut first: Option<&Array> = None;
    for part in parts {
        let mut look = |numbers: Vec<f64>| {
            for number in numbers.into_iter().filter(|number| number.is_finite()) {
                largest = largest.max(number.abs());
                smallest = smallest.min(number);
            }
        };
        first = first.or(Some(part));
        if part.shape().is_empty() {
            look(part.to_f64());
            continue;
        }
        // Not all at once: a million actions as `f64` are memory that must be found first.
        for from in (0..part.rows()).step_by(ROWS) {
            look(part.slice(from..part.rows().min(from + ROWS)).to_f64());
        }
    }
    let actions = first.ok_or_else(|| Error::Missing("an action".into()))?;
    let width = actions.row_numbers();
    if !actions.dtype().is_float() && actions.dtype() != Dtype::Bool {
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
