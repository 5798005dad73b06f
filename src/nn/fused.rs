//! Where dfdx's tape meets the engine: the whole model and its loss as one operation.
//!
//! The engine computes the loss and the gradient of every parameter in one pass over a few windows
//! at a time, so that their activations never leave the cache. The tape node keeps that gradient and
//! adds it, times the upstream gradient of the loss, to the parameters' entry in dfdx's
//! [`Gradients`].

use dfdx::prelude::*;

use super::transformer::Traced;
use crate::kernels::decision_transformer::{Engine, Windows};
use crate::kernels::{Denominator, Dropout, Objective};

/// The scalar loss of the model with these parameters on these windows.
pub(super) fn loss(
    engine: &mut Engine,
    parameters: Traced<(usize,)>,
    windows: &Windows,
    objective: Objective,
    denominator: Denominator,
    dropout: Option<&Dropout>,
) -> Traced<()> {
    let (parameters, mut tape) = parameters.split_tape();
    let values = parameters.as_vec();
    let mut gradient = vec![0.0; values.len()];
    let loss = engine.loss_and_gradient(
        &values,
        windows,
        objective,
        denominator,
        dropout,
        &mut gradient,
    );
    let out = parameters.device().tensor(loss as f32);
    let (input, output) = (parameters.ghost(), out.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.get_or_alloc_mut(&output)?[0];
        let total = gradients.get_or_alloc_mut(&input)?;
        for (slot, &value) in total.iter_mut().zip(&gradient) {
            *slot += upstream * value;
        }
        Ok(())
    });
    out.put_tape(tape)
}
