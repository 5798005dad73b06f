//! The computations of a Decision Transformer, on the CPU and on a GPU.
//!
//! Letters are those of [`kernels`](super): B windows in a batch, K steps of context, T = p K - 1
//! tokens of a full window, where a step has p = 3 tokens, or 2 if the return-to-go is not a token
//! ([`Condition`]).
//!
//! # The model
//!
//! Steps become tokens ([`embedding`]), followed by a norm and dropout. Then come L blocks of a
//! mixer ([`MixerKind`]) and an MLP, each with a norm before it and a residual connection around
//! it; a last norm, which may depend on the return-to-go; and a head that predicts the action of
//! each step from its observation token. All parameters are stored in one flat buffer ([`Layout`]),
//! and gradients and moments have the same layout, so that clipping and AdamW are loops over
//! numbers.
//!
//! # A training step
//!
//! [`Engine::loss_and_gradient`] computes the loss and, in the same call, its gradient:
//!
//! 1. The weights and their transposes are packed into panels, once for all threads.
//! 2. Each thread gets a contiguous run of windows, which is divided into groups of about six
//!    windows, four if the mixer is a scan, twelve if it is an LSTM. A group's valid tokens are the
//!    rows of every matrix; there are no rows for padding.
//! 3. A thread computes a group's forward pass through all layers, its loss, and its backward pass
//!    ([`trunk`]), which adds to the thread's gradient. A thread stores the activations of one
//!    group only, a few megabytes, which stay in the cache.
//! 4. The threads synchronise once: their gradients are summed in the order of the threads.
//!
//! Nine tenths of the time are spent in one register tile, `linear::tile`, at the speed of the
//! CPU's multiply-add units. Other operations are applied as a tile is written from the registers
//! (`epilogue`: bias, activation, dropout, residual) or between products on a few rows (norms,
//! softmax).
//!
//! # Work that is avoided
//!
//! The last action token of a window has no effect and is omitted. In the last layer only
//! observation tokens are queries: its queries, projection and MLP have K rows, not T; with few
//! heads its keys and values are not computed either, because their weights can be applied to the K
//! queries instead (`attention::direct`). No query is multiplied with later keys. Dropout masks are
//! a function of key, site, window, token and channel, so none is stored and none is computed for
//! padding. Attention probabilities are recomputed in the backward pass instead of stored.
//!
//! # Precision and determinism
//!
//! Embeddings, attention and the head are f32 in either precision: their products are small. A step
//! repeats its bits for the same number of threads, instruction set and precision, and [`Acting`]
//! computes the same action for a row whichever other rows act.
//!
//! # On a GPU
//!
//! [`cuda`] computes the same step on a device: with the same flat parameters, masks, windows and
//! rates, and all windows of a batch at once. [`gather`] gathers them there.

mod acting;
pub mod bins;
pub(crate) mod block;
pub mod cuda;
pub mod embedding;
mod engine;
pub mod gather;
pub(crate) mod group;
mod layout;
pub(crate) mod mixer;
pub(crate) mod mlp;
pub(crate) mod network;
pub mod position;
pub(crate) mod positionwise;
mod shape;
#[cfg(test)]
pub(crate) mod testing;
pub mod trunk;
mod windows;

pub use acting::{Acting, Memory, StepInputs};
pub use engine::Engine;
pub use layout::Layout;
pub use shape::{Condition, Estimate, MixerKind, NormPlacement, Prediction, Shape};
pub use windows::{LossTargets, Side, Windows};
