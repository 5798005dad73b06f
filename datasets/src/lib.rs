//! Offline trajectory datasets: from files to batches.
//!
//! ```text
//! Minari: HDF5, Arrow, Parquet --\
//! D4RL, d3rlpy, pickles, .npz, ---> Source -> Dataset --> Normaliser, ReturnSummary
//! CSV, Parquet, LeRobot, a journal /   |          |   \---> doctor::examine -> findings
//!                                     |          \-------> WindowSampler -> Batch
//!                                     \-> Sink: Minari, D4RL
//! ```
//!
//! [`open()`] reads a dataset into memory as contiguous `f64` columns, [`Dataset`]. Modules above
//! it do not depend on the storage format. [`sample`] cuts training windows, [`statistics`]
//! describes the numbers, [`doctor`] finds what is wrong with them. All reading ends in a
//! [`Dataset`] or an [`Error`] with a hint: damaged and hostile files are refused.

mod budget;
pub mod convert;
mod csv;
mod d3rlpy;
mod d4rl;
mod dataset;
pub mod doctor;
mod env_spec;
mod episode;
mod error;
mod finding;
mod flat;
mod gather;
mod hdf5;
mod input;
pub mod journal;
mod json;
mod mapping;
mod memory;
mod minari;
mod numpy;
mod open;
mod pickle;
mod quiet;
pub mod recording;
#[cfg(feature = "remote")]
pub mod remote;
pub mod sample;
pub mod select;
pub mod splitters;
mod staging;
pub mod statistics;
pub mod store;
mod table;

pub use budget::Budget;
pub use convert::{Summary, Target, convert};
pub use dataset::{Dataset, Defects, Info, Part};
pub use env_spec::{EnvSpec, WrapperSpec};
pub use episode::{Episode, EpisodeView, returns_to_go};
pub use error::{EpisodeColumn, Error};
pub use finding::{Finding, Severity};
pub use journal::Journal;
pub use memory::free_memory;
pub use minari::{MinariFormat, datasets_root};
pub use open::{open, open_source, open_source_within, open_with, open_within};
pub use recording::{Contents, RecordedEpisode, Recording, Sink, Source};
pub use sample::{Batch, Prefetcher, ReplayBuffer, Sampler, TransitionConfig, TransitionSampler};
pub use sample::{Transitions, WindowConfig, WindowSampler};
pub use select::{Selection, TopBy, mix};
pub use statistics::{Normaliser, ReturnSummary};
pub use table::columns;
