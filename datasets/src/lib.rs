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
//!
//! ```
//! use rand_pcg::{Pcg64, rand_core::SeedableRng};
//! use rtg_datasets::{Batch, Dataset, Episode, Info, Normaliser, WindowConfig, WindowSampler};
//! use rtg_envs::{BoxSpace, Space};
//!
//! // As `rtg_datasets::open("D4RL/pen/human-v2", None)?` returns it, but made here: two
//! // observations of two numbers, one action between them.
//! let space = |width| Space::Box(BoxSpace::unbounded(width));
//! let mut dataset = Dataset::new(Info::new("mine", space(2), space(1)));
//! dataset.push(Episode {
//!     observations: vec![0.5, -1.0, 0.7, -0.8],
//!     actions: vec![0.1],
//!     rewards: vec![2.0],
//!     terminated: true,
//!     ..Episode::default()
//! })?;
//! assert_eq!((dataset.episodes(), dataset.steps()), (1, 1));
//! assert_eq!(dataset.episode(0).return_(), 2.0);
//!
//! let normaliser = Normaliser::of(&dataset, Normaliser::EPSILON);
//! let config = WindowConfig::official(20, 1.0, 1000);
//! let sampler = WindowSampler::new(&dataset, &normaliser, config)?;
//! let mut batch = Batch::default();
//! sampler.sample(&mut Pcg64::seed_from_u64(0), 64, &mut batch);
//! assert_eq!(batch.actions.len(), 64 * 20);
//! assert_eq!(batch.valid(0), 19..20); // One step behind nineteen places of padding.
//! # Ok::<(), rtg_datasets::Error>(())
//! ```

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
pub use dataset::{Dataset, Defects, Info, LabelKind, Labels, Part, hash_of};
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
