//! Episodes out of `data/<episode>/part-0.arrow` or `.parquet`.
//!
//! Observations have one row more than actions, rewards and flags, which the writer pads with a row
//! of zeros; that row is dropped.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::recording::{Attribute, Node, RecordedEpisode, Recording, Source};
use crate::table::{Table, TableFormat};
use crate::{Budget, Contents, Error};

/// Reads the directories `0`, `1` ...
pub(crate) struct TableSource {
    data: PathBuf,
    format: TableFormat,
    recording: Recording,
    contents: Contents,
    next: usize,
    budget: Budget,
}

impl TableSource {
    pub(crate) fn open(
        data: &Path,
        format: TableFormat,
        recording: Recording,
        contents: Contents,
        budget: &Budget,
    ) -> Self {
        Self {
            data: data.to_path_buf(),
            format,
            recording,
            contents,
            next: 0,
            budget: budget.clone(),
        }
    }

    fn read(&self, index: usize) -> Result<RecordedEpisode, Error> {
        let directory = self.data.join(index.to_string());
        let parts = parts(&directory, self.format)?;
        let budget = &self.budget.fork();
        let mut episode: Option<RecordedEpisode> = None;
        for path in &parts {
            let table = Table::read(path, self.format, self.contents, budget)
                .map_err(|error| error.at(path))?;
            let part = self.part(&table).map_err(|error| error.at(path))?;
            if episode.replace(part).is_some() {
                return Err(Error::Unsupported("an episode in several files".into()).at(&directory));
            }
        }
        let Some(mut episode) = episode else {
            return Err(Error::Missing(format!("the episode {index}")).at(&directory));
        };
        let json = directory.join("metadata.json");
        if json.exists() {
            let entries = crate::json::read(&json, budget).map_err(|error| error.at(&json))?;
            episode.seed = entries.get("seed").and_then(Value::as_u64);
            if self.contents == Contents::Everything {
                episode.attributes = attributes(&entries);
            }
        }
        Ok(episode)
    }

    fn part(&self, table: &Table) -> Result<RecordedEpisode, Error> {
        let rows = table.rows();
        let steps = rows
            .checked_sub(1)
            .ok_or_else(|| Error::Damaged("the table has no rows".into()))?;
        let required = |name: &str, node: Option<Node>| {
            node.ok_or_else(|| Error::Missing(format!("the column {name}")))
        };
        let array = |name: &str| match required(name, table.node(name, steps, None)?)? {
            Node::Array(array) if array.numbers() == steps => array.reshaped(vec![steps]),
            _ => Err(Error::Damaged(format!(
                "the column {name} is not one number a step"
            ))),
        };
        let flags = |name: &str| -> Result<Vec<bool>, Error> {
            Ok(array(name)?
                .to_f64()
                .into_iter()
                .map(|flag| flag != 0.0)
                .collect())
        };
        let observations = self.recording.observation_space.layout();
        let actions = self.recording.action_space.layout();
        let infos = match self.contents {
            Contents::Everything => table.node("infos", rows, None)?,
            Contents::Steps => None,
        };
        Ok(RecordedEpisode {
            observations: required(
                "observations",
                table.node("observations", rows, Some(observations))?,
            )?,
            actions: required("actions", table.node("actions", steps, Some(actions))?)?,
            rewards: array("rewards")?,
            terminations: flags("terminations")?,
            truncations: flags("truncations")?,
            infos,
            seed: None,
            attributes: Vec::new(),
        })
    }
}

impl Source for TableSource {
    fn budget(&self) -> Budget {
        self.budget.clone()
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        &self.data
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        if self.next >= self.recording.total_episodes.unwrap_or(0) {
            return Ok(None);
        }
        let episode = self
            .read(self.next)
            .map_err(|error| error.in_episode(self.next))?;
        self.next += 1;
        Ok(Some(episode))
    }
}

/// The tables of an episode. Python ignores names that begin with `_` or `.`.
fn parts(directory: &Path, format: TableFormat) -> Result<Vec<PathBuf>, Error> {
    let extension = match format {
        TableFormat::Arrow => "arrow",
        TableFormat::Parquet => "parquet",
    };
    let entries = std::fs::read_dir(directory).map_err(|error| Error::Io(error).at(directory))?;
    let mut parts: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let hidden = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_none_or(|name| name.starts_with(['_', '.']));
            !hidden && path.extension().is_some_and(|found| found == extension)
        })
        .collect();
    parts.sort();
    Ok(parts)
}

/// Entries besides id, steps and seed, nested ones by path.
fn attributes(entries: &Value) -> Vec<(String, Attribute)> {
    fn collect(path: &str, value: &Value, attributes: &mut Vec<(String, Attribute)>) {
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                for (name, value) in entries {
                    collect(&format!("{path}/{name}"), value, attributes);
                }
            }
            value => attributes.push((path.to_owned(), Attribute::of_json(value))),
        }
    }
    let mut attributes = Vec::new();
    for (name, value) in entries.as_object().into_iter().flatten() {
        if !["id", "total_steps", "seed"].contains(&name.as_str()) {
            collect(name, value, &mut attributes);
        }
    }
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    attributes
}
