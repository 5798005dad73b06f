//! Forward: from the normed tokens of a group to the branch.

use super::parts::{self, parts};
use super::{Channels, Parameters, Scratch, Tape, Weights, rows_at_a_time};
use crate::buffer::Buffer;
use crate::decision_transformer::group::pieces;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::epilogue::Store;
use crate::linear::cpu::{Left, Panels, product};
use crate::selective_scan::elementwise::Step;
use crate::selective_scan::{STATES, TAPS, cpu, elementwise, marks};
use std::ops::Range;

/// Fills `tape`, and the branch from `normed`.
pub(in super::super) fn forward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    normed: &[f32],
    (tape, scratch): (&mut Tape, &mut Scratch),
    mut branch: Branch<'_>,
) {
    let Layer { network, group, .. } = layer;
    let (c, e) = (at.width, at.inner());
    if layer.last {
        group.gather_observations(normed, c, &mut tape.requested);
    }
    tape.x.resize(group.tokens * e);
    tape.channels.resize(at, group.tokens);
    for rows in [&mut tape.z, &mut tape.y] {
        rows.resize(group.outputs(layer.last) * e);
    }
    let sequences = group.sequences.iter();
    tape.marks
        .resize(sequences.map(|sequence| marks(sequence.tokens, e)).sum());
    for piece in pieces(group.tokens, rows_at_a_time(network.shape)) {
        let outputs = parts::outputs(at, layer, &piece);
        let (numbers, gated) = (of(&piece, e), of(&outputs, e));
        let x = (&normed[of(&piece, c)], c);
        let asks = if layer.last { &tape.requested } else { normed };
        let asks = (&asks[of(&outputs, c)], c);
        multiply(network, asks, &weights.z, (&mut tape.z[gated.clone()], e));
        multiply(network, x, &weights.x, (&mut tape.x[numbers], e));
        mix(at, layer, weights, &piece, tape, &mut scratch.state);
        finish(
            at,
            network,
            weights,
            (&tape.y[gated.clone()], &tape.z[gated]),
            &mut scratch.gated,
            branch.rows(&outputs, c),
        );
    }
}

/// The numbers of some rows.
pub(super) fn of(rows: &Range<usize>, width: usize) -> Range<usize> {
    rows.start * width..rows.end * width
}

/// From x to y.
fn mix(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    piece: &Range<usize>,
    tape: &mut Tape,
    state: &mut Buffer,
) {
    let (network, e) = (layer.network, at.inner());
    let bank = network.of(&at.bank());
    for part in parts(at, layer, piece) {
        let before = part.before.min(TAPS - 1);
        let x = &tape.x[of(&(part.rows.start - before..part.rows.end), e)];
        let u = &mut tape.channels.u[of(&part.rows, e)];
        elementwise::filter(network.level, e, bank, before, x, u);
    }
    choose(at, network, weights, &mut tape.channels, piece.clone());
    for part in parts(at, layer, piece) {
        if part.before == 0 {
            state.resize(STATES * e);
            state.fill(0.0);
        }
        let problem = part.problem(at, network, weights, &tape.channels);
        let y = &mut tape.y[of(&part.outputs, e)];
        let marks = &mut tape.marks[part.marks];
        cpu::forward(network.level, problem, state, marks, y);
    }
}

/// y = x W, without a bias.
pub(super) fn multiply(
    network: Network<'_>,
    (x, inputs): (&[f32], usize),
    weight: &Panels,
    (y, outputs): (&mut [f32], usize),
) {
    let finish = Store {
        to: y,
        stride: outputs,
    };
    product(
        network.level,
        Left::rows(x, x.len() / inputs, inputs),
        weight.all(),
        finish,
    );
}

/// From u: the steps, B and C of some tokens.
pub(super) fn choose(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    channels: &mut Channels,
    rows: Range<usize>,
) {
    let (e, row) = (at.inner(), at.row());
    let numbers = of(&rows, e);
    let u = &channels.u[numbers.clone()];
    let inputs = &mut channels.inputs[of(&rows, row)];
    multiply(network, (u, e), &weights.inputs, (inputs, row));
    let finish = Step {
        bias: network.of(&at.step.bias),
        to: &mut channels.steps[numbers],
        stride: e,
    };
    let left = Left::rows(inputs, rows.len(), row);
    product(network.level, left, weights.step.all(), finish);
}

/// The branch from y and z.
pub(super) fn finish(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    (y, z): (&[f32], &[f32]),
    gated: &mut Buffer,
    branch: Branch<'_>,
) {
    gated.resize(y.len());
    elementwise::gate(network.level, y, z, gated);
    output(at, network, weights, gated, branch);
}

/// The branch from gated rows.
pub(super) fn output(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    gated: &[f32],
    branch: Branch<'_>,
) {
    let e = at.inner();
    let left = Left::rows(gated, gated.len() / e, e);
    let finish = branch.finish(&weights.no_bias);
    product(network.level, left, weights.output.all(), finish);
}
