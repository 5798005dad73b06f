//! Forward: from the normed tokens of a group to the branch.

use super::{Parameters, Tape, Weights};
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::lstm::cpu::{self, Before, Tokens};

/// Fills `tape`, and the branch from `normed`.
pub(in super::super) fn forward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    normed: &[f32],
    tape: &mut Tape,
    branch: Branch<'_>,
) {
    let Layer { network, group, .. } = layer;
    let c = at.width;
    let lengths = group.sequences.iter().map(|sequence| sequence.tokens);
    tape.order.fill(lengths);
    tape.order.gather(c, normed, &mut tape.inputs);
    tape.gates.resize(group.tokens * at.row());
    project(at, network, weights, &tape.inputs, &mut tape.gates);
    tape.cells.resize(group.tokens * c);
    tape.hidden.resize(group.tokens * c);
    let to = Tokens {
        gates: &mut tape.gates,
        cells: &mut tape.cells,
        hidden: &mut tape.hidden,
    };
    let (sequences, before) = (at.sequences(&tape.order), Before::default());
    cpu::forward(network.level, sequences, &weights.hidden, before, to);
    let Branch { residual, to, .. } = branch;
    for (output, (beside, to)) in residual.chunks(c).zip(to.chunks_mut(c)).enumerate() {
        let place = tape.order.place(row_of(layer, output));
        let branch = Branch {
            masks: None,
            residual: beside,
            to,
        };
        add(&tape.hidden[place * c..(place + 1) * c], branch);
    }
}

/// a of some tokens.
pub(super) fn project(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    a: &mut [f32],
) {
    let bias = network.of(&at.input.bias);
    network.linear((normed, at.width), weights.input.all(), bias, a);
}

/// The row of a token that is a row of the layer's output.
pub(super) fn row_of(layer: Layer<'_>, output: usize) -> usize {
    if layer.last {
        layer.group.observations[output]
    } else {
        output
    }
}

/// The branch from h. It has no dropout, so masks are not applied.
pub(super) fn add(hidden: &[f32], branch: Branch<'_>) {
    let Branch { residual, to, .. } = branch;
    for ((to, residual), h) in to.iter_mut().zip(residual).zip(hidden) {
        *to = residual + h;
    }
}
