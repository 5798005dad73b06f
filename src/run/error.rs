//! What can go wrong with run directories, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::EXPERIMENT;
use crate::metrics;

/// Why a run directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of a new run is not empty.
    #[error("the run directory is not empty: {}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Whether it holds a run that could be continued.
        is_run: bool,
    },
    /// There is no run here.
    #[error("not a run directory (it has no {EXPERIMENT}): {}", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// Another process is writing this run.
    #[error("another process is writing this run: {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read a file of the run ({source}): {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write ({source}): {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file of the run is damaged.
    #[error("damaged file ({message}): {}", path.display())]
    Damaged {
        /// What is wrong, and where in the file.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// The metrics files could not be opened.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
}

impl Error {
    /// What to do about it, for the line after the error.
    pub fn hint(&self) -> String {
        match self {
            Self::NotEmpty { is_run: true, .. } => {
                "continue this run with --resume, or choose another --run-dir".into()
            }
            Self::NotEmpty { is_run: false, .. } => {
                "choose another --run-dir; a new run needs an empty or a new directory".into()
            }
            Self::NotARun { .. } => format!(
                "name the directory that `rtg train` wrote, the one with {EXPERIMENT} in it"
            ),
            Self::Locked { .. } => {
                "wait for it to end, stop it, or choose another --run-dir".into()
            }
            Self::Read { .. } => "check the path and its permissions".into(),
            Self::Write { path, source } => metrics::Error::Write {
                path: path.clone(),
                source: io::Error::from(source.kind()),
            }
            .hint(),
            Self::Damaged { .. } => {
                "restore the file from a copy, or train the run again in another --run-dir".into()
            }
            Self::Metrics(error) => error.hint(),
        }
    }
}

pub(super) fn write_error(path: &Path, source: io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source,
    }
}
