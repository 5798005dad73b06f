//! Forward: from the steps of a group to predictions.

use super::memory::{Block, Memory};
use super::{Group, Model, direct, masked, rate};
use crate::kernels::activation::{Activation, cpu::Activate};
use crate::kernels::attention;
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Pair;
use crate::kernels::decision_transformer::windows::Windows;
use crate::kernels::dropout::cpu::{AddToResidual, Masks, Rate};
use crate::kernels::dropout::{self, Dropout, Site};
use crate::kernels::epilogue::StoreWithBias;
use crate::kernels::layer_norm;
use crate::kernels::linear::cpu::{Left, product};
use crate::kernels::loss;

/// Fills the memory with the activations of a group; the predictions are steps x A.
pub(crate) fn forward(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
) {
    let layers = model.shape.layers;
    memory.streams.resize_with(layers + 1, Default::default);
    memory.blocks.resize_with(layers, Default::default);
    embed(model, group, windows, dropout, memory);
    for layer in 0..layers {
        let (before, behind) = memory.streams.split_at_mut(layer + 1);
        let (x, block) = (&before[layer], &mut memory.blocks[layer]);
        let last = model.is_last(layer);
        attend(
            model,
            group,
            dropout,
            layer,
            x,
            block,
            &mut memory.attention,
        );
        let (projection, mlp) = (Site::Projection { layer }, Site::Mlp { layer });
        if let Some(dropout) = dropout {
            group.rows(dropout, projection, last, &mut block.projection_rows);
            group.rows(dropout, mlp, last, &mut block.mlp_rows);
        }
        let asking_stream = std::mem::take(&mut block.asking_stream);
        let residual = if last { &asking_stream } else { x };
        add_projection(model, layer, rate(dropout, projection), residual, block);
        block.asking_stream = asking_stream;
        behind[0].resize(block.middle.len());
        add_mlp(model, layer, rate(dropout, mlp), block, &mut behind[0]);
    }
    predict(model, memory);
}

fn embed(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
) {
    let Model {
        level,
        shape,
        layout,
        parameters,
        weights,
        ..
    } = model;
    let c = shape.width;
    memory.embedded.resize(group.tokens * c);
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        let x = &mut memory.embedded[rows.start * c..rows.end * c];
        let steps = windows.sequence(sequence.window);
        embedding::cpu::forward(level, layout, parameters, &weights.embedding, steps, x);
    }
    let stream = &mut memory.streams[0];
    let statistics = &mut memory.embedded_statistics;
    let rate = rate(dropout, Site::Embedding);
    if let (Some(dropout), Some(rate)) = (dropout, rate) {
        let normed = &mut memory.gradients.stream;
        norm(
            model,
            &layout.embed_norm,
            &memory.embedded,
            normed,
            statistics,
        );
        group.rows(dropout, Site::Embedding, false, &mut memory.embedded_rows);
        stream.resize(normed.len());
        dropout::cpu::apply(
            level,
            Masks {
                rate,
                rows: &memory.embedded_rows,
            },
            normed,
            stream,
        );
    } else {
        norm(
            model,
            &layout.embed_norm,
            &memory.embedded,
            stream,
            statistics,
        );
    }
}

/// `block.attended` from x.
fn attend(
    model: Model<'_>,
    group: &Group,
    dropout: Option<&Dropout>,
    layer: usize,
    x: &[f32],
    block: &mut Block,
    scratch: &mut attention::cpu::Scratch,
) {
    let Model { level, shape, .. } = model;
    let (c, heads) = (shape.width, shape.heads);
    let last = model.is_last(layer);
    let (queries, visible) = group.queries(last);
    let pair = &model.layout.blocks[layer].norm_1;
    norm(model, pair, x, &mut block.normed_1, &mut block.statistics_1);
    if last {
        gather(&block.normed_1, &group.observations, c, &mut block.asking);
        gather(x, &group.observations, c, &mut block.asking_stream);
    }
    let asking = if last { &block.asking } else { &block.normed_1 };
    block.q.resize(queries * c);
    project_queries(model, layer, asking, &mut block.q);
    block.attended.resize(queries * c);
    if last && model.direct {
        return direct::attend(model, group, dropout, block, scratch);
    }
    block.kv.resize(group.tokens * 2 * c);
    project_keys_values(model, layer, &block.normed_1, &mut block.kv);
    block.logs.resize(queries * heads);
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        let asking = if last {
            sequence.step_rows()
        } else {
            rows.clone()
        };
        let problem = attention::cpu::Problem {
            queries: asking.len(),
            keys: rows.len(),
            width: c,
            heads,
            visible,
            masked: masked(dropout, layer, sequence),
        };
        let q = &block.q[asking.start * c..asking.end * c];
        let kv = &block.kv[rows.start * 2 * c..rows.end * 2 * c];
        let out = &mut block.attended[asking.start * c..asking.end * c];
        let logs = &mut block.logs[asking.start * heads..asking.end * heads];
        attention::cpu::forward(level, problem, q, kv, out, logs, scratch);
    }
}

/// y = norm of x, rows x C.
pub(crate) fn norm(
    model: Model<'_>,
    pair: &Pair,
    x: &[f32],
    y: &mut Buffer,
    statistics: &mut Vec<[f32; 2]>,
) {
    y.resize(x.len());
    statistics.resize(x.len() / model.shape.width, [0.0; 2]);
    let (gain, bias) = (model.of(&pair.weight), model.of(&pair.bias));
    layer_norm::cpu::forward(model.level, x, gain, bias, y, statistics);
}

/// q = x Wq + bq, as many rows as q has.
pub(crate) fn project_queries(model: Model<'_>, layer: usize, x: &[f32], q: &mut [f32]) {
    let c = model.shape.width;
    let bias = &model.of(&model.layout.blocks[layer].qkv.bias)[..c];
    let left = Left::rows(x, q.len() / c, c);
    let right = model.weights.blocks[layer].query.all();
    product(
        model.level,
        left,
        right,
        StoreWithBias {
            bias,
            to: q,
            stride: c,
        },
    );
}

/// kv = x Wkv + bkv, as many rows as kv has.
pub(crate) fn project_keys_values(model: Model<'_>, layer: usize, x: &[f32], kv: &mut [f32]) {
    let c = model.shape.width;
    let bias = &model.of(&model.layout.blocks[layer].qkv.bias)[c..];
    let left = Left::rows(x, kv.len() / (2 * c), c);
    let right = model.weights.blocks[layer].keys_values.all();
    product(
        model.level,
        left,
        right,
        StoreWithBias {
            bias,
            to: kv,
            stride: 2 * c,
        },
    );
}

/// `block.middle` = residual + drop(attended Wo + bo).
pub(crate) fn add_projection(
    model: Model<'_>,
    layer: usize,
    rate: Option<Rate>,
    residual: &[f32],
    block: &mut Block,
) {
    let c = model.shape.width;
    block.middle.resize(residual.len());
    let finish = AddToResidual {
        bias: model.of(&model.layout.blocks[layer].projection.bias),
        masks: rate.map(|rate| Masks {
            rate,
            rows: &block.projection_rows,
        }),
        residual,
        to: &mut block.middle,
        stride: c,
    };
    let left = Left::rows(&block.attended, residual.len() / c, c);
    product(
        model.level,
        left,
        model.weights.blocks[layer].projection.all(),
        finish,
    );
}

/// x = middle + drop(MLP of middle): the end of a block.
pub(crate) fn add_mlp(
    model: Model<'_>,
    layer: usize,
    rate: Option<Rate>,
    block: &mut Block,
    x: &mut [f32],
) {
    let Model { level, shape, .. } = model;
    let (c, inner) = (shape.width, 4 * shape.width);
    let (at, weights) = (&model.layout.blocks[layer], &model.weights.blocks[layer]);
    let rows = block.middle.len() / c;
    norm(
        model,
        &at.norm_2,
        &block.middle,
        &mut block.normed_2,
        &mut block.statistics_2,
    );
    block.hidden.resize(rows * inner);
    if shape.activation == Activation::Gelu {
        block.hidden_slope.resize(rows * inner);
    }
    let finish = Activate {
        activation: shape.activation,
        bias: model.of(&at.up.bias),
        slope: &mut block.hidden_slope,
        output: &mut block.hidden,
        stride: inner,
    };
    product(
        level,
        Left::rows(&block.normed_2, rows, c),
        weights.up.all(),
        finish,
    );
    let finish = AddToResidual {
        bias: model.of(&at.down.bias),
        masks: rate.map(|rate| Masks {
            rate,
            rows: &block.mlp_rows,
        }),
        residual: &block.middle,
        to: x,
        stride: c,
    };
    product(
        level,
        Left::rows(&block.hidden, rows, inner),
        weights.down.all(),
        finish,
    );
}

/// The predictions from the last stream.
fn predict(model: Model<'_>, memory: &mut Memory) {
    let Model { shape, layout, .. } = model;
    let x = &memory.streams[shape.layers];
    let normed = &mut memory.final_normed;
    norm(
        model,
        &layout.final_norm,
        x,
        normed,
        &mut memory.final_statistics,
    );
    memory
        .predictions
        .resize(x.len() / shape.width * shape.action);
    apply_head(model, normed, &mut memory.predictions);
}

/// The predictions from normed rows.
pub(crate) fn apply_head(model: Model<'_>, normed: &[f32], predictions: &mut [f32]) {
    let (c, a) = (model.shape.width, model.shape.action);
    let bias = model.of(&model.layout.head.bias);
    let finish = StoreWithBias {
        bias,
        to: predictions,
        stride: a,
    };
    let left = Left::rows(normed, normed.len() / c, c);
    product(model.level, left, model.weights.head.all(), finish);
    loss::cpu::predict(model.shape.head, predictions);
}

fn gather(from: &[f32], rows: &[usize], width: usize, to: &mut Buffer) {
    to.resize(rows.len() * width);
    for (row, to) in rows.iter().zip(to.chunks_mut(width)) {
        to.copy_from_slice(&from[row * width..(row + 1) * width]);
    }
}
