//! The representation between all storage formats: an episode as it was recorded, type by type.
//!
//! ```text
//! Minari HDF5, Arrow, Parquet --\                       /--> Minari HDF5, Arrow, Parquet
//! D4RL, pickles, d3rlpy, npz, ---> Source: Recording, ---> D4RL
//! CSV, a journal ---------------/  RecordedEpisode ...  \--> flatten --> Dataset
//! ```
//!
//! A [`Dataset`](crate::Dataset) is flat `f64` columns for training. A [`RecordedEpisode`] is what
//! the file holds: nested observations and actions, infos, every number in its own type. A
//! [`Source`] reads episodes one by one and a [`Sink`] writes them one by one, so that a conversion
//! needs memory for one episode only.

mod array;
mod description;
mod episode;
mod flatten;
mod image;
mod node;
pub(crate) mod spaces;

pub use array::Array;
pub(crate) use array::{name as dtype_name, named as dtype_named, product, size as dtype_size};
pub(crate) use description::{Layout, MAX_EPISODE_STEPS};
pub use description::{Recording, RecordingSpace};
pub(crate) use episode::insert;
pub use episode::{Attribute, RecordedEpisode};
pub(crate) use flatten::{Flattener, flat_space, flat_width, promoted};
pub use node::Node;

use std::path::Path;

use crate::{Budget, Error, Finding};

/// How much of a dataset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Everything stored.
    Everything,
    /// The part that a [`Dataset`](crate::Dataset) needs: no infos, no attributes of episodes but
    /// their seeds.
    Steps,
}

/// Reads episodes, one after the other.
pub trait Source {
    /// The description, known before the first episode.
    fn recording(&self) -> &Recording;

    /// The next episode, `None` after the last one.
    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error>;

    /// The file or directory, for messages.
    fn path(&self) -> &Path;

    /// The budget for reading it.
    fn budget(&self) -> Budget {
        Budget::default()
    }

    /// The reader's findings, complete after the last episode.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Content that the reader omits, a few words each.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Writes episodes, one after the other.
pub trait Sink {
    /// Writes an episode.
    fn write(&mut self, episode: &RecordedEpisode) -> Result<(), Error>;

    /// Completes the dataset and renames it to its final name; without this call nothing remains.
    /// Returns sentences about what the format could not store.
    fn finish(self: Box<Self>) -> Result<Vec<String>, Error>;
}
