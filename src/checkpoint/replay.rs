//! The replay buffer of an online run.

use rtg_datasets::sample::{ReplayBuffer, ReplayInfo, TransitionConfig};
use rtg_datasets::{Dataset, EnvSpec, Info};
use rtg_envs::registry;
use serde::Deserialize;

use super::Checkpoint;
use crate::error::Error;
use crate::nn::state_dict::Entry;

/// The part of an interaction's metadata about it.
#[derive(Deserialize)]
struct Buffer {
    replay: Option<ReplayInfo>,
}

/// The name of a column in the file.
fn tensor(column: &str) -> String {
    format!("rtg.replay.{column}")
}

/// A replay buffer's numbers in a checkpoint.
pub fn replay_entries(replay: &ReplayBuffer) -> Vec<Entry> {
    let columns = ReplayBuffer::COLUMNS.iter().zip(replay.columns());
    let columns = columns.map(|(name, values)| Entry::vector(&tensor(name), values));
    columns.collect()
}

impl Checkpoint {
    /// The description of its replay buffer; `None` for a run without one.
    ///
    /// # Errors
    /// Metadata of another form.
    pub fn replay_info(&self) -> Result<Option<ReplayInfo>, Error> {
        if self.notes.interaction.is_null() {
            return Ok(None);
        }
        Ok(self.interaction::<Buffer>()?.replay)
    }

    /// Fills a buffer with the one that `info` describes.
    ///
    /// # Errors
    /// A buffer of other sizes; numbers that are missing or contradict each other.
    pub fn restore_replay(
        &self,
        replay: &mut ReplayBuffer,
        info: &ReplayInfo,
    ) -> Result<(), Error> {
        let [rows, finals] = ReplayBuffer::COLUMNS.map(|name| self.floats(&tensor(name)));
        let restored = replay.restore(info, [rows?, finals?]);
        restored.map_err(|error| self.damaged(&error.to_string()))
    }

    /// Every step in its replay buffer, as episodes (the `medium-replay` of D4RL).
    ///
    /// # Errors
    /// No buffer, or one that cannot be read.
    pub fn replayed(&self) -> Result<Dataset, Error> {
        let info = self.replay_info()?;
        let info = info.ok_or_else(|| Error::NoReplay {
            path: self.path.clone(),
        })?;
        let mut data = self.replay_dataset()?;
        let spaces = (&data.info().observation_space, &data.info().action_space);
        let config = TransitionConfig::default();
        let mut replay = ReplayBuffer::new(spaces.0, spaces.1, info.capacity, config)?;
        self.restore_replay(&mut replay, &info)?;
        for episode in replay.episodes() {
            data.push(episode)?;
        }
        Ok(data)
    }

    /// A dataset without episodes, for those of its replay.
    pub(super) fn replay_dataset(&self) -> Result<Dataset, Error> {
        let notes = &self.notes;
        let spec = registry::spec(&notes.env)?;
        Ok(Dataset::new(Info {
            env_spec: EnvSpec::of(&notes.env).ok(),
            max_episode_steps: spec.max_episode_steps,
            provenance: format!(
                "the replay buffer of a run of {:?} ({}) after its step {}, recorded by rtg",
                notes.algorithm, notes.recipe, notes.progress.step
            ),
            ..Info::new("replay", spec.observation_space, spec.action_space)
        }))
    }
}
