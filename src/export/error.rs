//! Errors of exporting policies to other formats, and of importing them.

use std::io;
use std::path::PathBuf;

use crate::nn::state_dict::StateDictError;
use crate::run;

/// Errors of exporting policies to other formats, and of importing them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A policy that a format cannot represent.
    #[error("this policy cannot be {what}: {reason}")]
    Unsupported {
        /// `exported to ONNX`, for instance.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// A folder that exists and is not empty.
    #[error("the folder is not empty: {}", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// A configuration that contradicts the plan.
    #[error("'{key}' is {found}, the plan needs {expected}: {}", path.display())]
    Config {
        /// The key of `config.json`.
        key: &'static str,
        /// Its value.
        found: String,
        /// The value that the plan needs.
        expected: String,
        /// The key of the table `decision_transformer` that decides it, `the data` or `nothing`.
        decided_by: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file that is not the configuration of a Decision Transformer.
    #[error("not the configuration of a Decision Transformer ({reason}): {}", path.display())]
    NoConfig {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// Weights for an algorithm that has no such network.
    #[error("these weights are of a Decision Transformer, the plan has another algorithm: {}", path.display())]
    OtherAlgorithm {
        /// The folder.
        path: PathBuf,
    },
    /// Weights that do not fit the model.
    #[error("{source}: {}", path.display())]
    Weights {
        /// What is wrong.
        source: StateDictError,
        /// The file.
        path: PathBuf,
    },
    /// A file that could not be read.
    #[error("cannot read ({source}): {}", path.display())]
    Read {
        /// The error of the operating system.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file or folder that could not be written.
    #[error(transparent)]
    Write(#[from] run::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unsupported { what, .. } if what.contains("ONNX") => {
                "checkpoints/weights.safetensors of the run contains the weights with PyTorch's names"
                    .to_owned()
            }
            Self::Unsupported { what, .. } if what.contains("rtg-act") => {
                "a smaller network or context needs less memory".to_owned()
            }
            Self::Unsupported { .. } => "`rtg export RUN --onnx FILE` supports more kinds of \
                policies"
                .to_owned(),
            Self::FolderInUse { .. } => "name another folder, or empty this one".to_owned(),
            Self::Config {
                decided_by: "nothing",
                ..
            } => "rtg does not support this value".to_owned(),
            Self::Config {
                decided_by: "the data",
                ..
            } => "train on data of the model's environment".to_owned(),
            Self::Config { decided_by, .. } => {
                format!("change the plan with --set decision_transformer.{decided_by}=...")
            }
            Self::NoConfig { .. } | Self::Read { .. } => {
                "`save_pretrained` of transformers.DecisionTransformerModel writes config.json and \
                    model.safetensors"
                    .to_owned()
            }
            Self::OtherAlgorithm { .. } => "use --algorithm decision_transformer".to_owned(),
            Self::Weights { .. } => "the weights must be float32 and those that config.json \
                describes"
                .to_owned(),
            Self::Write(error) => error.hint(),
        })
    }
}
