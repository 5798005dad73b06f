//! Why a file is no policy, or a policy cannot act.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why a file is no policy, or a policy cannot act.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not a file of `rtg export --act`.
    NotAPolicy {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of another version of the format.
    Version {
        /// Its version.
        found: String,
    },
    /// Bytes were changed since the file was written.
    Checksum,
    /// An entry or a tensor is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor that no policy of this kind has.
    Unexpected {
        /// Its name.
        name: String,
    },
    /// An entry with a value that it cannot have, or a tensor that is not finite.
    Invalid {
        /// Its name.
        name: String,
    },
    /// A tensor of other dimensions than the policy's.
    Shape {
        /// Its name.
        name: String,
        /// The policy's.
        expected: Vec<usize>,
        /// The tensor's.
        found: Vec<usize>,
    },
    /// Acting would need more memory than there is, or than [`format::MOST_MEMORY`].
    ///
    /// [`format::MOST_MEMORY`]: crate::format::MOST_MEMORY
    Memory {
        /// Bytes that would be needed; the largest number if that is beyond counting.
        bytes: usize,
    },
    /// An observation or an action of another length than the policy's.
    Length {
        /// `observation` or `action`.
        what: &'static str,
        /// The policy's.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A number that is infinite or not a number.
    NotFinite {
        /// Which: `observation`, `target`, `reward` or `action`.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPolicy { reason } => {
                write!(formatter, "not a file of `rtg export --act`: {reason}")
            }
            Self::Version { found } => write!(
                formatter,
                "version '{found}' of the format is unknown (expected {})",
                crate::format::VERSION
            ),
            Self::Checksum => write!(formatter, "the checksum differs: the file is damaged"),
            Self::Missing { name } => write!(formatter, "'{name}' is missing"),
            Self::Unexpected { name } => write!(formatter, "'{name}' is unexpected"),
            Self::Invalid { name } => write!(formatter, "'{name}' has an invalid value"),
            Self::Shape {
                name,
                expected,
                found,
            } => write!(
                formatter,
                "'{name}' is {found:?}, the policy needs {expected:?}"
            ),
            Self::Memory { bytes } => {
                write!(
                    formatter,
                    "acting needs {bytes} bytes of memory, which is too much"
                )
            }
            Self::Length {
                what,
                expected,
                found,
            } => write!(
                formatter,
                "the {what} has {found} numbers instead of {expected}"
            ),
            Self::NotFinite { what } => write!(formatter, "the {what} is not a finite number"),
        }
    }
}

impl core::error::Error for Error {}
