//! The CPU engine: the numbers of a Decision Transformer, and nothing else.
//!
//! # Letters
//!
//! B windows in a batch, K steps of context, T = 3 K - 1 tokens of a full window, C width, H heads, d = C / H, L
//! layers, S numbers in an observation, A numbers in an action. All matrices are row-major; a weight is \[in,
//! out\].
//!
//! # The model
//!
//! Steps become tokens ([`embedding`]), normed and dropped; L blocks of causal [`attention`] and MLP, each
//! behind a [`layer_norm`] and beside a residual stream; a last norm; and the action of each step from its
//! observation token ([`loss`]). All parameters lie in one flat buffer ([`Layout`]), and gradients and moments
//! have the same layout, so that clipping and [`adamw`] are loops over numbers.
//!
//! # How a step flows
//!
//! [`Engine::loss_and_gradient`] gives the loss and, in the same call, its gradient:
//!
//! 1. The weights and their transposes are packed into panels, once for all threads ([`linear`]).
//! 2. The windows are cut into one run of neighbours per thread, and each run into groups of about six windows. A
//!    group's valid tokens are the rows of every matrix. Padding is not skipped: it was never there.
//! 3. A thread takes a group through all layers, to the loss, and back through all layers ([`trunk`]), adding to a
//!    gradient of its own. Only one group's activations exist in a thread, a few megabytes, which stay in the cache.
//! 4. The threads meet once: their gradients are added up in the order of the threads.
//!
//! Nine tenths of the time go into one register tile, `linear::cpu::tile`, at the speed of the CPU's
//! multiply-add units. What is not a product happens as a tile leaves the registers (`linear::finish`: bias,
//! activation, [`dropout`], residual) or between products on a few rows (norms, softmax).
//!
//! # Work that is not done
//!
//! The last action token of a window leads nowhere and does not exist. In the last layer only observation tokens
//! ask: its queries, projection and MLP have K rows, not T; with few heads its keys and values are not computed either,
//! because their weights can as well be applied to the K queries (`attention::direct`). Queries meet no later keys. Dropout masks are a
//! function of key, site, window, token and channel, so none is stored and padding draws none. Probabilities are
//! computed twice and kept never.
//!
//! # Half precision
//!
//! With [`Precision::Bf16`] the large products take factors of eight significant bits, two to a lane, and add up in
//! f32. Weights are packed so, and each product copies its left factor so; no activation, gradient or parameter is
//! kept so. Embeddings, attention and the head stay f32: their products are small.
//!
//! # The same bits
//!
//! Every sum has one order: an element of a product is one chain of multiply-adds along the depth, whatever rows
//! are computed with it. So a step gives the same bits again for the same number of threads, instruction set and
//! precision, and [`Acting`] gives a row the same action whichever rows act beside it.
//!
//! # On a GPU
//!
//! [`cuda`] takes the same step to a device: the same flat parameters, masks, windows and rates, with kernels of its own
//! (`<op>.cu` beside each `cpu.rs`, `cuda.rs` for their launches) and all windows of a batch at once. [`gather`] cuts
//! them there.
//!
//! # Where things are
//!
//! An op is a folder: `mod.rs` has the maths and the tests, `reference.rs` the naive loops in f32 or f64, `cpu.rs`
//! the fast ones, written once over [`simd`] and compiled for each instruction set. `trunk` composes the ops,
//! `engine` shares the work out, `acting` computes just the next action.
#![expect(
    clippy::inline_always,
    reason = "vector code must end up in the function that is compiled for the CPU's features"
)]

mod acting;
pub mod activation;
pub mod adamw;
pub mod attention;
pub(crate) mod buffer;
pub mod cuda;
pub mod dropout;
pub mod embedding;
mod engine;
pub mod gather;
pub mod layer_norm;
mod layout;
pub mod linear;
pub mod loss;
pub mod mlp;
mod precision;
pub mod real;
pub mod simd;
#[cfg(test)]
pub(crate) mod testing;
pub mod trunk;
mod windows;

pub use acting::{Acting, Scene};
pub use activation::Activation;
pub use dropout::{Dropout, Site};
pub use engine::Engine;
pub use layout::{Layout, Shape, View};
pub use loss::{Denominator, Head, Objective};
pub use precision::Precision;
pub use simd::Level;
pub use windows::{Side, Windows};
