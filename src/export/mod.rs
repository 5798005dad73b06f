//! A trained policy in other programs' formats, and back.
//!
//! What a model computes is a [`Computation`](crate::algorithms::Computation); a format writes it
//! down. [`onnx`] has everything from the environment's numbers to its actions; [`hugging_face`] has
//! the network of a Decision Transformer and the names of `transformers`.

mod error;
pub mod hugging_face;
pub mod onnx;

pub use self::error::Error;
