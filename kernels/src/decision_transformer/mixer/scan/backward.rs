//! Backward: from the gradient at the branch to those at the normed tokens and the parameters.

use super::forward::{multiply, of};
use super::parts::{self, parts};
use super::{Parameters, Scratch, Tape, Weights, rows_at_a_time};
use crate::decision_transformer::group::pieces;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::branch::Gradients;
use crate::decision_transformer::network::{Factors, Network};
use crate::epilogue::{Accumulate, Store};
use crate::linear::cpu::{Left, product};
use crate::precision::Precision;
use crate::selective_scan::{TAPS, cpu, elementwise};
use std::ops::Range;

/// The gradients, with `tape` as forward left it for `normed`.
pub(in super::super) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let (network, c) = (layer.network, at.width);
    let Gradients {
        branch,
        normed: dnormed,
        parameters,
    } = gradients;
    dnormed.resize(normed.len());
    scratch.decay.resize(weights.decay.len());
    scratch.decay.fill(0.0);
    for piece in pieces(layer.group.tokens, rows_at_a_time(network.shape)).rev() {
        let outputs = parts::outputs(at, layer, &piece);
        let work = (layer, &piece, &outputs);
        let memory = (&mut *scratch, &mut *factors);
        let branch = &branch[of(&outputs, c)];
        gates(at, work, weights, (tape, branch), memory, parameters);
        scans(at, work, weights, (tape, scratch), parameters);
        let memory = (&mut *scratch, &mut *factors);
        choices(at, network, weights, (tape, &piece), memory, parameters);
        filters(at, layer, &piece, (tape, scratch), parameters);
        let memory = (&*scratch, &mut *factors);
        inputs_gradient(at, work, (normed, tape), memory, parameters);
        normed_gradient(at, work, weights, scratch, dnormed);
    }
    let gradient = parameters[at.log_decay.clone()].iter_mut();
    for ((to, d), a) in gradient.zip(&*scratch.decay).zip(&weights.decay) {
        *to += d * a;
    }
}

/// A layer, some of its rows, and the rows of their outputs.
type Work<'a> = (Layer<'a>, &'a Range<usize>, &'a Range<usize>);

/// From the gradient at the branch to those at y and z.
fn gates(
    at: &Parameters,
    (layer, _, outputs): Work<'_>,
    weights: &Weights,
    (tape, branch): (&Tape, &[f32]),
    (scratch, factors): (&mut Scratch, &mut Factors),
    parameters: &mut [f32],
) {
    let (network, c, e) = (layer.network, at.width, at.inner());
    let Scratch { gated, y, z, .. } = scratch;
    for rows in [&mut *gated, &mut *y, &mut *z] {
        rows.resize(outputs.len() * e);
    }
    let output = &weights.transposed.output;
    multiply(network, (branch, c), output, (y, e));
    let numbers = of(outputs, e);
    let given = (&tape.y[numbers.clone()], &tape.z[numbers]);
    elementwise::gate_backward(network.level, given.0, given.1, y, z, gated);
    let to = (&mut parameters[at.output.clone()], c);
    let (precision, x) = (network.precision, (&**gated, e));
    weight_gradient(network, precision, x, (branch, c), factors, to);
}

/// From the gradient at y to those at u, at the steps, at B and C, and at what the channels have.
fn scans(
    at: &Parameters,
    (layer, piece, outputs): Work<'_>,
    weights: &Weights,
    (tape, scratch): (&Tape, &mut Scratch),
    parameters: &mut [f32],
) {
    let (network, e, stride) = (layer.network, at.inner(), at.row());
    let Scratch {
        scan,
        y,
        u,
        steps,
        inputs,
        decay,
        ..
    } = scratch;
    u.resize((piece.len() + TAPS - 1) * e);
    steps.resize(piece.len() * e);
    inputs.resize(piece.len() * stride);
    for part in parts(at, layer, piece) {
        let rows = part.rows.start - piece.start..part.rows.end - piece.start;
        let dy = part.outputs.start - outputs.start..part.outputs.end - outputs.start;
        if part.behind == 0 {
            scan.begin(network.level, e);
        }
        let problem = part.problem(at, network, weights, &tape.channels);
        let mut to = cpu::Gradients {
            u: &mut u[of(&rows, e)],
            steps: &mut steps[of(&rows, e)],
            inputs: &mut inputs[rows.start * stride + at.rank()..],
            stride,
            decay,
            skip: &mut parameters[at.skip.clone()],
        };
        let (marks, dy) = (&tape.marks[part.marks], &y[of(&dy, e)]);
        cpu::backward(network.level, problem, marks, dy, scan, &mut to);
    }
}

/// From the gradients at the steps, B and C to more of that at u.
fn choices(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    (tape, piece): (&Tape, &Range<usize>),
    (scratch, factors): (&mut Scratch, &mut Factors),
    parameters: &mut [f32],
) {
    let (level, e, row, rank) = (network.level, at.inner(), at.row(), at.rank());
    let (exact, rows) = (Precision::F32, piece.len());
    let given = &tape.channels.inputs[of(piece, row)];
    let Scratch {
        u, steps, inputs, ..
    } = scratch;
    elementwise::step_backward(level, &tape.channels.steps[of(piece, e)], steps);
    let sums = &mut parameters[at.step.bias.clone()];
    let panels = factors.panels.hold(exact);
    panels.pack(level, steps, e, rows, e, Some(sums));
    // The columns of d among those of d, B and C.
    let left = Left {
        depth_stride: row,
        ..Left::columns(given, rows, rank)
    };
    let finish = Accumulate {
        to: &mut parameters[at.step.weight.clone()],
        stride: e,
    };
    product(level, left, panels.all(), finish);
    let finish = Store {
        to: inputs,
        stride: row,
    };
    let left = Left::rows(steps, rows, e);
    product(level, left, weights.transposed.step.all(), finish);
    let to = (&mut parameters[at.inputs.clone()], row);
    let x = (&tape.channels.u[of(piece, e)], e);
    weight_gradient(network, exact, x, (inputs, row), factors, to);
    let finish = Accumulate { to: u, stride: e };
    let left = Left::rows(inputs, rows, row);
    product(level, left, weights.transposed.inputs.all(), finish);
}

/// From the gradient at u to that at x.
fn filters(
    at: &Parameters,
    layer: Layer<'_>,
    piece: &Range<usize>,
    (tape, scratch): (&Tape, &mut Scratch),
    parameters: &mut [f32],
) {
    let (network, e) = (layer.network, at.inner());
    let Scratch {
        u, x: dx, behind, ..
    } = scratch;
    dx.resize(piece.len() * e);
    behind.resize((TAPS - 1) * e);
    for part in parts(at, layer, piece) {
        let rows = part.rows.start - piece.start..part.rows.end - piece.start;
        let (before, after) = (part.before.min(TAPS - 1), part.behind.min(TAPS - 1));
        let x = &tape.x[of(&(part.rows.start - before..part.rows.end), e)];
        // A part with tokens behind it is the last of its piece.
        let d = &mut u[of(&(rows.start..rows.end + after), e)];
        let length = rows.len() * e;
        d[length..].copy_from_slice(&behind[..after * e]);
        let (bank, gradient) = (network.of(&at.bank()), &mut parameters[at.bank()]);
        let dx = &mut dx[of(&rows, e)];
        elementwise::filter_backward(network.level, before, bank, x, d, dx, gradient);
        let first = length.min(behind.len());
        behind[..first].copy_from_slice(&d[..first]);
    }
}

/// The gradients of Wx and Wz.
fn inputs_gradient(
    at: &Parameters,
    (layer, piece, outputs): Work<'_>,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&Scratch, &mut Factors),
    parameters: &mut [f32],
) {
    let (network, c, e) = (layer.network, at.width, at.inner());
    let precision = network.precision;
    let asks = if layer.last { &tape.requested } else { normed };
    let (x, asks) = ((&normed[of(piece, c)], c), (&asks[of(outputs, c)], c));
    let gradient = &mut parameters[at.input.clone()];
    let to = (&mut *gradient, 2 * e);
    weight_gradient(network, precision, x, (&scratch.x, e), factors, to);
    let to = (&mut gradient[e..], 2 * e);
    weight_gradient(network, precision, asks, (&scratch.z, e), factors, to);
}

/// From the gradients at x and z to that at the normed tokens.
fn normed_gradient(
    at: &Parameters,
    (layer, piece, outputs): Work<'_>,
    weights: &Weights,
    scratch: &mut Scratch,
    dnormed: &mut [f32],
) {
    let (network, c, e) = (layer.network, at.width, at.inner());
    let Scratch { x, z, gathered, .. } = scratch;
    let to = &mut dnormed[of(piece, c)];
    multiply(network, (x, e), &weights.transposed.x, (&mut *to, c));
    let transposed = &weights.transposed.z;
    if layer.last {
        gathered.resize(outputs.len() * c);
        multiply(network, (z, e), transposed, (gathered, c));
        let rows = &layer.group.observations[outputs.clone()];
        for (row, from) in rows.iter().zip(gathered.chunks(c)) {
            let to = &mut dnormed[row * c..(row + 1) * c];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    } else {
        let left = Left::rows(z, piece.len(), e);
        let finish = Accumulate { to, stride: c };
        product(network.level, left, transposed.all(), finish);
    }
}

/// dW += x^T dy, rows of W `stride` apart.
fn weight_gradient(
    network: Network<'_>,
    precision: Precision,
    (x, inputs): (&[f32], usize),
    (dy, outputs): (&[f32], usize),
    factors: &mut Factors,
    (to, stride): (&mut [f32], usize),
) {
    let Factors { panels, tiles } = factors;
    let rows = dy.len() / outputs;
    panels.hold(precision);
    panels.pack(network.level, dy, outputs, rows, outputs, None);
    let left = tiles.columns(network.level, panels, x, rows, inputs);
    let finish = Accumulate { to, stride };
    product(network.level, left, panels.all(), finish);
}
