//! A trained policy in other programs' formats, and back.
//!
//! What a model computes is a [`Computation`](crate::algorithms::Computation); a format writes it
//! down. [`onnx`] has everything from the environment's numbers to its actions; [`hugging_face`]
//! has the network of a Decision Transformer and the names of `transformers`.

mod error;
pub mod hugging_face;
pub mod onnx;

pub use self::error::Error;

use crate::algorithms::Sequence;

/// Refuses members of the Decision Transformer's family that the formats' writers do not know.
fn check_switches(policy: &Sequence, what: &'static str) -> Result<(), Error> {
    if policy.shape.has_return_tokens_and_attention() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what,
        reason: "only condition = \"token\" with mixer = \"attention\" is written".to_owned(),
    })
}
