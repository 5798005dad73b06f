//! The MLP of a group's rows.

use super::Parameters;
use crate::activation::Activation;
use crate::activation::cpu::{Activate, ActivateBackward};
use crate::buffer::Buffer;
use crate::decision_transformer::network::branch::{Branch, Gradients};
use crate::decision_transformer::network::packing::{Matrix, Packing};
use crate::decision_transformer::network::{Factors, Network};
use crate::linear::cpu::{Left, Panels, product};

/// Packed weights, and transposed for backward.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    up: Panels,
    down: Panels,
    up_transposed: Panels,
    down_transposed: Panels,
}

/// What the forward pass stores.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// The derivative of the activation; only GELU needs it.
    slope: Buffer,
    hidden: Buffer,
}

/// The gradient of the hidden rows.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    hidden: Buffer,
}

impl Weights {
    /// Packs the weights.
    pub(crate) fn pack(&mut self, at: &Parameters, packing: Packing, parameters: &[f32]) {
        let Packing {
            level, precision, ..
        } = packing;
        let up = Matrix::of(parameters, &at.up);
        let down = Matrix::of(parameters, &at.down);
        up.pack(level, self.up.hold(precision));
        down.pack(level, self.down.hold(precision));
        if packing.backward() {
            up.pack_transposed(level, self.up_transposed.hold(precision));
            down.pack_transposed(level, self.down_transposed.hold(precision));
        }
    }
}

/// Computes the branch from `normed`, and fills `tape`, except for the slopes if nothing learns
/// from them.
pub(crate) fn forward(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    (tape, learns): (&mut Tape, bool),
    branch: Branch<'_>,
) {
    let (c, inner) = (at.down.bias.len(), at.up.bias.len());
    let rows = normed.len() / c;
    tape.hidden.resize(rows * inner);
    if learns && network.shape.activation == Activation::Gelu {
        tape.slope.resize(rows * inner);
    }
    let finish = Activate {
        activation: network.shape.activation,
        bias: network.of(&at.up.bias),
        slope: &mut tape.slope,
        output: &mut tape.hidden,
        stride: inner,
    };
    let left = Left::rows(normed, rows, c);
    product(network.level, left, weights.up.all(), finish);
    let finish = branch.finish(network.of(&at.down.bias));
    let left = Left::rows(&tape.hidden, rows, inner);
    product(network.level, left, weights.down.all(), finish);
}

/// Computes the gradients; `tape` is that of the forward pass of `normed`.
pub(crate) fn backward(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let (c, inner) = (at.down.bias.len(), at.up.bias.len());
    let Gradients {
        branch,
        normed: dnormed,
        parameters: gradient,
    } = gradients;
    let (precision, rows) = (network.precision, branch.len() / c);
    let hidden = &mut scratch.hidden;
    let down = (&*tape.hidden, branch);
    network.weight_gradient(precision, &at.down, down, factors, gradient);
    hidden.resize(rows * inner);
    let finish = ActivateBackward {
        activation: network.shape.activation,
        slope: &tape.slope,
        output: &tape.hidden,
        to: hidden,
        stride: inner,
    };
    let left = Left::rows(branch, rows, c);
    product(network.level, left, weights.down_transposed.all(), finish);
    network.weight_gradient(precision, &at.up, (normed, hidden), factors, gradient);
    network.linear_backward((hidden, inner), weights.up_transposed.all(), (dnormed, c));
}
