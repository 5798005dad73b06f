//! The backward pass: from the gradient of the head's outputs to the gradient of every parameter.

use super::Model;
use super::memory::Memory;
use super::{deviations, next_observations, returns};
use crate::decision_transformer::block::cpu::{self as block, Scratch};
use crate::decision_transformer::embedding;
use crate::decision_transformer::group::{Group, rate, undrop};
use crate::decision_transformer::windows::Windows;
use crate::dropout::cpu::Masks;
use crate::dropout::{Dropout, Site};
use crate::precision::Precision;

/// Adds a group's gradient to `gradient` (all parameters). `memory` is that of the group's forward
/// pass, with the loss's gradient in `memory.logits_gradient`.
pub(crate) fn backward(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
    gradient: &mut [f32],
) {
    next_observations::backward(model, memory, gradient);
    head_backward(model, memory, gradient);
    returns::backward(model, group, memory, gradient);
    for (index, at) in model.layout.blocks.iter().enumerate().rev() {
        let layer = model.layer(index, group, dropout);
        let weights = &model.weights.blocks[index];
        let given = (&*memory.streams[index], &memory.blocks[index]);
        block::backward(at, layer, weights, given, &mut memory.scratch, gradient);
    }
    embed_backward(model, group, windows, dropout, memory, gradient);
}

/// Writes the gradient behind the last block to `scratch.stream`, a row for each that the head has.
fn head_backward(model: Model<'_>, memory: &mut Memory, gradient: &mut [f32]) {
    let Model {
        network, layout, ..
    } = model;
    let (c, a) = (network.shape.width, network.shape.action);
    let Scratch {
        stream,
        normed,
        factors,
        ..
    } = &mut memory.scratch;
    let dz = &memory.logits_gradient;
    let x = (&*memory.final_normed, &**dz);
    network.weight_gradient(Precision::F32, &layout.head, x, factors, gradient);
    let head = model.weights.head_transposed.all();
    network.linear_backward((dz, a), head, (normed, c));
    let rows = (&*memory.final_normed, &mut **normed);
    deviations::backward(model, rows, &mut memory.deviations, factors, gradient);
    next_observations::add_to_normed(model, &memory.next_observations, normed);
    stream.resize(normed.len());
    stream.fill(0.0);
    let x = match &layout.return_head {
        None => &memory.streams[layout.blocks.len()],
        Some(_) => &memory.returns.predicting,
    };
    let given = (&**x, &*memory.final_statistics);
    let norm = &layout.final_norm;
    match &layout.condition {
        None => network.norm_backward(norm, given, normed, stream, gradient),
        Some(slopes) => network.adaptive_norm_backward(
            (norm, slopes),
            &memory.returns_to_go,
            given,
            normed,
            stream,
            gradient,
        ),
    }
}

/// Adds the embedding's gradients, from the gradient before the first block.
fn embed_backward(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
    gradient: &mut [f32],
) {
    let Model {
        network, layout, ..
    } = model;
    let (level, c) = (network.level, network.shape.width);
    let Scratch {
        stream,
        branch,
        normed,
        factors,
        ..
    } = &mut memory.scratch;
    let rows = &memory.embedded_rows;
    let masks = rate(dropout, Site::Embedding).map(|rate| Masks { rate, rows });
    let dy = undrop(level, masks, stream, branch);
    normed.resize(group.tokens * c);
    normed.fill(0.0);
    let given = (&*memory.embedded, &*memory.embedded_statistics);
    network.norm_backward(&layout.embed_norm, given, dy, normed, gradient);
    let panels = factors.panels.hold(Precision::F32);
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        let dx = &normed[rows.start * c..rows.end * c];
        let steps = windows.sequence(sequence.window);
        embedding::cpu::backward(level, &layout.embedding, steps, dx, gradient, panels);
    }
}
