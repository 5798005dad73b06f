//! Export of trained policies to other programs' formats, and import.
//!
//! A model's computation is described by [`Computation`](crate::algorithms::Computation), which
//! each format serialises. [`onnx`] and [`act`] contain everything from the environment's
//! observations to its actions; [`hugging_face`] the network of a Decision Transformer, under the
//! names of `transformers`.

pub mod act;
mod error;
pub mod hugging_face;
pub mod onnx;

pub use self::error::Error;

use crate::algorithms::Sequence;
use rtg_kernels::decision_transformer::NormPlacement;

/// Refuses variants of the Decision Transformer that the formats do not support.
fn check_switches(policy: &Sequence, what: &'static str) -> Result<(), Error> {
    let reason = if !policy.shape.has_return_tokens_and_attention() {
        "only condition = \"token\" with mixer = \"attention\" is supported"
    } else if policy.shape.norm_placement != NormPlacement::Pre {
        "only norm_placement = \"pre\" is supported"
    } else {
        return Ok(());
    };
    Err(Error::Unsupported {
        what,
        reason: reason.to_owned(),
    })
}
