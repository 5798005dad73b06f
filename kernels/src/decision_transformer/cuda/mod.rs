//! The training step on a GPU: that of the CPU engine, as one CUDA graph.
//!
//! ```text
//! Trainer      queues of steps in, metrics out; parameters and moments in the CPU engine's layout
//! DeviceActing the forward pass alone, of many episodes in lock-step
//!  Sequence    the launches of a step, as data
//!  Memory      the addresses of everything
//!   Backend    see `kernels::device`
//! ```
//!
//! It computes what the CPU engine computes, with the same masks, windows and rates, in other
//! orders of addition. Every sum has a fixed order, so a device repeats its bits.

mod acting;
mod memory;
mod profile;
mod sequence;
#[cfg(test)]
mod tests;
mod trainer;

pub use acting::DeviceActing;
pub use profile::KernelTime;
pub use trainer::{StepMetrics, StepQueue, Trainer, TrainerSetup};
