//! Minari datasets, versions 0.4 and 0.5.
//!
//! ```text
//! <root>/<namespace>/<name>-v<N>/data/metadata.json    ids, spaces as JSON inside JSON, counts
//!                                     main_data.hdf5   /episode_<i>/{observations, actions, ...}
//!                                     <i>/part-0.arrow or part-0.parquet instead of it
//! ```
//!
//! Version 0.4 has no `metadata.json`; the same entries are attributes of the HDF5 root. Episodes
//! are read in numeric order, `0..total_episodes`, since HDF5 lists `episode_10` before
//! `episode_2`.

mod catalogue;
mod hdf5_source;
mod metadata;
mod sink;
mod table_sink;
mod table_source;

use std::path::{Path, PathBuf};

pub use catalogue::datasets_root;
#[cfg(feature = "remote")]
pub(crate) use catalogue::is_id;
pub(crate) use catalogue::{installed, is_versioned_id, unknown};
pub(crate) use sink::MinariSink;

use self::hdf5_source::Hdf5Source;
use self::table_source::TableSource;
use crate::recording::Source;
use crate::table::TableFormat;
use crate::{Budget, Contents, Error};

/// The name of a dataset's HDF5 file.
const MAIN_DATA: &str = "main_data.hdf5";

/// Minari's three storage formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinariFormat {
    /// One HDF5 file.
    Hdf5,
    /// An Arrow file for each episode.
    Arrow,
    /// A Parquet file for each episode.
    Parquet,
}

impl MinariFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hdf5, Self::Arrow, Self::Parquet];

    /// Minari's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdf5 => "hdf5",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

/// Opens a Minari dataset by its directory, its `data` directory or its HDF5 file. A file of
/// another name than `main_data.hdf5` is a dataset by itself: other files next to it belong to
/// another one.
pub(crate) fn source(
    path: &Path,
    contents: Contents,
    budget: &Budget,
) -> Result<Box<dyn Source>, Error> {
    if path.is_file() && path.file_name().is_none_or(|name| name != MAIN_DATA) {
        return Ok(Box::new(Hdf5Source::open(path, None, contents, budget)?));
    }
    let data = data_directory(path).ok_or_else(|| Error::NotADataset.at(path))?;
    let hdf5 = data.join(MAIN_DATA);
    let json = data.join("metadata.json");
    if !json.exists() {
        return Ok(Box::new(Hdf5Source::open(&hdf5, None, contents, budget)?));
    }
    let entries = crate::json::read(&json, budget).map_err(|error| error.at(&json))?;
    let recording = metadata::recording(&entries, budget).map_err(|error| error.at(&json))?;
    match metadata::data_format(&entries) {
        "hdf5" => Ok(Box::new(Hdf5Source::open(
            &hdf5,
            Some(recording),
            contents,
            budget,
        )?)),
        "arrow" => Ok(Box::new(TableSource::open(
            &data,
            TableFormat::Arrow,
            recording,
            contents,
            budget,
        ))),
        "parquet" => Ok(Box::new(TableSource::open(
            &data,
            TableFormat::Parquet,
            recording,
            contents,
            budget,
        ))),
        other => Err(Error::Unsupported(format!("the data format '{other}'")).at(&json)),
    }
}

/// The directory of the files, given any of the three paths that name a dataset.
fn data_directory(path: &Path) -> Option<PathBuf> {
    let holds = |directory: &Path| {
        directory.join(MAIN_DATA).exists() || directory.join("metadata.json").exists()
    };
    if path.is_file() {
        return path.parent().map(Path::to_path_buf);
    }
    [path.join("data"), path.to_path_buf()]
        .into_iter()
        .find(|directory| holds(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Defects, open};

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    fn tiny(name: &str) -> Result<Dataset, Error> {
        open(&format!("tiny/{name}"), Some(&fixtures().join("minari")))
    }

    #[test]
    fn a_discrete_set_has_its_spaces_its_environment_and_its_seeds() {
        let dataset = tiny("cartpole-v0").unwrap();
        assert_eq!(dataset.info().env_id(), Some("CartPole-v1"));
        assert_eq!(dataset.info().max_episode_steps, Some(500));
        assert!(matches!(
            dataset.info().action_space,
            rtg_envs::Space::Discrete { n: 2, start: 0 }
        ));
        assert_eq!(dataset.episodes(), 4);
        // Gymnasium's own start state for the recorded seed.
        let first = dataset.episode(0);
        assert_eq!(first.seed, Some(42));
        assert_eq!(first.observations[..1], [f64::from(0.027_395_605_f32)]);
        assert!(first.terminated && !first.truncated);
        assert_eq!(first.rewards, vec![1.0; first.len()]);
    }

    #[test]
    fn episodes_come_in_numeric_order() {
        let dataset = tiny("ordered-v0").unwrap();
        let lengths: Vec<_> = dataset.iter().map(|episode| episode.len()).collect();
        assert_eq!(lengths, (1..=11).collect::<Vec<_>>());
    }

    #[test]
    fn a_continuous_set_is_read_and_truncation_is_kept_apart_from_termination() {
        let dataset = tiny("pendulum-v0").unwrap();
        assert_eq!(
            (dataset.observation_width(), dataset.action_width()),
            (3, 1)
        );
        assert!(
            dataset
                .iter()
                .all(|episode| episode.truncated && !episode.terminated)
        );
    }

    #[test]
    fn the_old_layout_without_metadata_json_is_read() {
        let dataset = open(
            fixtures().join("old/cartpole-old-v0").to_str().unwrap(),
            None,
        )
        .unwrap();
        assert_eq!(dataset.info().id, "cartpole-old-v0");
        assert_eq!(dataset.info().env_id(), Some("CartPole-v1"));
        assert_eq!(dataset.episodes(), 2);
    }

    #[test]
    fn an_episode_without_its_final_observation_is_refused_or_completed() {
        let error = tiny("broken-rows-v0").unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("episode 1 has 3 observations for 3 steps, expected 4: "),
            "{text}"
        );
        let root = fixtures().join("minari");
        let dataset = crate::open_with("tiny/broken-rows-v0", Some(&root), Defects::Keep).unwrap();
        let finding = &dataset.findings()[0];
        assert_eq!(
            (finding.code, finding.count),
            ("missing-final-observation", 1)
        );
        let episode = dataset.episode(1);
        assert_eq!(episode.observations[4..6], episode.observations[6..8]);
    }

    #[test]
    fn a_missing_episode_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let source = fixtures().join("minari/tiny/cartpole-v0/data");
        std::fs::copy(
            source.join("main_data.hdf5"),
            directory.path().join("main_data.hdf5"),
        )
        .unwrap();
        let text = std::fs::read_to_string(source.join("metadata.json")).unwrap();
        let text = text.replace("\"total_episodes\": 4", "\"total_episodes\": 4000000000000");
        std::fs::write(directory.path().join("metadata.json"), text).unwrap();
        let error = open(directory.path().to_str().unwrap(), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/episode_4 of 4000000000000 episodes is missing"),
            "{error}"
        );
    }
}
