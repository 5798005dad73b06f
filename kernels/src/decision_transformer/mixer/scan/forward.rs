//! Forward: from the normed tokens of a group to the branch.

use super::{Channels, Parameters, Scratch, Tape, Weights};
use crate::buffer::Buffer;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::epilogue::{Store, StoreWithBias};
use crate::linear::cpu::{Left, Panels, product};
use crate::selective_scan::{Problem, STATES, cpu, elementwise, marks};
use std::ops::Range;

/// Fills `tape`, and the branch from `normed`.
pub(in super::super) fn forward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    normed: &[f32],
    (tape, scratch): (&mut Tape, &mut Scratch),
    branch: Branch<'_>,
) {
    let Layer { network, group, .. } = layer;
    let (c, e) = (at.width, at.inner());
    let requested = if layer.last {
        group.gather_observations(normed, c, &mut tape.requested);
        &tape.requested
    } else {
        normed
    };
    multiply(network, (requested, c), &weights.z, (&mut tape.z, e));
    multiply(network, (normed, c), &weights.x, (&mut tape.x, e));
    let channels = &mut tape.channels;
    channels.u.resize(group.tokens * e);
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        let numbers = rows.start * e..rows.end * e;
        elementwise::filter(
            network.level,
            e,
            network.of(&at.bank()),
            0,
            &tape.x[numbers.clone()],
            &mut channels.u[numbers],
        );
    }
    choose(at, network, weights, channels);
    tape.y.resize(tape.z.len());
    let noted = |tokens: usize| marks(tokens, e);
    let all = group
        .sequences
        .iter()
        .map(|sequence| noted(sequence.tokens));
    tape.marks.resize(all.sum());
    let mut notes = &mut tape.marks[..];
    for sequence in &group.sequences {
        let (mine, others) = std::mem::take(&mut notes).split_at_mut(noted(sequence.tokens));
        notes = others;
        let outputs = sequence.outputs(layer.last);
        let (rows, requested) = (sequence.token_rows(), at.requested(layer));
        let problem = problem(at, network, weights, channels, rows, requested);
        scratch.state.resize(STATES * e);
        scratch.state.fill(0.0);
        let y = &mut tape.y[outputs.start * e..outputs.end * e];
        cpu::forward(network.level, problem, &mut scratch.state, mine, y);
    }
    finish(
        at,
        network,
        weights,
        (&tape.y, &tape.z),
        &mut tape.gated,
        branch,
    );
}

/// y = x W, without a bias.
pub(super) fn multiply(
    network: Network<'_>,
    (x, inputs): (&[f32], usize),
    weight: &Panels,
    (y, outputs): (&mut Buffer, usize),
) {
    let rows = x.len() / inputs;
    y.resize(rows * outputs);
    let finish = Store {
        to: y,
        stride: outputs,
    };
    product(
        network.level,
        Left::rows(x, rows, inputs),
        weight.all(),
        finish,
    );
}

/// From u: the steps, B and C of each token.
pub(super) fn choose(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    channels: &mut Channels,
) {
    let (e, row) = (at.inner(), at.row());
    let Channels {
        u,
        inputs,
        raw_steps,
        steps,
        ..
    } = channels;
    multiply(network, (u, e), &weights.inputs, (inputs, row));
    raw_steps.resize(u.len());
    steps.resize(u.len());
    let finish = StoreWithBias {
        bias: network.of(&at.step.bias),
        to: raw_steps,
        stride: e,
    };
    let left = Left::rows(inputs, u.len() / e, row);
    product(network.level, left, weights.step.all(), finish);
    elementwise::step(network.level, raw_steps, steps);
}

/// The scan of some rows, of which the first begins a sequence or continues from a state.
pub(super) fn problem<'a>(
    at: &Parameters,
    network: Network<'a>,
    weights: &'a Weights,
    channels: &'a Channels,
    rows: Range<usize>,
    requested: (usize, usize),
) -> Problem<'a> {
    let (e, stride) = (at.inner(), at.row());
    Problem {
        width: e,
        u: &channels.u[rows.start * e..rows.end * e],
        steps: &channels.steps[rows.start * e..rows.end * e],
        inputs: &channels.inputs[rows.start * stride + at.rank()..],
        stride,
        decay: &weights.decay,
        skip: network.of(&at.skip),
        requested,
    }
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
