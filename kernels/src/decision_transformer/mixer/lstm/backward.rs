//! Backward: from the gradient at the branch to those at the normed tokens and the parameters.

use super::forward::row_of;
use super::{Parameters, Scratch, Tape, Weights};
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Factors;
use crate::decision_transformer::network::branch::Gradients;
use crate::lstm::cpu::{self, WeightScratch};
use crate::precision::Precision;

/// The gradients, with `tape` as forward left it.
pub(in super::super) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    tape: &Tape,
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let (network, c, row) = (layer.network, at.width, at.row());
    let (level, tokens) = (network.level, layer.group.tokens);
    let Gradients {
        branch,
        normed: dnormed,
        parameters,
    } = gradients;
    let Scratch {
        hidden: dh,
        gates: da,
        inputs,
        carried,
        before,
    } = scratch;
    dh.resize(tokens * c);
    if layer.last {
        dh.fill(0.0);
    }
    for (output, from) in branch.chunks(c).enumerate() {
        let place = tape.order.place(row_of(layer, output));
        dh[place * c..(place + 1) * c].copy_from_slice(from);
    }
    da.resize(tokens * row);
    let (sequences, kept) = (at.sequences(&tape.order), tape.kept());
    let transposed = &weights.transposed;
    cpu::backward(level, sequences, &transposed.hidden, kept, carried, dh, da);
    let precision = network.precision;
    network.weight_gradient(
        precision,
        &at.input,
        (&tape.inputs, da),
        factors,
        parameters,
    );
    factors.panels.hold(Precision::F32);
    let memory = WeightScratch {
        before,
        panels: &mut factors.panels,
        tiles: &mut factors.tiles,
    };
    let to = &mut parameters[at.hidden.clone()];
    cpu::weight_gradient(level, sequences, kept.hidden, da, memory, to);
    network.linear_backward((da, row), transposed.input.all(), (inputs, c));
    tape.order.scatter(c, inputs, dnormed);
}
