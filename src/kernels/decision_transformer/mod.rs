//! The numbers of a Decision Transformer, on the CPU and on a GPU.
//!
//! Letters are those of [`kernels`](super): B windows in a batch, K steps of context, T = p K - 1 tokens of a
//! full window, where a step has p = 3 tokens, or 2 where the return-to-go is none ([`Condition`]).
//!
//! # The model
//!
//! Steps become tokens ([`embedding`]), normed and dropped; L blocks of a mixer ([`MixerKind`]) and an MLP,
//! each behind a norm and beside a residual stream; a last norm, which may depend on the return-to-go; and the
//! action of each step from its observation token. All parameters are stored in one flat buffer ([`Layout`]), and gradients and moments have
//! the same layout, so that clipping and AdamW are loops over numbers.
//!
//! # How a step flows
//!
//! [`Engine::loss_and_gradient`] gives the loss and, in the same call, its gradient:
//!
//! 1. The weights and their transposes are packed into panels, once for all threads.
//! 2. The windows are cut into one run of neighbours per thread, and each run into groups of about six windows.
//!    A group's valid tokens are the rows of every matrix; there are no rows for padding.
//! 3. A thread takes a group through all layers, to the loss, and back through all layers ([`trunk`]), adding to
//!    a gradient of its own. Only one group's activations exist in a thread, a few megabytes, which stay in the
//!    cache.
//! 4. The threads meet once: their gradients are added up in the order of the threads.
//!
//! Nine tenths of the time go into one register tile, `linear::cpu::tile`, at the speed of the CPU's
//! multiply-add units. What is not a product happens as a tile leaves the registers (`epilogue`: bias,
//! activation, dropout, residual) or between products on a few rows (norms, softmax).
//!
//! # Work that is not done
//!
//! The last action token of a window leads nowhere and does not exist. In the last layer only observation tokens
//! are queries: its queries, projection and MLP have K rows, not T; with few heads its keys and values are not
//! computed either, because their weights can as well be applied to the K queries (`attention::direct`). No
//! query is multiplied with later keys. Dropout masks are a function of key, site, window, token and channel, so
//! none is stored and padding draws none. Attention probabilities are recomputed in the backward pass instead of
//! stored.
//!
//! # Precision and bits
//!
//! Embeddings, attention and the head are f32 in either precision: their products are small. A step gives the
//! same bits again for the same number of threads, instruction set and precision, and [`Acting`] gives a row the
//! same action whichever rows act beside it.
//!
//! # On a GPU
//!
//! [`cuda`] takes the same step to a device: the same flat parameters, masks, windows and rates, and all windows
//! of a batch at once. [`gather`] cuts them there.

mod acting;
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
mod shape;
#[cfg(test)]
pub(crate) mod testing;
pub mod trunk;
mod windows;

pub use acting::{Acting, Scene};
pub use engine::Engine;
pub use layout::Layout;
pub use shape::{Condition, MixerKind, Shape};
pub use windows::{Side, Windows};
