//! The replay of trajectories of an online run.

use rtg_datasets::sample::{TrajectoryBuffer, TrajectoryInfo};
use rtg_datasets::{Dataset, Episode};
use serde::Deserialize;

use super::Checkpoint;
use crate::data;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::nn::state_dict::{Entry, Values};

/// The part of an interaction's metadata about it.
#[derive(Deserialize)]
struct Replay {
    trajectories: Option<TrajectoryInfo>,
}

/// The names of the columns in the file.
const COLUMNS: [&str; 3] = [
    "rtg.trajectories.observations",
    "rtg.trajectories.actions",
    "rtg.trajectories.rewards",
];

/// The numbers of new trajectories in a checkpoint.
pub fn trajectory_entries(columns: [Vec<f64>; 3]) -> Vec<Entry> {
    let entries = COLUMNS.iter().zip(columns).map(|(name, values)| Entry {
        name: (*name).to_owned(),
        dimensions: vec![values.len()],
        values: Values::F64(values),
    });
    entries.collect()
}

impl Checkpoint {
    /// Fills a replay with the one that `info` describes; returns the unfinished episode.
    ///
    /// # Errors
    /// Numbers that are missing or contradict each other.
    pub fn restore_trajectories(
        &self,
        buffer: &mut TrajectoryBuffer,
        info: &TrajectoryInfo,
    ) -> Result<Episode, Error> {
        let [observations, actions, rewards] = COLUMNS.map(|name| self.doubles(name));
        let columns = [observations?, actions?, rewards?];
        let restored = buffer.restore(info, &columns);
        restored.map_err(|error| self.damaged(&error.to_string()))
    }

    /// The trajectories in its replay, those of its plan's dataset before the new ones, without
    /// the unfinished episode; `None` for a run that has no trajectories.
    ///
    /// # Errors
    /// A dataset that cannot be opened or has changed; numbers that are missing or contradict each
    /// other.
    pub fn trajectories(&self, experiment: &Experiment) -> Result<Option<Dataset>, Error> {
        let interaction = &self.notes.interaction;
        let (Some(config), false) = (&experiment.trajectories, interaction.is_null()) else {
            return Ok(None);
        };
        let Some(info) = self.interaction::<Replay>()?.trajectories else {
            return Ok(None);
        };
        let dataset = experiment.dataset.clone().unwrap_or_default();
        let opened = data::open(experiment)?;
        let recorded = (opened.data).ok_or_else(|| Error::EmptyDataset {
            dataset: dataset.clone(),
        })?;
        let now = recorded.hash();
        if let Some(before) = &self.notes.progress.dataset
            && *before != now
        {
            let before = before.clone();
            return Err(Error::OtherData {
                dataset,
                before,
                now,
            });
        }
        let drops = config.drop_worst.unwrap_or_default();
        let mut buffer = TrajectoryBuffer::new(&recorded, config.capacity, drops)?;
        self.restore_trajectories(&mut buffer, &info)?;
        let mut found = self.replay_dataset()?;
        for episode in buffer.dataset()?.iter() {
            found.push(episode.to_owned())?;
        }
        Ok(Some(found))
    }
}
