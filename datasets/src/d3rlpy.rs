//! d3rlpy's HDF5 files.
//!
//! Version 1 has flat columns, `terminals`, and `episode_terminals` where an episode ends for
//! whatever reason. Version 2.1 has an array for each column and episode, `observations_0`,
//! `actions_0` ..., and `terminated_0`, one flag an episode; one that is not terminated was cut
//! off. Neither stores the observation after the last step: the last one is repeated.

use std::path::{Path, PathBuf};

use crate::flat::{action_space, file_name, unbounded};
use crate::hdf5::Group;
use crate::recording::{Array, Node, RecordedEpisode, Recording, Source};
use crate::{Budget, Error, Finding};

/// The version that is read.
const VERSION: &str = "2.1";

/// The episodes of a file of version 2.1.
pub(crate) struct D3rlpySource {
    root: Group,
    path: PathBuf,
    recording: Recording,
    next: usize,
    budget: Budget,
}

impl D3rlpySource {
    /// Opens a file that has an entry `num_episodes`.
    pub(crate) fn open(root: Group, path: &Path, budget: &Budget) -> Result<Self, Error> {
        let version = match root.node("version", budget)? {
            Some(Node::Text(texts)) => texts.into_iter().flatten().next(),
            _ => None,
        };
        if version.as_deref() != Some(VERSION) {
            let version = version.as_deref().unwrap_or("without a version");
            return Err(Error::Unsupported(format!("d3rlpy's layout {version}")));
        }
        let count = root.required_array("num_episodes")?.read(budget)?.to_f64();
        let count = count.first().map_or(0, |&count| count as usize);
        let name = file_name(path);
        let mut source = Self {
            root,
            path: path.to_path_buf(),
            recording: Recording::new(
                &name,
                rtg_envs::Space::Tuple(Vec::new()),
                rtg_envs::Space::Tuple(Vec::new()),
            ),
            next: 0,
            budget: budget.clone(),
        };
        if count == 0 {
            return Err(Error::Missing("an episode".into()));
        }
        let observations = space_of(&source.columns("observations", 0, budget)?);
        // Whether actions are choices, and how many there are, follows only from all of them.
        let mut actions = Vec::new();
        for index in 0..count {
            match source.columns("actions", index, budget)? {
                Node::Array(array) => actions.push(array),
                _ => return Err(Error::Unsupported("a tuple of actions".into())),
            }
        }
        source.recording = Recording::new(&name, observations, action_space(&actions)?)
            .with("source", format!("d3rlpy file {name}"));
        source.recording.total_episodes = Some(count);
        Ok(source)
    }

    /// A column of an episode, one array or several.
    fn columns(&self, name: &str, index: usize, budget: &Budget) -> Result<Node, Error> {
        let whole = format!("{name}_{index}");
        if let Some(array) = self.root.array(&whole)? {
            return Ok(Node::Array(squeezed(array.read(budget)?, name)?));
        }
        let mut parts = Vec::new();
        while let Some(array) = self.root.array(&format!("{whole}_{}", parts.len()))? {
            budget.look_at(1, &whole)?;
            parts.push(Node::Array(array.read(budget)?));
        }
        if parts.is_empty() {
            return Err(Error::Missing(format!("/{whole}")));
        }
        Ok(Node::Tuple(parts))
    }
}

/// Discrete actions are stored as columns of one number.
fn squeezed(array: Array, name: &str) -> Result<Array, Error> {
    if name == "actions" && !array.dtype().is_float() && *array.row_shape() == [1] {
        let rows = array.rows();
        return array.reshaped(vec![rows]);
    }
    Ok(array)
}

fn space_of(node: &Node) -> rtg_envs::Space {
    match node {
        Node::Array(array) => unbounded(array),
        Node::Tuple(parts) => rtg_envs::Space::Tuple(parts.iter().map(space_of).collect()),
        _ => rtg_envs::Space::Tuple(Vec::new()),
    }
}

/// The rows with the last one twice.
fn with_last_repeated(node: Node) -> Result<Node, Error> {
    let rows = node.rows().unwrap_or(0);
    let mut longer = node;
    let last = longer.slice(rows.saturating_sub(1)..rows)?;
    longer.extend(last)?;
    Ok(longer)
}

impl Source for D3rlpySource {
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
        if self.next >= self.recording.total_episodes.unwrap_or(0) {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        let budget = &self.budget.fork();
        let observations = self.columns("observations", index, budget)?;
        let Node::Array(rewards) = self.columns("rewards", index, budget)? else {
            return Err(Error::Unsupported("a tuple of rewards".into()));
        };
        let steps = rewards.numbers();
        if steps == 0 || observations.rows() != Some(steps) {
            return Err(Error::Damaged(format!(
                "episode {index} has columns of different lengths"
            )));
        }
        let flag = self
            .root
            .required_array(&format!("terminated_{index}"))?
            .read(budget)?;
        let terminated = flag.to_f64().first().is_some_and(|&flag| flag != 0.0);
        let mut terminations = vec![false; steps];
        let mut truncations = vec![false; steps];
        terminations[steps - 1] = terminated;
        truncations[steps - 1] = !terminated;
        Ok(Some(RecordedEpisode {
            observations: with_last_repeated(observations)?,
            actions: self.columns("actions", index, budget)?,
            rewards: rewards.reshaped(vec![steps])?,
            terminations,
            truncations,
            infos: None,
            seed: None,
            attributes: Vec::new(),
        }))
    }

    fn findings(&self) -> Vec<Finding> {
        vec![Finding::note(
            "repeated-final-observation",
            self.recording.total_episodes.unwrap_or(0),
            "episodes repeat their last observation, since d3rlpy does not store the one after it"
                .into(),
        )]
    }
}

#[cfg(test)]
mod tests;
