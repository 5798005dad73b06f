//! From one storage format to another.
//!
//! [`open_source`] finds out what a name or path is and gives its episodes, [`create_sink`] takes
//! them, [`convert`] joins the two. Nothing is computed on the way: types, infos, seeds, reset
//! options and metadata stay as they are, JPEG images are copied as bytes. What the target's format
//! cannot hold is listed in the [`Summary`].

use std::path::{Path, PathBuf};

use crate::d4rl::D4rlSink;
use crate::dataset::Intake;
use crate::minari::{self, MinariSink};
use crate::recording::{Flattener, RecordedEpisode, Recording, Sink, Source};
use crate::{Dataset, Defects, Episode, Error, Finding, datasets_root};

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

/// Where a dataset shall be written. There must be nothing yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The Minari dataset `id` under `root`, see [`datasets_root`].
    Minari {
        /// The directory of all Minari datasets.
        root: PathBuf,
        /// The new dataset's id.
        id: String,
        /// How it is stored.
        format: MinariFormat,
    },
    /// A D4RL file.
    D4rl {
        /// The new file.
        path: PathBuf,
    },
}

/// What a conversion did.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Episodes written.
    pub episodes: usize,
    /// Steps written.
    pub steps: usize,
    /// What the reader had to decide, such as rows that belong to no finished episode.
    pub findings: Vec<Finding>,
    /// What the target's format could not hold, a sentence each.
    pub left_out: Vec<String>,
}

/// How much of a dataset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// All that is stored.
    Everything,
    /// What a [`Dataset`] needs: no infos, no attributes of episodes but their seeds.
    Steps,
}

/// Opens a dataset by Minari id or path, as [`open`](crate::open) does, episode by episode.
pub fn open_source(
    id_or_path: &str,
    minari_root: Option<&Path>,
    contents: Contents,
) -> Result<Box<dyn Source>, Error> {
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    if let Some(directory) = minari::installed(&root, id_or_path) {
        return minari::source(&directory, contents);
    }
    let path = Path::new(id_or_path);
    if path.is_dir() {
        minari::source(path, contents)
    } else if path.is_file() {
        crate::file_source(path, contents)
    } else {
        Err(minari::unknown(&root, id_or_path))
    }
}

/// Begins a dataset. Nothing is visible at the target before [`Sink::finish`].
pub fn create_sink(target: &Target, recording: &Recording) -> Result<Box<dyn Sink>, Error> {
    match target {
        Target::Minari { root, id, format } => {
            let sink = MinariSink::create(root, id, *format, recording.clone())?;
            Ok(Box::new(sink))
        }
        Target::D4rl { path } => Ok(Box::new(D4rlSink::create(path, recording)?)),
    }
}

/// Converts a dataset. `progress` hears after each episode how many are done, and of how many, if
/// that is known.
///
/// The target appears whole or not at all, even if the process is killed.
pub fn convert(
    id_or_path: &str,
    minari_root: Option<&Path>,
    target: &Target,
    progress: &mut dyn FnMut(usize, Option<usize>),
) -> Result<Summary, Error> {
    let mut source = open_source(id_or_path, minari_root, Contents::Everything)?;
    copy(&mut *source, target, progress)
}

/// Writes all episodes of a source; see [`convert`].
pub fn copy(
    source: &mut dyn Source,
    target: &Target,
    progress: &mut dyn FnMut(usize, Option<usize>),
) -> Result<Summary, Error> {
    let mut sink = create_sink(target, source.recording())?;
    let total = source.recording().total_episodes;
    let (mut episodes, mut steps) = (0, 0);
    while let Some(episode) = source.next_episode()? {
        sink.write(&episode)?;
        episodes += 1;
        steps += episode.len();
        progress(episodes, total);
    }
    let mut left_out = source.left_out();
    left_out.extend(sink.finish()?);
    Ok(Summary {
        episodes,
        steps,
        findings: source.findings(),
        left_out,
    })
}

/// All episodes of a source in memory, flattened.
pub(crate) fn gather(source: &mut dyn Source, defects: Defects) -> Result<Dataset, Error> {
    let mut dataset = empty(source, defects)?;
    let width = dataset.observation_width();
    pour(source, defects, width, &mut dataset)?;
    Ok(dataset)
}

/// A dataset for the episodes of a source, without them.
pub(crate) fn empty(source: &dyn Source, defects: Defects) -> Result<Dataset, Error> {
    Flattener::new(source.recording())
        .dataset(source.recording(), defects)
        .map_err(|error| error.at(source.path()))
}

/// Pours all episodes of a source, flattened, and what it noted; `width` is an observation's.
pub(crate) fn pour(
    source: &mut dyn Source,
    defects: Defects,
    width: usize,
    into: &mut impl Intake,
) -> Result<(), Error> {
    pour_all(source, defects, width, into).map_err(|error| error.at(source.path()))
}

fn pour_all(
    source: &mut dyn Source,
    defects: Defects,
    width: usize,
    into: &mut impl Intake,
) -> Result<(), Error> {
    let flattener = Flattener::new(source.recording());
    let (mut completed, mut empty, mut early, mut index, mut steps) = (0, 0, 0, 0, 0);
    while let Some(recorded) = source.next_episode()? {
        let mut episode = flattener.episode(&recorded, index)?;
        index += 1;
        if defects == Defects::Keep {
            if episode.is_empty() {
                empty += 1;
                continue;
            }
            completed += usize::from(complete(&mut episode, width));
        }
        early += usize::from(ends_early(&recorded));
        steps += episode.len();
        into.push(episode)?;
    }
    into.note(Finding::error(
        "missing-final-observation",
        completed,
        "episodes have as many observations as steps: the one after the last step is missing"
            .into(),
    ));
    into.note(Finding::error(
        "empty-episode",
        empty,
        "episodes have no step".into(),
    ));
    into.note(Finding::error(
        "early-end",
        early,
        "episodes are marked as ended before their last step".into(),
    ));
    if let Some(total) = source.recording().total_steps {
        into.note(Finding::warning(
            "step-count",
            steps.abs_diff(total),
            format!("the metadata count {total} steps, the episodes hold {steps}"),
        ));
    }
    for finding in source.findings() {
        into.note(finding);
    }
    Ok(())
}

/// Repeats the last observation where the one after the last step is missing.
fn complete(episode: &mut Episode, width: usize) -> bool {
    let missing = episode.observations.len() == episode.len() * width && width > 0;
    if missing {
        let last = episode.observations.len() - width;
        episode.observations.extend_from_within(last..);
    }
    missing
}

/// Whether a flag is set before the last step.
fn ends_early(episode: &RecordedEpisode) -> bool {
    let last = episode.len().saturating_sub(1);
    episode.terminations[..last]
        .iter()
        .chain(&episode.truncations[..last])
        .any(|&flag| flag)
}
