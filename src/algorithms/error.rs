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
    /// A GPU that cannot be used.
    #[error(transparent)]
    Gpu(#[from] cuda::Error),
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
            Self::OtherModel { .. } => Some(
                "put back the run's own experiment.toml and checkpoint, or start a new run"
                    .to_owned(),
            ),
            Self::Notes(_) | Self::Weights(_) => None,
        }
    }
}
