//! From one storage format to another.
//!
//! [`open_source`] finds out what a name or path is and gives its episodes, [`create_sink`] takes
//! them, [`convert`] joins the two. Nothing is computed on the way: types, infos, seeds, reset
//! options and metadata stay as they are, JPEG images are copied as bytes. What the target's format
//! cannot hold is listed in the [`Summary`].

use std::path::{Component, Path, PathBuf};

use rtg_envs::Space;

use crate::d4rl::D4rlSink;
use crate::dataset::Intake;
use crate::minari::{self, MinariSink};
use crate::recording::{Flattener, RecordedEpisode, Recording, Sink, Source, flat_width};
use crate::{
    Budget, Dataset, Defects, Episode, Error, Finding, datasets_root, flat, input, staging,
};

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

impl Target {
    /// The target that a user names: for Minari's formats an id below `minari_root`, or the path of
    /// a new directory, which begins with `/` or `./`; for D4RL's the path of a new file.
    pub fn named(name: &str, format: Option<MinariFormat>, minari_root: &Path) -> Self {
        let path = Path::new(name);
        let is_path = path.is_absolute() || name.starts_with("./");
        match (
            format,
            path.parent(),
            path.file_name().and_then(|name| name.to_str()),
        ) {
            (None, ..) => Self::D4rl { path: path.into() },
            (Some(format), Some(parent), Some(id)) if is_path => Self::Minari {
                root: parent.to_path_buf(),
                id: id.to_owned(),
                format,
            },
            (Some(format), ..) => Self::Minari {
                root: minari_root.to_path_buf(),
                id: name.to_owned(),
                format,
            },
        }
    }

    /// The directory or file to be.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Minari { root, id, .. } => root.join(id),
            Self::D4rl { path } => path.clone(),
        }
    }

    /// Refuses what cannot be written to: better than after hours of work. Removes what killed
    /// writers of the same target have left.
    pub fn check(&self) -> Result<(), Error> {
        let path = self.path();
        if let Self::Minari { root, id, .. } = self {
            let goes_up = root.components().any(|part| part == Component::ParentDir);
            if goes_up || !minari::is_versioned_id(id) {
                return Err(Error::BadId(path.display().to_string()));
            }
        }
        if path.file_name().is_none() {
            return Err(Error::BadId(path.display().to_string()));
        }
        staging::clear(&path);
        // Not `exists`: a link that leads nowhere is something, too.
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists.at(&path));
        }
        Ok(())
    }
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
    open_source_within(id_or_path, minari_root, contents, &Budget::default())
}

/// Opens a dataset as [`open_source`] does, and takes no more than the budget allows.
pub fn open_source_within(
    id_or_path: &str,
    minari_root: Option<&Path>,
    contents: Contents,
    budget: &Budget,
) -> Result<Box<dyn Source>, Error> {
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    if let Some(directory) = minari::installed(&root, id_or_path) {
        return minari::source(&directory, contents, budget);
    }
    let path = Path::new(id_or_path);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_no_path(&error) => return Err(minari::unknown(&root, id_or_path)),
        Err(error) => return Err(Error::Io(error).at(path)),
    };
    if !metadata.is_dir() {
        input::regular(&metadata).map_err(|error| error.at(path))?;
        return crate::file_source(path, contents, budget);
    }
    if flat::table::is_robot(path) {
        return Ok(Box::new(flat::table::robot(path, contents, budget)?));
    }
    minari::source(path, contents, budget)
}

/// Whether there is nothing at a path, or it is none.
fn is_no_path(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    )
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

/// Whether two sources hold the same episodes, number for number.
pub fn same_episodes(a: &mut dyn Source, b: &mut dyn Source) -> Result<bool, Error> {
    let (flat_a, flat_b) = (Flattener::new(a.recording()), Flattener::new(b.recording()));
    for index in 0.. {
        let (next_a, next_b) = match (a.next_episode()?, b.next_episode()?) {
            (None, None) => return Ok(true),
            (Some(a), Some(b)) => (a, b),
            _ => return Ok(false),
        };
        let flat_a = flat_a.episode(&next_a, index, &a.budget().fork())?;
        let flat_b = flat_b.episode(&next_b, index, &b.budget().fork())?;
        if [&flat_a.observations, &flat_a.actions, &flat_a.rewards]
            != [&flat_b.observations, &flat_b.actions, &flat_b.rewards]
        {
            return Ok(false);
        }
    }
    Ok(true)
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
    // What cannot be read as a dataset is not written as one: `inspect` would refuse it.
    let flattener = Flattener::new(source.recording());
    let budget = source.budget();
    flattener
        .dataset(source.recording(), Defects::Keep, &budget.fork())
        .map_err(|error| error.at(source.path()))?;
    target.check()?;
    let mut sink = create_sink(target, source.recording())?;
    let total = source.recording().total_episodes;
    let (mut episodes, mut steps) = (0, 0);
    let place = target.path();
    loop {
        let next = source
            .next_episode()
            .map_err(|error| error.at(source.path()))?;
        let Some(episode) = next else { break };
        flattener
            .check(&episode, episodes, &budget.fork())
            .map_err(|error| error.at(source.path()))?;
        let written = sink.write(&episode);
        written.map_err(|error| error.in_episode(episodes).at(&place))?;
        episodes += 1;
        steps += episode.len();
        progress(episodes, total);
    }
    let mut left_out = source.left_out();
    left_out.extend(sink.finish().map_err(|error| error.at(&place))?);
    Ok(Summary {
        episodes,
        steps,
        findings: source.findings(),
        left_out,
    })
}

/// All episodes of a source in memory, flattened.
pub(crate) fn gather(source: &mut dyn Source, defects: Defects) -> Result<Dataset, Error> {
    let dataset = empty(source, defects)?;
    let width = dataset.observation_width();
    let row = width + dataset.action_width() + 1;
    let budget = source.budget();
    if let Some(steps) = source.recording().total_steps {
        // Better now than after minutes of reading.
        let room = budget.foresee(&[steps, row], size_of::<f64>(), "the dataset");
        room.map_err(|error| error.at(source.path()))?;
    }
    let mut into = Held {
        dataset,
        budget,
        row,
    };
    pour(source, defects, width, &mut into)?;
    Ok(into.dataset)
}

/// A dataset whose numbers are charged to the budget.
struct Held {
    dataset: Dataset,
    budget: Budget,
    /// Numbers that a step takes.
    row: usize,
}

impl Intake for Held {
    fn push(&mut self, episode: Episode) -> Result<(), Error> {
        let steps = episode.len() + 1;
        self.budget
            .take_items(&[steps, self.row], size_of::<f64>(), "the dataset")?;
        self.dataset.push(episode)
    }

    fn note(&mut self, finding: Finding) {
        self.dataset.note(finding);
    }
}

/// A dataset for the episodes of a source, without them.
pub(crate) fn empty(source: &dyn Source, defects: Defects) -> Result<Dataset, Error> {
    Flattener::new(source.recording())
        .dataset(source.recording(), defects, &source.budget())
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
    let budget = source.budget();
    let (mut completed, mut empty, mut early, mut index, mut steps) = (0, 0, 0, 0, 0);
    let mut unreadable: Vec<Error> = Vec::new();
    while let Some(recorded) = source.next_episode()? {
        let flat = flattener.episode(&recorded, index, &budget.fork());
        index += 1;
        steps += recorded.len();
        let mut episode = match flat {
            // The others are worth a look, unless no more can be read at all.
            Err(error) if defects == Defects::Keep && !error.is_limit() => {
                unreadable.push(error);
                continue;
            }
            flat => flat?,
        };
        if defects == Defects::Keep {
            if episode.is_empty() {
                empty += 1;
                continue;
            }
            completed += usize::from(complete(&mut episode, width));
        }
        early += usize::from(ends_early(&recorded));
        into.push(episode)?;
    }
    let bad = unreadable.len();
    if bad > 0 && bad == index {
        return Err(unreadable.swap_remove(0));
    }
    into.note(Finding::error(
        "unreadable-episode",
        bad,
        match unreadable.first() {
            Some(first) => {
                format!("episodes do not fit their spaces and are left out; the first, {first}")
            }
            None => String::new(),
        },
    ));
    into.note(flattened_actions(source.recording()));
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

/// Composite actions are learnt as numbers, which nobody should find out from results.
fn flattened_actions(recording: &Recording) -> Finding {
    let space = recording.action_space.space();
    let kind = match space {
        Space::MultiDiscrete { nvec, .. } => format!("MultiDiscrete {nvec:?}"),
        Space::Dict(_) => "a Dict".into(),
        Space::Tuple(_) => "a Tuple".into(),
        Space::Text { .. } => "texts".into(),
        _ => String::new(),
    };
    let width = flat_width(space).unwrap_or(0);
    let count = if kind.is_empty() { 0 } else { width };
    Finding::warning(
        "flattened-actions",
        count,
        format!(
            "numbers stand for one action: actions are {kind}, and are learnt as {width} real numbers"
        ),
    )
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
