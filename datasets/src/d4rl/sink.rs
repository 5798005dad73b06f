//! Writing D4RL files: flat columns over all episodes, compressed as D4RL's own are.
//!
//! `next_observations` are written too, so the observation after the last step is not lost. An
//! observation or action that is not a plain array is flattened by Gymnasium's rule. Infos keep the
//! row of each step; D4RL cannot store the one after the last step.

use std::collections::BTreeMap;
use std::path::Path;

use rtg_envs::{Dtype, Space};
use serde_json::Value;

use super::{ENV_SPEC, SPACES};
use crate::hdf5::writer::{ColumnWriter, Writer, WriterGroup};
use crate::recording::{
    Array, Attribute, Flattener, Node, RecordedEpisode, Recording, RecordingSpace, Sink, flat_space,
};
use crate::staging::Staging;
use crate::{Budget, Error};

/// The level at which D4RL's own files are compressed.
const GZIP_LEVEL: u32 = 4;

/// Writes one file.
pub(crate) struct D4rlSink {
    staging: Staging,
    writer: Writer,
    recording: Recording,
    flattener: Flattener,
    columns: BTreeMap<String, ColumnWriter>,
    groups: BTreeMap<String, WriterGroup>,
    episodes: usize,
    rows: usize,
    left_out: BTreeMap<String, usize>,
}

impl D4rlSink {
    /// Begins the file.
    pub(crate) fn create(path: &Path, recording: &Recording) -> Result<Self, Error> {
        let staging = Staging::begin(path)?;
        let writer = Writer::create(&staging.content())?;
        let groups = BTreeMap::from([(String::new(), writer.root()?)]);
        Ok(Self {
            staging,
            writer,
            flattener: Flattener::new(recording),
            recording: recording.clone(),
            columns: BTreeMap::new(),
            groups,
            episodes: 0,
            rows: 0,
            left_out: BTreeMap::new(),
        })
    }

    /// The group at a path, created if need be.
    fn group(&mut self, path: &str) -> Result<&WriterGroup, Error> {
        if !self.groups.contains_key(path) {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let group = self.group(parent)?.create_group(name)?;
            self.groups.insert(path.to_owned(), group);
        }
        Ok(&self.groups[path])
    }

    fn append(&mut self, path: &str, array: &Array) -> Result<(), Error> {
        if !self.columns.contains_key(path) {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let group = self.group(parent)?;
            let mut column =
                group.create_column(name, array.dtype(), array.row_shape(), GZIP_LEVEL)?;
            column.pad(self.rows)?;
            self.columns.insert(path.to_owned(), column);
        }
        match self.columns.get_mut(path) {
            Some(column) => column.append(array),
            None => Ok(()),
        }
    }

    fn leave_out(&mut self, what: impl Into<String>) {
        *self.left_out.entry(what.into()).or_default() += 1;
    }

    fn append_infos(&mut self, infos: &Node, steps: usize) -> Result<(), Error> {
        for (path, leaf) in infos.leaves() {
            let path = format!("infos/{path}");
            match leaf.array() {
                Some(array)
                    if !array.shape().is_empty() && [steps, steps + 1].contains(&array.rows()) =>
                {
                    if array.rows() > steps {
                        self.leave_out("the infos after the last step");
                    }
                    let array = array.slice(0..steps);
                    if self
                        .columns
                        .get(&path)
                        .is_some_and(|column| !column.takes(&array))
                    {
                        self.leave_out(format!("{path}, which changes its type or shape"));
                        continue;
                    }
                    self.append(&path, &array)?;
                }
                _ => self.leave_out(format!("{path}, which is not an array of one row a step")),
            }
        }
        Ok(())
    }
}

impl Sink for D4rlSink {
    fn write(&mut self, episode: &RecordedEpisode) -> Result<(), Error> {
        let steps = episode.len();
        let flat = match (&episode.observations, &episode.actions) {
            (Node::Array(_), Node::Array(_)) => None,
            _ => Some(
                self.flattener
                    .episode(episode, self.episodes, &Budget::default())?,
            ),
        };
        let column = |node: &Node, space: &Space, flat: Option<&[f64]>, rows: usize| {
            if let Node::Array(array) = node {
                return Ok((array.clone(), false));
            }
            let space = flat_space(space)?;
            let dtype = match &space {
                Space::Box(space) => space.dtype,
                _ => Dtype::Int64,
            };
            let shape = vec![rows, space.width()];
            Ok::<_, Error>((Array::of(dtype, shape, flat.unwrap_or_default()), true))
        };
        let observations = flat.as_ref().map(|flat| flat.observations.as_slice());
        let space = self.recording.observation_space.space();
        let (observations, flattened) =
            column(&episode.observations, space, observations, steps + 1)?;
        if flattened {
            self.leave_out("the structure of the observations, which are flattened");
        }
        let actions = flat.as_ref().map(|flat| flat.actions.as_slice());
        let space = self.recording.action_space.space();
        let (actions, flattened) = column(&episode.actions, space, actions, steps)?;
        if flattened {
            self.leave_out("the structure of the actions, which are flattened");
        }
        if observations.rows() != steps + 1
            || actions.rows() != steps
            || episode.rewards.numbers() != steps
        {
            return Err(Error::ObservationRows {
                episode: self.episodes,
                rows: observations.rows(),
                steps,
            });
        }
        self.append("observations", &observations.slice(0..steps))?;
        self.append("next_observations", &observations.slice(1..steps + 1))?;
        self.append("actions", &actions)?;
        self.append("rewards", &episode.rewards.clone().reshaped(vec![steps])?)?;
        self.append("terminals", &Array::of_flags(&episode.terminations))?;
        let mut timeouts = episode.truncations.clone();
        let ended = |flags: &[bool]| flags.last().copied().unwrap_or(true);
        if !ended(&timeouts) && !ended(&episode.terminations) {
            // Else the next episode would continue it.
            if let Some(last) = timeouts.last_mut() {
                *last = true;
            }
            self.leave_out("that the last episode is unfinished, which is marked as a timeout");
        }
        self.append("timeouts", &Array::of_flags(&timeouts))?;
        if let Some(infos) = &episode.infos {
            self.append_infos(infos, steps)?;
        }
        if episode.seed.is_some() {
            self.leave_out("the seeds of the resets");
        }
        if !episode.attributes.is_empty() {
            self.leave_out("options and attributes of the episodes");
        }
        self.episodes += 1;
        self.rows += steps;
        let mut padded = Vec::new();
        for (path, column) in &mut self.columns {
            if column.pad(self.rows)? > 0 {
                padded.push(format!(
                    "that {path} is missing in some episodes, where it is 0"
                ));
            }
        }
        for what in padded {
            self.leave_out(what);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<String>, Error> {
        let mut values: Vec<(String, Value)> = Vec::new();
        for (name, value) in &self.recording.entries {
            let own = |path: &str| {
                let name = path.strip_prefix("metadata/");
                name.is_some_and(|name| name == ENV_SPEC || SPACES.contains(&name))
            };
            if let Some(path) = name.strip_prefix("d4rl/").filter(|path| !own(path)) {
                values.push((path.to_owned(), value.clone()));
            }
        }
        if let Some(algorithm) = self.recording.text("algorithm_name") {
            let path = "metadata/algorithm";
            if !values.iter().any(|(known, _)| known == path) {
                values.push((path.to_owned(), algorithm.into()));
            }
        }
        // Identifies the file whatever its name.
        let spec = self.recording.env_spec();
        values.extend(spec.map(|spec| (format!("metadata/{ENV_SPEC}"), spec.to_text().into())));
        let recording = &self.recording;
        for (name, space) in SPACES
            .iter()
            .zip([&recording.observation_space, &recording.action_space])
        {
            let flat = RecordingSpace::from(flat_space(space.space())?);
            values.push((format!("metadata/{name}"), flat.text().into()));
        }
        for (path, value) in values {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let group = self.group(parent)?;
            match Attribute::of_json(&value) {
                Attribute::Text(text) => group.write_text(name, &text)?,
                Attribute::Array(array) => group.write_array(name, &array)?,
                Attribute::Json(_) => self.leave_out(path),
            }
        }
        for (_, column) in self.columns {
            column.finish()?;
        }
        drop(self.groups);
        self.writer.close()?;
        self.staging.commit()?;
        let sentence = |(what, count): (String, usize)| match count {
            1 => what,
            count => format!("{what} ({count} times)"),
        };
        Ok(self.left_out.into_iter().map(sentence).collect())
    }
}
