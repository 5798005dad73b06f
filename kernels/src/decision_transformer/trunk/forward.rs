//! The forward pass: from the steps of a group to predictions.

use super::Model;
use super::memory::Memory;
use super::{deviations, returns};
use crate::buffer::Buffer;
use crate::decision_transformer::block::cpu as block;
use crate::decision_transformer::embedding;
use crate::decision_transformer::group::{Group, rate};
use crate::decision_transformer::windows::Windows;
use crate::dropout::cpu::Masks;
use crate::dropout::{self, Dropout, Site};
use crate::loss;

/// Fills the memory with the activations of a group; the predictions are steps x A.
pub(crate) fn forward(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
) {
    let layers = model.layout.blocks.len();
    memory.streams.resize_with(layers + 1, Default::default);
    memory.blocks.resize_with(layers, Default::default);
    embed(model, group, windows, dropout, memory);
    for (index, at) in model.layout.blocks.iter().enumerate() {
        let (before, behind) = memory.streams.split_at_mut(index + 1);
        let layer = model.layer(index, group, dropout);
        let weights = &model.weights.blocks[index];
        let tape = (&mut memory.blocks[index], &mut memory.scratch);
        block::forward(at, layer, weights, &before[index], tape, &mut behind[0]);
    }
    let x = if model.layout.return_head.is_some() {
        returns::gather(model, group, memory);
        &memory.returns.predicting
    } else {
        &memory.streams[layers]
    };
    let (normed, statistics) = (&mut memory.final_normed, &mut memory.final_statistics);
    memory.returns_to_go.clear();
    if model.layout.condition.is_some() {
        let steps = group.sequences.iter().map(|at| windows.sequence(at.window));
        steps.for_each(|steps| memory.returns_to_go.extend(steps.returns_to_go));
    }
    apply_final_norm(model, &memory.returns_to_go, x, (normed, statistics));
    let shape = model.network.shape;
    let numbers = x.len() / shape.width * shape.action;
    memory.predictions.resize(numbers);
    apply_head(model, normed, &mut memory.predictions);
    deviations::forward(model, memory);
    loss::cpu::predict(shape.head, &mut memory.predictions);
}

fn embed(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
) {
    let Model {
        network,
        layout,
        weights,
    } = model;
    let (level, c) = (network.level, network.shape.width);
    memory.embedded.resize(group.tokens * c);
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        embedding::cpu::forward(
            level,
            &layout.embedding,
            network.parameters,
            &weights.embedding,
            windows.sequence(sequence.window),
            &mut memory.embedded[rows.start * c..rows.end * c],
        );
    }
    let (x, stream) = (&memory.embedded, &mut memory.streams[0]);
    let statistics = &mut memory.embedded_statistics;
    let (Some(dropout), Some(rate)) = (dropout, rate(dropout, Site::Embedding)) else {
        return model.embed_norm(x, stream, statistics);
    };
    let normed = &mut memory.scratch.stream;
    model.embed_norm(x, normed, statistics);
    let rows = &mut memory.embedded_rows;
    group.rows(dropout, Site::Embedding, false, rows);
    stream.resize(normed.len());
    dropout::cpu::apply(level, Masks { rate, rows }, normed, stream);
}

/// The last norm of the observations' rows x. Returns-to-go, one a row, are read only if the norm
/// is adaptive.
pub(crate) fn apply_final_norm(
    model: Model<'_>,
    returns_to_go: &[f32],
    x: &[f32],
    (normed, statistics): (&mut Buffer, &mut Vec<[f32; 2]>),
) {
    let Model {
        network, layout, ..
    } = model;
    let norm = &layout.final_norm;
    match &layout.condition {
        None => network.norm(norm, x, normed, statistics),
        Some(slopes) => {
            network.adaptive_norm((norm, slopes), returns_to_go, x, normed, statistics);
        }
    }
}

/// Computes the head's outputs from normed rows.
pub(crate) fn apply_head(model: Model<'_>, normed: &[f32], outputs: &mut [f32]) {
    let network = model.network;
    let (head, bias) = (&model.weights.head, network.of(&model.layout.head.bias));
    let x = (normed, network.shape.width);
    network.linear(x, head.all(), bias, outputs);
}
