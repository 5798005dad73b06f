//! The crate's error type.

use crate::names::nearest;
use std::path::PathBuf;

/// What can go wrong with an environment.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No environment has this id.
    #[error("unknown environment '{id}'; the nearest are {}", nearest.join(", "))]
    UnknownId {
        /// The id that was requested.
        id: String,
        /// Up to three known ids, nearest first.
        nearest: Vec<String>,
    },

    /// A text that does not name an environment.
    #[error("'{text}' is not an environment: {reason}")]
    EnvText {
        /// The text.
        text: String,
        /// What is wrong, and where.
        reason: String,
    },

    /// An environment has no option of this name.
    #[error("{id} has no option '{option}'; {}", the_options(option, known))]
    UnknownOption {
        /// The environment.
        id: String,
        /// The name as given.
        option: String,
        /// The options that it has.
        known: Vec<String>,
    },

    /// A value that an option cannot have.
    #[error("'{option}' of {id} cannot be {value}: {expected}")]
    OptionValue {
        /// The environment.
        id: String,
        /// The option.
        option: String,
        /// The value as given.
        value: String,
        /// The values that are allowed.
        expected: String,
    },

    /// A time limit above the largest one.
    #[error("a time limit of {limit} steps is above the maximum of {longest}")]
    TimeLimit {
        /// The limit that was requested.
        limit: usize,
        /// The largest one.
        longest: usize,
    },

    /// A wrapper that cannot be made.
    #[error("the wrapper {wrapper} cannot be made: {reason}")]
    Wrapper {
        /// Its name.
        wrapper: String,
        /// Why not.
        reason: String,
    },

    /// A state vector of the wrong width.
    #[error("a state of {id} has {expected} numbers, got {got}")]
    StateWidth {
        /// The environment.
        id: String,
        /// Numbers in its state.
        expected: usize,
        /// Numbers that were given.
        got: usize,
    },

    /// A state with NaN or infinity in it.
    #[error("number {index} of a state for {id} is {value}")]
    StateNotFinite {
        /// The environment.
        id: String,
        /// Position in the state.
        index: usize,
        /// The number found there.
        value: f64,
    },

    /// The environment does not support setting its state.
    #[error("{id} does not support setting its state")]
    StateHidden {
        /// The environment.
        id: String,
    },

    /// A vector environment needs at least one row.
    #[error("a vector environment needs at least one row")]
    NoRows,

    /// Environments of different kinds cannot be rows of one vector.
    #[error("row {row} is {got}, the rows before it are {expected}")]
    MixedRows {
        /// The first row that differs.
        row: usize,
        /// Id of row 0.
        expected: String,
        /// Id of this row.
        got: String,
    },

    /// A space that the other side cannot express.
    #[error("{what} cannot be expressed in {target}")]
    Inexpressible {
        /// What cannot be expressed.
        what: String,
        /// The target format.
        target: &'static str,
    },

    /// No `MuJoCo` library was found.
    #[error("MuJoCo was not found on this machine")]
    MujocoMissing,

    /// A file that cannot be used as the `MuJoCo` library.
    #[error("MuJoCo cannot be loaded: {reason} ({})", path.display())]
    MujocoUnusable {
        /// What is wrong.
        reason: String,
        /// The file or folder.
        path: PathBuf,
    },

    /// A `MuJoCo` library that is too old or too new.
    #[error("MuJoCo {version} is not one of 3.2 to 4.x ({})", path.display())]
    MujocoVersion {
        /// Its version.
        version: String,
        /// Its file.
        path: PathBuf,
    },

    /// `MuJoCo` refused a model.
    #[error("MuJoCo refuses the model of {id}: {message}")]
    MujocoModel {
        /// The environment.
        id: String,
        /// The library's message.
        message: String,
    },
}

/// Names the options that exist, the nearest ones.
fn the_options(option: &str, known: &[String]) -> String {
    if known.is_empty() {
        return "it has none".to_owned();
    }
    let nearest = nearest(option, known.iter().map(String::as_str));
    format!("the nearest are {}", nearest.join(", "))
}
