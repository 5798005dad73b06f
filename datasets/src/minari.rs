//! Minari datasets in the HDF5 format, versions 0.4 and 0.5.
//!
//! ```text
//! <root>/<namespace>/<name>-v<N>/data/metadata.json    ids, spaces as JSON inside JSON, counts
//!                                     main_data.hdf5   /episode_<i>/{observations, actions, ...}
//! ```
//!
//! Version 0.4 has no `metadata.json`; the same entries are attributes of the HDF5 root. Episodes
//! are read in numeric order, `0..total_episodes`, since HDF5 lists `episode_10` before
//! `episode_2`. Reset options and `infos` are not read.

mod catalogue;
mod metadata;
mod spaces;

use std::path::{Path, PathBuf};

pub use catalogue::datasets_root;
pub(crate) use catalogue::{installed, unknown};

use self::metadata::Metadata;
use crate::hdf5::{Array, File, Group};
use crate::{Dataset, Defects, Episode, Error, Finding, Info};

/// Reads a Minari dataset from its directory, its `data` directory or its `main_data.hdf5`.
pub(crate) fn read(path: &Path, defects: Defects) -> Result<Dataset, Error> {
    let data = data_directory(path).ok_or_else(|| Error::NotADataset.at(path))?;
    let hdf5 = data.join("main_data.hdf5");
    let json = data.join("metadata.json");
    if json.is_file() {
        let metadata = Metadata::read(&json).map_err(|error| error.at(&json))?;
        read_hdf5(&hdf5, Some(metadata), defects)
    } else {
        read_hdf5(&hdf5, None, defects)
    }
    .map_err(|error| error.at(&hdf5))
}

/// The directory that holds the files, given any of the three paths that name a dataset.
fn data_directory(path: &Path) -> Option<PathBuf> {
    let holds = |directory: &Path| {
        directory.join("main_data.hdf5").is_file() || directory.join("metadata.json").is_file()
    };
    if path.is_file() {
        return path.parent().map(Path::to_path_buf);
    }
    [path.join("data"), path.to_path_buf()]
        .into_iter()
        .find(|directory| holds(directory))
}

fn read_hdf5(path: &Path, metadata: Option<Metadata>, defects: Defects) -> Result<Dataset, Error> {
    let file = File::open(path)?;
    let root = file.root()?;
    let metadata = match metadata {
        Some(metadata) => metadata,
        None => Metadata::of_root(&root)?,
    };
    let Metadata {
        total_episodes,
        total_steps,
        ..
    } = metadata;
    let folder_fits = catalogue::folder_fits(path, &metadata.dataset_id);
    let id = metadata.dataset_id.clone();
    let mut dataset = Dataset::with(Info::from(metadata), defects);
    // In a file without compression each number takes at least a byte.
    let row = dataset.observation_width() + dataset.action_width() + 1;
    let bytes = std::fs::metadata(path)?.len();
    if total_steps
        .checked_mul(row)
        .is_some_and(|numbers| numbers as u64 <= bytes)
    {
        dataset.reserve(total_steps);
    }

    let mut completed = 0;
    let mut empty = 0;
    let mut early = 0;
    for index in 0..total_episodes {
        let group = root.group(&format!("episode_{index}"))?.ok_or_else(|| {
            Error::Missing(format!("/episode_{index} of {total_episodes} episodes"))
        })?;
        let (mut episode, flagged_early) = read_episode(&group, &dataset)?;
        if defects == Defects::Keep {
            if episode.is_empty() {
                empty += 1;
                continue;
            }
            let width = dataset.observation_width();
            if episode.observations.len() == episode.len() * width {
                let last = episode.observations.len() - width;
                episode.observations.extend_from_within(last..);
                completed += 1;
            }
        }
        early += usize::from(flagged_early);
        dataset.push(episode)?;
    }

    dataset.note(Finding::error(
        "missing-final-observation",
        completed,
        "episodes have as many observations as steps: the one after the last step is missing"
            .into(),
    ));
    dataset.note(Finding::error(
        "empty-episode",
        empty,
        "episodes have no step".into(),
    ));
    dataset.note(Finding::error(
        "early-end",
        early,
        "episodes are marked as ended before their last step".into(),
    ));
    let off = dataset.steps().abs_diff(total_steps);
    dataset.note(Finding::warning(
        "step-count",
        off,
        format!(
            "the metadata count {total_steps} steps, the episodes hold {}",
            dataset.steps()
        ),
    ));
    dataset.note(Finding::note(
        "misplaced",
        usize::from(!folder_fits),
        format!(
            "the folder does not end in the dataset's id {id}: Python's minari would not list it"
        ),
    ));
    Ok(dataset)
}

/// Reads one episode, and whether a flag is set before its last step.
fn read_episode(group: &Group, dataset: &Dataset) -> Result<(Episode, bool), Error> {
    let observations = group.required_array("observations")?;
    let actions = group.required_array("actions")?;
    let rewards = group.required_array("rewards")?;
    let ([steps] | [steps, 1]) = *rewards.shape() else {
        return Err(misshapen(&rewards, "one number a step".into()));
    };
    expect_rows(&actions, &[steps], dataset.action_width())?;
    expect_rows(
        &observations,
        &[steps.saturating_add(1), steps],
        dataset.observation_width(),
    )?;
    let terminated = read_flags(group, "terminations", steps)?;
    let truncated = read_flags(group, "truncations", steps)?;
    let last = steps.saturating_sub(1);
    let early = terminated[..last]
        .iter()
        .chain(&truncated[..last])
        .any(|&flag| flag);
    let episode = Episode {
        observations: observations.read()?,
        actions: actions.read()?,
        rewards: rewards.read()?,
        terminated: terminated.last().copied().unwrap_or(false),
        truncated: truncated.last().copied().unwrap_or(false),
        seed: group.unsigned_attribute("seed"),
    };
    Ok((episode, early))
}

fn read_flags(group: &Group, name: &str, steps: usize) -> Result<Vec<bool>, Error> {
    let flags = group.required_array(name)?;
    expect_rows(&flags, &[steps], 1)?;
    Ok(flags.read()?.into_iter().map(|flag| flag != 0.0).collect())
}

/// Checks that an array has one of the given numbers of rows, `width` numbers each.
fn expect_rows(array: &Array, rows: &[usize], width: usize) -> Result<(), Error> {
    let (found, row) = array.shape().split_first().unwrap_or((&0, &[]));
    let numbers = row
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    if rows.contains(found) && numbers == Some(width) {
        return Ok(());
    }
    Err(misshapen(
        array,
        format!("{} rows of {width} numbers", rows[0]),
    ))
}

fn misshapen(array: &Array, expected: String) -> Error {
    Error::Shape {
        what: array.path().to_owned(),
        found: array.shape().to_vec(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    fn tiny(name: &str) -> Result<Dataset, Error> {
        open(&format!("tiny/{name}"), Some(&fixtures().join("minari")))
    }

    #[test]
    fn a_discrete_set_has_its_spaces_its_environment_and_its_seeds() {
        let dataset = tiny("cartpole-v0").unwrap();
        assert_eq!(dataset.info().env_id.as_deref(), Some("CartPole-v1"));
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
        assert_eq!(dataset.info().env_id.as_deref(), Some("CartPole-v1"));
        assert_eq!(dataset.episodes(), 2);
    }

    #[test]
    fn what_is_not_read_is_named_and_the_hint_says_what_to_do() {
        for (name, word) in [
            ("arrow-v0", "arrow"),
            ("dict-v0", "Dict"),
            ("image-v0", "image"),
        ] {
            let error = tiny(name).unwrap_err();
            assert!(error.to_string().contains(word), "{name}: {error}");
            assert!(error.hint().unwrap().contains("hdf5"), "{name}");
        }
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
