//! Training batches drawn from trajectories: windows, transitions, and replay buffers of both.
//!
//! | | rows are | drawn from |
//! |---|---|---|
//! | [`windows`] | `K` consecutive steps of one episode | a [`Dataset`](crate::Dataset) |
//! | [`transitions`] | `(s, a, r, s')`, also over `n` steps | a [`Dataset`](crate::Dataset) |
//! | [`replay`] | the same transitions | the last steps of an agent |
//! | [`trajectories`] | windows | the best recorded and the last own episodes of an agent |
//!
//! A dataset's numbers are converted once, into `f32` in the model's units, and stored in blocks of
//! pages (`blocks.rs`): in memory for a dataset in memory, in a file next to its store for a mapped
//! one. Either way the same generator gives the same batches, bit for bit.
//!
//! Shapes: `B` rows of a batch, `K` steps of context, `S` observation numbers, `A` action numbers.

mod actions;
mod blocks;
mod draws;
mod prefetch;
pub mod replay;
pub mod trajectories;
pub mod transitions;
pub mod windows;

use rand::Rng;

pub use self::actions::ActionMap;
pub use self::prefetch::Prefetcher;
pub use self::replay::{Experience, ReplayBuffer, ReplayInfo};
pub use self::trajectories::{NewTrajectory, TrajectoryBuffer, TrajectoryInfo};
pub use self::transitions::{
    ReturnsToGo, RewardTransform, TransitionConfig, TransitionSampler, Transitions, TruncatedLast,
};
pub use self::windows::{
    Anchor, Batch, Columns, PaddedObservation, Padding, Side, WindowConfig, WindowSampler,
};

/// Rows that are drawn before the first of them is copied, so that memory can fetch them meanwhile.
const AHEAD: usize = 8;

/// Draws batches: the same generator state gives the same batch.
pub trait Sampler {
    /// What is drawn. A reused batch allocates only when it grows.
    type Batch: Default;

    /// Fills `batch` with `rows` rows.
    fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Self::Batch);
}
