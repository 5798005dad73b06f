//! GELU as one operation on dfdx's tape.
//!
//! `gelu(x) = x Phi(x)` with the exact normal distribution function Phi, so that its slope is
//! `Phi(x) + x phi(x)`. dfdx 0.13 has `accurate_gelu`, whose derivative has a density term too
//! large by a factor of sqrt(2) (its own test expects 1.1835 for the slope at 1; the right value is
//! 1.0833), so values and slope come from the engine's reference.

use dfdx::prelude::*;

use super::transformer::Traced;
use rtg_kernels::activation::{Activation, reference};

/// Exact GELU of each element.
pub(super) fn gelu<S: dfdx::shapes::Shape>(x: Traced<S>) -> Traced<S> {
    let (x, mut tape) = x.split_tape();
    let inputs = x.as_vec();
    let values = reference::forward(Activation::Gelu, &inputs);
    let out = x.device().tensor_from_vec(values, *x.shape());
    let (input, output) = (x.ghost(), out.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
        let gradient = gradients.get_or_alloc_mut(&input)?;
        let own = reference::backward(Activation::Gelu, &inputs, &upstream);
        gradient
            .iter_mut()
            .zip(own)
            .for_each(|(slot, value)| *slot += value);
        Ok(())
    });
    out.put_tape(tape)
}
