//! What can go wrong with a sweep.

use std::path::PathBuf;

use crate::experiment::ExperimentError;
use crate::interrupt::Interrupt;
use crate::run;

/// Why a sweep stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sweep's plan is invalid.
    #[error("{0}")]
    Plan(String),
    /// The plan of one of its runs is invalid.
    #[error("run {name}: {source}")]
    Run {
        /// The run.
        name: String,
        /// What is wrong.
        source: ExperimentError,
    },
    /// A folder that is not a sweep.
    #[error("not a sweep (it has no runs.txt): {}", path.display())]
    NotASweep {
        /// The folder.
        path: PathBuf,
    },
    /// An index that no run has.
    #[error("there is no run {index}; the sweep has {count}: {}", path.display())]
    NoSuchRun {
        /// The index.
        index: usize,
        /// Number of runs.
        count: usize,
        /// The folder.
        path: PathBuf,
    },
    /// A file that could not be read or written.
    #[error("{source}: {}", path.display())]
    File {
        /// The error of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A run directory.
    #[error(transparent)]
    RunDirectory(#[from] run::Error),
    /// A program that could not be started.
    #[error("cannot start {program} ({source})")]
    Start {
        /// The program.
        program: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Slurm refused the job.
    #[error("sbatch failed: {0}")]
    Slurm(String),
    /// A signal interrupted the sweep; its runs were stopped.
    #[error("{signal}; {done} of {count} runs are done")]
    Stopped {
        /// The signal.
        signal: Interrupt,
        /// Runs that are done.
        done: usize,
        /// Number of runs of the sweep.
        count: usize,
    },
    /// Runs that ended with an error; the others continued.
    #[error("{} of {count} runs failed: {}", failed.len(), failed.join("; "))]
    Failed {
        /// Name and error of each.
        failed: Vec<String>,
        /// Number of runs of the sweep.
        count: usize,
    },
}

impl Error {
    /// What to do about it, for the line after the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Plan(_) => {
                "a sweep's plan has the tables base, grid, groups and slurm; grid keys hold a \
                    list, \
                 or a range such as { from = 0, to = 4 }"
                    .to_owned()
            }
            Self::Run { source, .. } => return source.hint(),
            Self::NotASweep { .. } => "name a sweep's plan, a .toml file".to_owned(),
            Self::NoSuchRun { .. } => "`rtg sweep PLAN.toml --status` lists the runs".to_owned(),
            Self::File { .. } => "check that the folder exists and is writable".to_owned(),
            Self::RunDirectory(error) => error.hint(),
            Self::Start { program, .. } if program == "sbatch" => {
                "Slurm is not installed here; without --slurm the runs start on this machine"
                    .to_owned()
            }
            Self::Start { .. } | Self::Slurm(_) => return None,
            Self::Stopped { .. } => "run the same command again to resume".to_owned(),
            Self::Failed { .. } => {
                "their logs are in the sweep's folder; run the same command again to retry"
                    .to_owned()
            }
        })
    }
}
