//! The training step on a GPU: the one of the CPU engine, as one CUDA graph.
//!
//! ```text
//! Trainer      plan in, outcomes out; parameters and moments in the flat layout of the CPU engine
//!  Sequence    the launches of a step, as data
//!  Memory      where everything lies
//!   Backend    see `kernels::device`
//! ```
//!
//! What is computed is what the CPU engine computes, with the same masks, windows and rates, in other orders of
//! addition. Every sum has one order, so a device gives the same bits again.

mod memory;
mod profile;
mod sequence;
#[cfg(test)]
mod tests;
mod trainer;

pub use profile::KernelTime;
pub use trainer::{Outcome, Plan, Setup, Trainer};
