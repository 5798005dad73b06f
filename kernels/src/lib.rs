//! The numeric kernels: ops, and networks composed of them.
//!
//! # Letters
//!
//! B sequences in a batch, T tokens or rows of one, C width, H heads, d = C / H, L layers, S
//! numbers in an observation, A numbers in an action. K is the number of steps in a window of a
//! sequence model. All matrices are row-major; a weight is \[in, out\].
//!
//! # Ops
//!
//! An op is a folder: `mod.rs` has the maths and the tests, `reference.rs` the naive loops in f32
//! or f64, `cpu.rs` the fast ones, written once over [`simd`] and compiled for each instruction
//! set; for a GPU, `<op>.cu` and, in `cuda.rs`, its launches on a [`device`]. Ops do not depend on
//! a model: [`linear`] and its epilogues (`epilogue`), [`activation`], [`attention`],
//! [`causal_convolution`], [`selective_scan`], [`lstm`], [`layer_norm`], [`adaptive_norm`],
//! [`dropout`], [`loss`], [`expectile`], [`likelihood`], [`adamw`], [`lamb`].
//!
//! # Models
//!
//! [`decision_transformer`] is composed of ops, and uses nothing else.
//!
//! # Half precision
//!
//! With [`Precision::Bf16`] large products take factors of eight significant bits, two to a lane,
//! and add up in f32. Weights are packed so, and each product copies its left factor so; no
//! activation, gradient or parameter is kept so.
//!
//! # The same bits
//!
//! Every sum has one order: an element of a product is one chain of multiply-adds along the depth,
//! whatever rows are computed with it. So an op gives the same bits again for the same instruction
//! set and precision, whichever thread computes which rows.
#![expect(
    clippy::inline_always,
    reason = "vector code must end up in the function that is compiled for the CPU's features"
)]

pub mod activation;
pub mod adamw;
pub mod adaptive_norm;
pub mod attention;
pub(crate) mod buffer;
pub mod causal_convolution;
pub mod decision_transformer;
pub mod device;
pub mod dropout;
pub(crate) mod epilogue;
pub mod expectile;
pub mod hash;
pub mod lamb;
pub mod layer_norm;
pub mod likelihood;
pub mod linear;
pub mod linear_attention;
pub mod loss;
pub mod lstm;
pub mod mlp;
pub(crate) mod parameters;
mod precision;
pub mod real;
pub mod selective_scan;
pub mod simd;
pub mod threads;
pub mod testing;

pub use activation::Activation;
pub use dropout::{Dropout, Site};
pub use likelihood::Deviation;
pub use loss::{Denominator, Head, Objective};
pub use parameters::View;
pub use precision::Precision;
pub use simd::Level;
