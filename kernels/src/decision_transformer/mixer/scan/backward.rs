//! Backward: from the gradient at the branch to those at the normed tokens and the parameters.

use super::forward::{multiply, problem};
use super::{Parameters, Scratch, Tape, Weights};
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::branch::Gradients;
use crate::decision_transformer::network::{Factors, Network};
use crate::epilogue::{Accumulate, Store};
use crate::linear::cpu::{Left, product};
use crate::precision::Precision;
use crate::selective_scan::{cpu, elementwise, marks};

/// The gradients, with `tape` as forward left it for `normed`.
pub(in super::super) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let (network, c, e) = (layer.network, at.width, at.inner());
    let (level, precision) = (network.level, network.precision);
    let Gradients {
        branch,
        normed: dnormed,
        parameters,
    } = gradients;
    // Behind the scan.
    let to = (&mut parameters[at.output.clone()], c);
    weight_gradient(
        network,
        precision,
        (&tape.gated, e),
        (branch, c),
        factors,
        to,
    );
    let output = &weights.transposed.output;
    multiply(network, (branch, c), output, (&mut scratch.gated, e));
    scratch.z.resize(tape.z.len());
    let dy = &mut scratch.gated;
    elementwise::gate_backward(level, &tape.y, &tape.z, dy, &mut scratch.z);
    scans(at, layer, weights, tape, scratch, parameters);
    choices(at, network, weights, tape, (scratch, factors), parameters);
    // In front of it.
    let dx = &mut scratch.x;
    dx.resize(tape.x.len());
    for sequence in &layer.group.sequences {
        let rows = sequence.token_rows();
        let numbers = rows.start * e..rows.end * e;
        elementwise::filter_backward(
            level,
            network.of(&at.bank()),
            &tape.x[numbers.clone()],
            &mut scratch.u[numbers.clone()],
            &mut dx[numbers],
            &mut parameters[at.bank()],
        );
    }
    let input = &mut parameters[at.input.clone()];
    let to = (&mut *input, 2 * e);
    weight_gradient(network, precision, (normed, c), (dx, e), factors, to);
    let requested = if layer.last { &*tape.requested } else { normed };
    let to = (&mut input[e..], 2 * e);
    weight_gradient(
        network,
        precision,
        (requested, c),
        (&scratch.z, e),
        factors,
        to,
    );
    multiply(network, (dx, e), &weights.transposed.x, (dnormed, c));
    let (z, transposed) = ((&*scratch.z, e), &weights.transposed.z);
    if layer.last {
        multiply(network, z, transposed, (&mut scratch.gathered, c));
        let rows = layer.group.observations.iter();
        for (row, from) in rows.zip(scratch.gathered.chunks(c)) {
            let to = &mut dnormed[row * c..(row + 1) * c];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    } else {
        let left = Left::rows(z.0, z.0.len() / e, e);
        let finish = Accumulate {
            to: dnormed,
            stride: c,
        };
        product(level, left, transposed.all(), finish);
    }
}

/// From the gradient at y to those at u, at the steps, at B and C, and at what the channels have.
fn scans(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    tape: &Tape,
    scratch: &mut Scratch,
    parameters: &mut [f32],
) {
    let (network, e, stride) = (layer.network, at.inner(), at.row());
    let tokens = layer.group.tokens;
    let Scratch {
        scan,
        gated: dy,
        u,
        steps,
        inputs,
        decay,
        ..
    } = scratch;
    u.resize(tokens * e);
    steps.resize(tokens * e);
    inputs.resize(tokens * stride);
    decay.resize(weights.decay.len());
    decay.fill(0.0);
    let mut notes = &tape.marks[..];
    for sequence in &layer.group.sequences {
        let (mine, others) = notes.split_at(marks(sequence.tokens, e));
        notes = others;
        let (rows, outputs) = (sequence.token_rows(), sequence.outputs(layer.last));
        let requested = at.requested(layer);
        let problem = problem(
            at,
            network,
            weights,
            &tape.channels,
            rows.clone(),
            requested,
        );
        let mut to = cpu::Gradients {
            u: &mut u[rows.start * e..rows.end * e],
            steps: &mut steps[rows.start * e..rows.end * e],
            inputs: &mut inputs[rows.start * stride + at.rank()..],
            stride,
            decay,
            skip: &mut parameters[at.skip.clone()],
        };
        let dy = &dy[outputs.start * e..outputs.end * e];
        cpu::backward(network.level, problem, mine, dy, scan, &mut to);
    }
    let gradient = parameters[at.log_decay.clone()].iter_mut();
    for ((to, d), a) in gradient.zip(&**decay).zip(&weights.decay) {
        *to += d * a;
    }
}

/// From the gradients at the steps, B and C to more of that at u.
fn choices(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    tape: &Tape,
    (scratch, factors): (&mut Scratch, &mut Factors),
    parameters: &mut [f32],
) {
    let (level, e, row, rank) = (network.level, at.inner(), at.row(), at.rank());
    let (channels, exact) = (&tape.channels, Precision::F32);
    let Scratch {
        u, steps, inputs, ..
    } = scratch;
    let rows = u.len() / e;
    elementwise::step_backward(level, &channels.raw_steps, steps);
    let sums = &mut parameters[at.step.bias.clone()];
    let panels = factors.panels.hold(exact);
    panels.pack(level, steps, e, rows, e, Some(sums));
    // The columns of d among those of d, B and C.
    let left = Left {
        depth_stride: row,
        ..Left::columns(&channels.inputs, rows, rank)
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
    weight_gradient(network, exact, (&channels.u, e), (inputs, row), factors, to);
    let finish = Accumulate { to: u, stride: e };
    let left = Left::rows(inputs, rows, row);
    product(level, left, weights.transposed.inputs.all(), finish);
}

/// dW += x^T dy, rows of W `stride` apart; some rows of x and dy at a time, which stay in the
/// cache.
fn weight_gradient(
    network: Network<'_>,
    precision: Precision,
    (x, inputs): (&[f32], usize),
    (dy, outputs): (&[f32], usize),
    factors: &mut Factors,
    (to, stride): (&mut [f32], usize),
) {
    const MOST_ROWS: usize = 480;
    let Factors { panels, tiles } = factors;
    panels.hold(precision);
    let rows = x.chunks(MOST_ROWS * inputs);
    for (x, dy) in rows.zip(dy.chunks(MOST_ROWS * outputs)) {
        let rows = dy.len() / outputs;
        panels.pack(network.level, dy, outputs, rows, outputs, None);
        let left = tiles.columns(network.level, panels, x, rows, inputs);
        let finish = Accumulate {
            to: &mut *to,
            stride,
        };
        product(network.level, left, panels.all(), finish);
    }
}
