//! The error of this crate: each variant contains its data, [`Error::hint`] says what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a dataset could not be read, built or sampled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another error, with the file or directory where it happened.
    #[error("{error}: {}", path.display())]
    At {
        /// What happened.
        error: Box<Error>,
        /// Where it happened.
        path: PathBuf,
    },
    /// An error of the operating system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another error, with the episode in which it happened.
    #[error("episode {episode}: {error}")]
    InEpisode {
        /// The episode, counted from 0.
        episode: usize,
        /// What happened.
        error: Box<Error>,
    },
    /// A directory, a pipe or a device where a file should be.
    #[error("this is {0}, not a file")]
    NotAFile(&'static str),
    /// More than fits into memory, or than files of this size can plausibly contain.
    #[error(
        "{what} would take {}, {} are {}",
        size(*bytes),
        size(*left),
        if *is_memory { "free" } else { "left of the limit for files of this size" }
    )]
    TooLarge {
        /// What was requested.
        what: String,
        /// How many bytes it would take.
        bytes: u64,
        /// How many bytes are left below the bound that it would break.
        left: u64,
        /// Whether that bound is the free memory.
        is_memory: bool,
    },
    /// More groups, arrays and entries than any dataset has.
    #[error("{0} has too many parts")]
    TooManyParts(String),
    /// Flat columns of which one has more rows than another.
    #[error("the columns have different numbers of rows: {}", counted(.0))]
    Columns(Vec<(String, usize)>),
    /// The file does not begin like an HDF5 file.
    #[error("not an HDF5 file")]
    NotHdf5,
    /// The file is in no supported format.
    #[error("not a file of a known format")]
    UnknownFile,
    /// The file contradicts itself or ends early.
    #[error("damaged file, {0}")]
    Damaged(String),
    /// Legal, but outside what this crate reads.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The file or directory is neither a Minari nor a D4RL dataset.
    #[error("no dataset here")]
    NotADataset,
    /// A group or array that the format requires is absent.
    #[error("{0} is missing")]
    Missing(String),
    /// Metadata that cannot be understood.
    #[error("bad metadata, {0}")]
    Metadata(String),
    /// An array has another shape than the format or the spaces demand.
    #[error("{what} has shape {found:?}, expected {expected}")]
    Shape {
        /// The array.
        what: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that would fit.
        expected: String,
    },
    /// An episode of T steps needs T + 1 observations.
    #[error(
        "episode {episode} has {rows} observations for {steps} steps, expected {}",
        steps + 1
    )]
    ObservationRows {
        /// The episode, counted from 0.
        episode: usize,
        /// Observation rows found.
        rows: usize,
        /// Steps, which is the number of actions.
        steps: usize,
    },
    /// The parts of an episode do not fit each other or the spaces.
    #[error("episode {episode} has {found} {column} numbers, expected {expected}")]
    Width {
        /// The episode, counted from 0.
        episode: usize,
        /// The column.
        column: EpisodeColumn,
        /// Numbers found.
        found: usize,
        /// Numbers expected from the steps and the space.
        expected: usize,
    },
    /// An episode without a step.
    #[error("episode {episode} has no steps")]
    EmptyEpisode {
        /// The episode, counted from 0.
        episode: usize,
    },
    /// A NaN or an infinity in the data.
    #[error("{column} is {value} at episode {episode}, step {step}, dimension {dimension}")]
    NotFinite {
        /// The column.
        column: EpisodeColumn,
        /// The episode, counted from 0.
        episode: usize,
        /// The step within the episode, counted from 0.
        step: usize,
        /// The number within the row, counted from 0.
        dimension: usize,
        /// The value found.
        value: f64,
    },
    /// Neither an installed Minari id nor a path.
    #[error("unknown dataset '{id}'")]
    UnknownDataset {
        /// What was requested.
        id: String,
        /// The Minari root that was searched.
        root: PathBuf,
        /// The most similar installed ids, best first.
        nearest: Vec<String>,
    },
    /// Data that cannot be written, for another reason than the disk.
    #[error("cannot write, {0}")]
    Writing(String),
    /// The target of a new dataset exists already.
    #[error("it exists already")]
    Exists,
    /// Another process has the file open for writing.
    #[error("another process is writing it")]
    Locked,
    /// Not an id under which Minari finds a dataset.
    #[error("'{0}' is not a valid id of a Minari dataset")]
    BadId(String),
    /// No windows or transitions can be drawn from the data.
    #[error("cannot sample, {0}")]
    Sampling(String),
    /// A column store that cannot be used.
    #[error("unusable store, {0}")]
    Store(String),
    /// Something that could not be downloaded.
    #[error("download failed, {0}")]
    Remote(String),
    /// A selection or a mixture that cannot be made.
    #[error("cannot select episodes, {0}")]
    Selection(String),
}

impl Error {
    /// Adds the file or directory. The innermost path wins, since it is the most specific.
    #[must_use]
    pub fn at(self, path: &Path) -> Self {
        match self {
            Self::At { .. } | Self::UnknownDataset { .. } => self,
            error => Self::At {
                error: Box::new(error),
                path: path.to_path_buf(),
            },
        }
    }

    /// Whether a limit of memory or time was exceeded.
    pub(crate) fn is_limit(&self) -> bool {
        match self {
            Self::At { error, .. } | Self::InEpisode { error, .. } => error.is_limit(),
            error => matches!(error, Self::TooLarge { .. } | Self::TooManyParts(_)),
        }
    }

    /// Adds the episode.
    #[must_use]
    pub(crate) fn in_episode(self, episode: usize) -> Self {
        match self {
            // These name the episode already.
            Self::ObservationRows { .. }
            | Self::Width { .. }
            | Self::EmptyEpisode { .. }
            | Self::NotFinite { .. }
            | Self::InEpisode { .. } => self,
            Self::At { error, path } => Self::At {
                error: Box::new(error.in_episode(episode)),
                path,
            },
            error => Self::InEpisode {
                episode,
                error: Box::new(error),
            },
        }
    }

    /// What to do about it: a sentence to print after the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::At { error, .. } | Self::InEpisode { error, .. } => return error.hint(),
            Self::Io(error) => io_hint(error).into(),
            Self::NotAFile(_) => "give the path of a regular file or of a dataset's directory; \
                data from a pipe must be written to a file first"
                .into(),
            Self::TooLarge {
                is_memory: true, ..
            } => "free some memory, use a machine with more \
                of it, or split the dataset; training maps larger data from the disk with --set \
                store=mapped"
                .into(),
            Self::TooLarge { .. } | Self::TooManyParts(_) => "a file this small can hardly hold \
                that much data; if it is sound, rewrite it without compression or as several \
                datasets"
                .into(),
            Self::Columns(_) => "flat columns have one row a step: store the observation after \
                each step as next_observations, not just the one after the last step"
                .into(),
            Self::Shape { .. } | Self::Width { .. } => "each column of an episode needs one row a \
                step, observations one more, as wide as the space in the metadata; correct the \
                rows or the space"
                .into(),
            Self::Writing(_) => "another format may support it: arrow or parquet".into(),
            Self::NotHdf5 | Self::UnknownFile => "supported are HDF5, Parquet, pickled \
                trajectories, .npz archives, .csv and .tsv; a failed download often leaves a web \
                page under the file's name"
                .into(),
            Self::Damaged(_) => {
                "the file was cut short, altered or written incorrectly: download, \
                copy or write it again"
                    .into()
            }
            Self::Unsupported(_) => "convert it to a supported format: Minari, D4RL's HDF5 \
                columns, .npz, .csv or Parquet with one row a step"
                .into(),
            Self::NotADataset => "give a Minari id, a Minari directory (it holds \
                data/metadata.json), a LeRobot folder (meta/info.json), or a file that holds \
                observations, actions and rewards"
                .into(),
            Self::Missing(_) | Self::Metadata(_) => "the dataset is incomplete or names its parts \
                differently: add what is missing, or download or write it again"
                .into(),
            Self::ObservationRows { .. } => "each episode stores the observation after its last \
                step too; `rtg inspect` shows every such episode, and a writer that adds the final \
                observation repairs it"
                .into(),
            Self::EmptyEpisode { .. } | Self::NotFinite { .. } => "`rtg inspect` counts all such \
                places; remove these episodes or repair them before training"
                .into(),
            Self::UnknownDataset { root, nearest, .. } if nearest.is_empty() => format!(
                "no dataset of a similar name is installed under {}; set MINARI_DATASETS_PATH if \
                    the datasets are elsewhere",
                root.display()
            ),
            Self::UnknownDataset { root, nearest, .. } => format!(
                "the nearest names installed under {} are {}",
                root.display(),
                nearest.join(", ")
            ),
            Self::Store(_) => "delete this directory: it is a copy, which is rebuilt from its \
                source when that is opened"
                .into(),
            Self::Remote(_) => "run it again: the download resumes where it stopped".into(),
            Self::Selection(_) => {
                "fractions must be above 0 and at most 1, weights above 0; mixed \
                datasets need rows of the same shapes"
                    .into()
            }
            Self::Exists => "choose another name, or remove it first".into(),
            Self::Locked => "wait for that process, or end it".into(),
            Self::BadId(_) => {
                "an id is a name of letters, digits, - and _ that ends in a version, \
                with namespaces before it, such as mujoco/hopper/medium-v0; a path begins with / \
                or ./ and ends in such a name, without .. in it"
                    .into()
            }
            Self::Sampling(_) => "training needs at least one step, finite numbers, and Box or \
                Discrete actions within their space"
                .into(),
        })
    }
}

/// The hint for an error of the operating system.
fn io_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "check the path: a part of it does not exist",
        ErrorKind::PermissionDenied => {
            "check the permissions of the file and of the folders above it"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space on that disk, or write elsewhere"
        }
        ErrorKind::FileTooLarge => "raise the limit on file sizes (ulimit -f), or write less",
        ErrorKind::ReadOnlyFilesystem => "write to another location: this file system is read-only",
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            "check the path: it names a directory instead of a file, or a file instead of a \
                directory"
        }
        ErrorKind::OutOfMemory => "free some memory, or use a machine with more of it",
        _ => "check the path and the disk, and try again",
    }
}

/// A number of bytes for display.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    match (bytes, unit) {
        (u64::MAX, _) => "too many bytes to count".into(),
        (_, 0) => format!("{bytes} bytes"),
        _ => format!("{amount:.1} {}", UNITS[unit]),
    }
}

/// `60 actions, 61 observations`.
fn counted(columns: &[(String, usize)]) -> String {
    let columns = columns.iter().map(|(name, rows)| format!("{rows} {name}"));
    columns.collect::<Vec<_>>().join(", ")
}

/// A column of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpisodeColumn {
    /// The observations.
    Observation,
    /// The actions.
    Action,
    /// The rewards.
    Reward,
}

impl fmt::Display for EpisodeColumn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Observation => "observation",
            Self::Action => "action",
            Self::Reward => "reward",
        })
    }
}
