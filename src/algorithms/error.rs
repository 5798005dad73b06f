//! Why an algorithm cannot learn or act.

use crate::kernels::device as cuda;
use crate::keys::PlanError;
use crate::nn::state_dict::StateDictError;

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
    #[error("there is no dataset to learn from")]
    NoData,
    /// Data that batches cannot be drawn from.
    #[error(transparent)]
    Data(#[from] rtg_datasets::Error),
    /// A plan that lacks what the algorithm reads.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A plan that the free memory does not hold.
    #[error("the plan takes at least {}, {} are free", gigabytes(*bytes), gigabytes(*free as f64))]
    TooLarge {
        /// Bytes for weights and a batch.
        bytes: f64,
        /// Bytes that are free.
        free: u64,
    },
    /// Threads that the system does not give; fewer would give other bits.
    #[error("{threads} threads cannot be started: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the operating system said.
        reason: String,
    },
    /// A checkpoint of a model that the plan does not describe.
    #[error("it was made with another table '{table}' than the plan's")]
    OtherModel {
        /// The table that differs.
        table: &'static str,
    },
    /// A checkpoint's notes of another form.
    #[error("its notes cannot be read: {0}")]
    Notes(String),
    /// Weights or tensors of a checkpoint that do not fit.
    #[error(transparent)]
    Weights(#[from] StateDictError),
    /// Batches that cannot be computed in parts.
    #[error("{what} computes whole batches: it takes part in no --mpi, and parts is 1")]
    Undivided {
        /// What does.
        what: String,
    },
    /// An algorithm that does not go on in an environment from what it learned.
    #[error("this algorithm does not go on in an environment from a run")]
    StaysOffline,
    /// A GPU that cannot be used.
    #[error(transparent)]
    Gpu(#[from] cuda::Error),
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

impl Error {
    /// The way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ActionSpace { .. } => Some(
                "`rtg envs` lists environments, `rtg algorithms` the actions that each can choose"
                    .to_owned(),
            ),
            Self::NoData => Some("name one with --dataset".to_owned()),
            Self::Data(error) => error.hint(),
            Self::Gpu(error) => error.hint().map(str::to_owned),
            Self::Plan(_) => {
                Some("experiment.toml of any run shows every key with a value".to_owned())
            }
            Self::TooLarge { .. } => Some(
                "lower the width, the layers, the context, the episode length or the batch with --set"
                    .to_owned(),
            ),
            Self::Threads { .. } => Some(
                "ask for fewer with --threads N, or let the system give more (`ulimit -u`)".to_owned(),
            ),
            Self::OtherModel { .. } => Some(
                "put back the run's own experiment.toml and checkpoint, or start a new run"
                    .to_owned(),
            ),
            Self::Undivided { .. } => Some(
                "leave out --mpi and parts; `rtg sweep` shares whole runs among machines"
                    .to_owned(),
            ),
            Self::StaysOffline => Some(
                "td3_bc, iql, awac, cql, edac, discrete_iql, discrete_awac, sac, td3 and dqn do: they \
                 explore, and learn from single transitions"
                    .to_owned(),
            ),
            Self::Notes(_) | Self::Weights(_) => None,
        }
    }
}
