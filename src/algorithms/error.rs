//! Why an algorithm cannot learn or act.

use crate::keys::PlanError;
use crate::nn::state_dict::StateDictError;
use rtg_kernels::device as cuda;

/// Why an algorithm cannot learn or act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An action space that the algorithm cannot act in.
    #[error("{algorithm} cannot act in this action space: {found}")]
    ActionSpace {
        /// The algorithm's name.
        algorithm: &'static str,
        /// What the environment has.
        found: String,
    },
    /// An offline algorithm without a dataset.
    #[error("no dataset to learn from")]
    NoData,
    /// Data from which batches cannot be drawn.
    #[error(transparent)]
    Data(#[from] rtg_datasets::Error),
    /// A plan without a table that the algorithm reads.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A plan that needs more than the free memory.
    #[error("the plan needs at least {}, {} are free", gigabytes(*bytes), gigabytes(*free as f64))]
    TooLarge {
        /// Bytes for weights and a batch.
        bytes: f64,
        /// Bytes that are free.
        free: u64,
    },
    /// Threads that the system refuses; fewer threads would change the bits.
    #[error("{threads} threads cannot be started: {reason}")]
    Threads {
        /// The requested number.
        threads: usize,
        /// The operating system's message.
        reason: String,
    },
    /// A checkpoint of another model than the plan's.
    #[error("its table '{table}' differs from the plan's")]
    OtherModel {
        /// The table that differs.
        table: &'static str,
    },
    /// A checkpoint's metadata of another form.
    #[error("its metadata cannot be read: {0}")]
    Notes(String),
    /// Weights or tensors of a checkpoint that do not fit the model.
    #[error(transparent)]
    Weights(#[from] StateDictError),
    /// Batches that cannot be computed in parts.
    #[error("{what} computes whole batches, so --mpi is not possible and 'parts' must be 1")]
    Undivided {
        /// The algorithm or key that needs whole batches.
        what: String,
    },
    /// An algorithm that cannot continue an offline run in an environment.
    #[error("this algorithm cannot continue a run in an environment")]
    StaysOffline,
    /// A GPU that cannot be used.
    #[error(transparent)]
    Gpu(#[from] cuda::Error),
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ActionSpace { .. } => Some(
                "`rtg envs` lists environments, `rtg algorithms` the actions that each supports"
                    .to_owned(),
            ),
            Self::NoData => Some("name one with --dataset".to_owned()),
            Self::Data(error) => error.hint(),
            Self::Gpu(error) => error.hint().map(str::to_owned),
            Self::Plan(_) => {
                Some("the experiment.toml of a run shows every key with its value".to_owned())
            }
            Self::TooLarge { .. } => Some(
                "lower the width, the layers, the context, the episode length or the batch with --set"
                    .to_owned(),
            ),
            Self::Threads { .. } => Some(
                "use fewer with --threads N, or raise the system's limit (`ulimit -u`)".to_owned(),
            ),
            Self::OtherModel { .. } => Some(
                "restore the run's original experiment.toml and checkpoint, or start a new run"
                    .to_owned(),
            ),
            Self::Undivided { .. } => Some(
                "omit --mpi and parts; `rtg sweep` distributes whole runs over machines"
                    .to_owned(),
            ),
            Self::StaysOffline => Some(
                "td3_bc, iql, awac, cql, edac, discrete_iql, discrete_awac, sac, td3 and dqn can: they \
                 explore, and learn from single transitions; so can a decision_transformer with a \
                 Gaussian head"
                    .to_owned(),
            ),
            Self::Notes(_) | Self::Weights(_) => None,
        }
    }
}
