//! Flat columns over all episodes, cut into episodes by flags: the layout of D4RL and of most logs.
//!
//! [`FlatSource::cut`] states the rule. Readers of D4RL files, d3rlpy's first layout, `.npz`
//! archives and CSV files all end in [`Columns`].

mod extras;
mod marks;
mod named;
mod roles;
pub(crate) mod table;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::Value;

pub(crate) use self::extras::Extras;
pub(crate) use self::marks::Marks;
pub(crate) use self::named::{columns, squeezed};
pub(crate) use self::roles::{Role, best, role};
use crate::finding::listed;
use crate::recording::{
    Array, Node, RecordedEpisode, Recording, RecordingSpace, Source, dtype_size, product, promoted,
};
use crate::{Budget, Error, Finding};

/// `observation[t + 1]` and `next_observation[t]` may differ by this much, relative to 1 + size.
const CONTINUITY: f64 = 1e-5;

/// The flat columns of a file.
pub(crate) struct Columns {
    pub(crate) observations: Array,
    pub(crate) next_observations: Option<Array>,
    pub(crate) actions: Array,
    pub(crate) rewards: Array,
    pub(crate) marks: Marks,
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
    budget: Budget,
}

/// An episode's rows, and how it ended.
struct Cut {
    rows: Range<usize>,
    terminated: bool,
    truncated: bool,
}

impl FlatSource {
    /// Columns that are not cut yet; `kind` is the file's type for display.
    ///
    /// They do not state their spaces. Observations count as unbounded. Actions of an integer type
    /// are choices, from 0 or the smallest one to the largest: one, or one a column. Others are in
    /// [-1, 1], or up to the largest absolute value if that is more.
    pub(crate) fn new(
        path: &Path,
        kind: &str,
        mut columns: Columns,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let name = file_name(path);
        columns.unite(budget)?;
        columns.check()?;
        columns.marks.settle();
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
            budget: budget.clone(),
        })
    }

    /// The file's name without its extension.
    pub(crate) fn name(&self) -> &str {
        &self.recording.id
    }

    /// Sets an entry of the metadata.
    pub(crate) fn set_entry(&mut self, name: &str, value: impl Into<Value>) {
        self.recording.entries.insert(name.to_owned(), value.into());
    }

    /// Uses the spaces stated in the file where its rows fit them.
    pub(crate) fn set_spaces(&mut self, spaces: (RecordingSpace, RecordingSpace)) {
        let fits = |space: &RecordingSpace, array: &Array| {
            let numbers = array.row_numbers() == space.space().width();
            numbers
                && !matches!(
                    space.space(),
                    Space::Dict(_) | Space::Tuple(_) | Space::Text { .. }
                )
        };
        let (observations, actions) = spaces;
        if fits(&observations, &self.columns.observations) && fits(&actions, &self.columns.actions)
        {
            self.recording.observation_space = observations;
            self.recording.action_space = actions;
        }
    }

    /// Finds the episodes: they end where the columns say so and, if these do not state
    /// truncations, after `limit` steps. Rows after the last end are dropped, unless no row ends an
    /// episode: then all rows are one.
    pub(crate) fn cut(&mut self, limit: Option<usize>) {
        let columns = &self.columns;
        let marks = &columns.marks;
        let steps = columns.rewards.numbers();
        let flag =
            |flags: &Option<Vec<bool>>, row: usize| flags.as_ref().is_some_and(|flags| flags[row]);
        let tells = [&marks.timeouts, &marks.ends, &marks.changes];
        let limit = limit.filter(|_| tells.iter().all(|marks| marks.is_none()));
        let breaks = columns.breaks();
        let (mut start, mut inferred, mut broken, mut unclear) = (0, 0, 0, 0);
        for row in 0..steps {
            let terminated = flag(&marks.terminals, row);
            let at_limit = Some(row + 1 - start) == limit;
            let truncated = flag(&marks.timeouts, row) || (at_limit && !terminated);
            let ends = flag(&marks.ends, row);
            if terminated || truncated || ends || flag(&marks.changes, row) {
                inferred += usize::from(at_limit && !terminated);
                unclear += usize::from(ends && !terminated && !truncated);
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
            Finding::warning(
                "no-ends",
                usize::from(!marks.are_there()),
                nothing_ends(marks, limit),
            ),
            Finding::warning(
                "unclear-ends",
                unclear,
                format!(
                    "episodes end where {} says so, which does not state whether in a terminal \
                        state: \
                     they count as neither terminated nor truncated",
                    marks.unclear.join(", ")
                ),
            ),
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
                "rows after the last complete episode were omitted".into(),
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

/// The finding where no column states where episodes end.
fn nothing_ends(marks: &Marks, limit: Option<usize>) -> String {
    let cut = match limit {
        Some(limit) => format!("an episode is taken to last {limit} steps"),
        None => "all rows count as one episode".into(),
    };
    let others = match marks.others.as_slice() {
        [] => String::new(),
        others => format!("; columns with unknown names: {}", listed(others)),
    };
    format!("no column states where episodes end, so {cut}{others}")
}

impl Source for FlatSource {
    fn budget(&self) -> Budget {
        self.budget.clone()
    }

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
    /// Converts observations before and after a step to a type that can represent both.
    fn unite(&mut self, budget: &Budget) -> Result<(), Error> {
        let Some(next) = &mut self.next_observations else {
            return Ok(());
        };
        let both = promoted(&[self.observations.dtype(), next.dtype()]);
        for array in [&mut self.observations, next] {
            if array.dtype() != both {
                budget.take_items(&[array.numbers()], 16, "the observations")?;
                *array = array.cast(both);
            }
        }
        Ok(())
    }

    /// Checks that all columns have a row a step.
    fn check(&self) -> Result<(), Error> {
        let rows = self.rewards.numbers();
        let mut counts = vec![
            ("observations".to_owned(), self.observations.rows()),
            ("actions".into(), self.actions.rows()),
            ("rewards".into(), rows),
        ];
        let next = self.next_observations.as_ref();
        counts.extend(next.map(|next| ("next observations".into(), next.rows())));
        counts.extend(
            self.marks
                .rows()
                .map(|(name, rows)| (name.to_owned(), rows)),
        );
        if counts.iter().any(|(_, count)| *count != rows) {
            return Err(Error::Columns(counts));
        }
        for (array, name) in [
            (&self.observations, "observations"),
            (&self.actions, "actions"),
        ] {
            if array.shape().is_empty() || array.row_shape().contains(&0) {
                return Err(Error::Shape {
                    what: format!("the column of {name}"),
                    found: array.shape().to_vec(),
                    expected: "rows of numbers".into(),
                });
            }
        }
        match next {
            Some(next) if next.shape() != self.observations.shape() => Err(Error::Shape {
                what: "the next observations".into(),
                found: next.shape().to_vec(),
                expected: format!("{:?} as the observations", self.observations.shape()),
            }),
            _ => Ok(()),
        }
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

/// The file's name without its extension.
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
    /// Rows that are examined together.
    const ROWS: usize = 4096;
    let mut first: Option<&Array> = None;
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for part in parts {
        let actions = *first.get_or_insert(part);
        let width = actions.row_numbers().max(1);
        low.resize(width, f64::INFINITY);
        high.resize(width, f64::NEG_INFINITY);
        let mut look = |numbers: Vec<f64>| {
            for row in numbers.chunks(width) {
                for ((low, high), &number) in low.iter_mut().zip(&mut high).zip(row) {
                    if number.is_finite() {
                        (*low, *high) = (number.min(*low), number.max(*high));
                    }
                }
            }
        };
        if part.shape().is_empty() {
            look(part.to_f64());
            continue;
        }
        // Not all at once: a million actions as `f64` would need memory that may not be there.
        for from in (0..part.rows()).step_by(ROWS) {
            look(part.slice(from..part.rows().min(from + ROWS)).to_f64());
        }
    }
    let actions = first.ok_or_else(|| Error::Missing("an action".into()))?;
    if !actions.dtype().is_float()
        && actions.dtype() != Dtype::Bool
        && let Some(choices) = choices(actions.row_shape(), &low, &high)
    {
        return Ok(choices);
    }
    let largest = low.iter().chain(&high).filter(|number| number.is_finite());
    let largest = largest.fold(1.0_f64, |largest, number| largest.max(number.abs()));
    let width = product(actions.row_shape()).unwrap_or(0);
    Ok(Space::Box(BoxSpace {
        low: vec![-largest; width],
        high: vec![largest; width],
        shape: actions.row_shape().to_vec(),
        dtype: actions.dtype(),
    }))
}

/// Integers as choices; `None` where there are too many to be that.
fn choices(row_shape: &[usize], low: &[f64], high: &[f64]) -> Option<Space> {
    const MOST: f64 = (1 << 16) as f64;
    let starts: Vec<f64> = low.iter().map(|&low| low.min(0.0)).collect();
    let counts = high
        .iter()
        .zip(&starts)
        .map(|(&high, &start)| high.max(1.0) - start + 1.0);
    let counts: Vec<f64> = counts.collect();
    if counts.iter().sum::<f64>() > MOST || row_shape.len() > 1 {
        return None;
    }
    Some(match row_shape {
        [] | [1] => Space::Discrete {
            n: counts[0] as usize,
            start: starts[0] as i64,
        },
        _ => Space::MultiDiscrete {
            nvec: counts.iter().map(|&count| count as usize).collect(),
            start: starts.iter().map(|&start| start as i64).collect(),
        },
    })
}
