//! The replay of trajectories of an online run.

use rtg_datasets::Episode;
use rtg_datasets::sample::{TrajectoryBuffer, TrajectoryInfo};

use super::Checkpoint;
use crate::error::Error;
use crate::nn::state_dict::{Entry, Values};

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
}
