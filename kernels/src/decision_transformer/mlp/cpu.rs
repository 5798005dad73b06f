//! The MLP of a group's rows.

use super::Parameters;
use crate::activation::Activation;
use crate::activation::cpu::{Activate, ActivateBackward};
use crate::buffer::Buffer;
use crate::decision_transformer::network::branch::{Branch, Gradients};
use crate::decision_transformer::network::packing::{Matrix, Packing};
use crate::decision_transformer::network::{Factors, Network};
use crate::linear::cpu::{Left, Panels, product};
use std::ops::Range;

/// Packed weights, and transposed for backward.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(super) up: Panels,
    pub(super) down: Panels,
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

impl Tape {
    /// Makes room for this many rows, without their slopes.
    pub(crate) fn resize(&mut self, at: &Parameters, rows: usize) {
        self.hidden.resize(rows * at.up.bias.len());
    }

    /// Makes room for this many rows from which the network learns.
    pub(crate) fn resize_to_learn(&mut self, at: &Parameters, activation: Activation, rows: usize) {
        self.resize(at, rows);
        if activation == Activation::Gelu {
            self.slope.resize(self.hidden.len());
        }
    }
}

/// Computes the branch from `normed`, some rows of all, and fills theirs of `tape`.
pub(crate) fn forward(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    (tape, rows): (&mut Tape, Range<usize>),
    branch: Branch<'_>,
) {
    let (c, inner) = (at.down.bias.len(), at.up.bias.len());
    let numbers = rows.start * inner..rows.end * inner;
    let hidden = &mut tape.hidden[numbers.clone()];
    let finish = Activate {
        activation: network.shape.activation,
        bias: network.of(&at.up.bias),
        slope: tape.slope.get_mut(numbers).unwrap_or_default(),
        output: &mut *hidden,
        stride: inner,
    };
    let left = Left::rows(normed, rows.len(), c);
    product(network.level, left, weights.up.all(), finish);
    let finish = branch.finish(network.of(&at.down.bias));
    let left = Left::rows(hidden, rows.len(), inner);
    product(network.level, left, weights.down.all(), finish);
}

/// Computes the gradients of some rows; `tape` is that of the forward pass of all.
pub(crate) fn backward(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    (normed, tape, rows): (&[f32], &Tape, Range<usize>),
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let (c, inner) = (at.down.bias.len(), at.up.bias.len());
    let Gradients {
        branch,
        normed: dnormed,
        parameters: gradient,
    } = gradients;
    let numbers = rows.start * inner..rows.end * inner;
    let output = &tape.hidden[numbers.clone()];
    let (precision, hidden) = (network.precision, &mut scratch.hidden);
    network.weight_gradient(precision, &at.down, (output, branch), factors, gradient);
    hidden.resize(numbers.len());
    let finish = ActivateBackward {
        activation: network.shape.activation,
        slope: tape.slope.get(numbers).unwrap_or_default(),
        output,
        to: hidden,
        stride: inner,
    };
    let left = Left::rows(branch, rows.len(), c);
    product(network.level, left, weights.down_transposed.all(), finish);
    network.weight_gradient(precision, &at.up, (normed, hidden), factors, gradient);
    network.linear_backward((hidden, inner), weights.up_transposed.all(), (dnormed, c));
}
