//! What is computed of each token by itself between the attention of two layers: projection, norm
//! and MLP with their residual connections, and the next layer's norm, queries, keys and values.
//!
//! A GPU computes all of it in one launch in models that fit; the CPU, and a GPU in other models,
//! compute the parts one by one.

pub(crate) mod cuda;
