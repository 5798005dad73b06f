//! The Decision Transformer's own files: pickled lists of dicts of arrays, one dict an episode.
//!
//! `observations`, `next_observations`, `actions`, `rewards` and `terminals`, a row a step, as the
//! official `download_d4rl_datasets.py` writes them. An episode that does not end in a terminal
//! state was cut by its time limit, since the script drops unfinished ones.
//!
//! A pickle is a program, and Python executes it. Here [`machine`] implements the instructions that
//! plain data need and NumPy's functions that build arrays; anything else is an error.

mod arrays;
mod machine;

use std::path::{Path, PathBuf};

use self::machine::{Machine, Value};
use crate::flat::{action_space, file_name, squeezed, unbounded};
use crate::recording::{Array, Node, RecordedEpisode, Recording, Source, promoted};
use crate::{Budget, Error, input};

/// The episodes of a file, in memory.
pub(crate) struct PickleSource {
    path: PathBuf,
    recording: Recording,
    episodes: std::vec::IntoIter<RecordedEpisode>,
    budget: Budget,
}

impl PickleSource {
    pub(crate) fn open(path: &Path, budget: &Budget) -> Result<Self, Error> {
        let bytes = input::read(path, budget)?;
        let mut machine = Machine::new(&bytes, budget);
        let root = machine.run()?;
        let Some(paths) = machine.list(root) else {
            return Err(Error::Unsupported(
                "a pickle that is not a list of episodes".into(),
            ));
        };
        let paths = paths.to_vec();
        let mut episodes = Vec::new();
        for (index, path) in paths.into_iter().enumerate() {
            episodes.push(episode(&mut machine, path, index)?);
        }
        let first = episodes
            .first()
            .and_then(|episode| episode.observations.array());
        let observations = unbounded(first.ok_or_else(|| Error::Missing("an episode".into()))?);
        let actions = episodes
            .iter()
            .filter_map(|episode| episode.actions.array());
        let name = file_name(path);
        let mut recording = Recording::new(&name, observations, action_space(actions)?)
            .with("source", format!("pickled trajectories {name}"));
        recording.total_episodes = Some(episodes.len());
        recording.total_steps = Some(episodes.iter().map(RecordedEpisode::len).sum());
        Ok(Self {
            path: path.to_path_buf(),
            recording,
            episodes: episodes.into_iter(),
            budget: budget.clone(),
        })
    }
}

impl Source for PickleSource {
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
        Ok(self.episodes.next())
    }
}

fn episode(machine: &mut Machine<'_>, path: Value, index: usize) -> Result<RecordedEpisode, Error> {
    let mut column = |name: &str| -> Result<Option<Array>, Error> {
        match machine.entry(path, name) {
            Some(value) => machine.array(value).map(Some),
            None => Ok(None),
        }
    };
    let missing = |name: &str| Error::Missing(format!("{name} of trajectory {index}"));
    let mut observations = column("observations")?.ok_or_else(|| missing("observations"))?;
    let actions = column("actions")?.ok_or_else(|| missing("actions"))?;
    let rewards = column("rewards")?.ok_or_else(|| missing("rewards"))?;
    let terminals = column("terminals")?.ok_or_else(|| missing("terminals"))?;
    let next = column("next_observations")?;
    let steps = observations.rows();
    let alike = [&actions, &rewards, &terminals]
        .iter()
        .all(|array| array.rows() == steps)
        && rewards.numbers() == steps
        && terminals.numbers() == steps
        && next
            .as_ref()
            .is_none_or(|next| next.shape() == observations.shape());
    if steps == 0 || observations.shape().is_empty() || !alike {
        let rows =
            |name: &str, array: &Array| (format!("{name} of trajectory {index}"), array.rows());
        let mut columns = vec![
            rows("observations", &observations),
            rows("actions", &actions),
        ];
        columns.extend([rows("rewards", &rewards), rows("terminals", &terminals)]);
        columns.extend(next.as_ref().map(|next| rows("next observations", next)));
        return Err(Error::Columns(columns));
    }
    let last = next
        .as_ref()
        .unwrap_or(&observations)
        .slice(steps - 1..steps);
    let both = promoted(&[observations.dtype(), last.dtype()]);
    if observations.dtype() != both {
        machine
            .budget
            .take_items(&[observations.numbers()], 16, "the observations")?;
        observations = observations.cast(both);
    }
    let last = last.cast(both);
    observations.extend(&last)?;
    let terminations: Vec<bool> = terminals
        .to_f64()
        .into_iter()
        .map(|flag| flag != 0.0)
        .collect();
    let mut truncations = vec![false; steps];
    truncations[steps - 1] = !terminations[steps - 1];
    Ok(RecordedEpisode {
        observations: Node::Array(observations),
        actions: Node::Array(if actions.dtype().is_float() {
            actions
        } else {
            squeezed(actions)?
        }),
        rewards: rewards.reshaped(vec![steps])?,
        terminations,
        truncations,
        infos: None,
        seed: None,
        attributes: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
