//! Backward: from the gradient at the head's numbers to the gradient of every parameter.

use super::memory::{Block, Gradients, Memory};
use super::{Group, Model, direct, masked, rate};
use crate::kernels::activation::cpu::ActivateBackward;
use crate::kernels::attention;
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Pair;
use crate::kernels::decision_transformer::windows::Windows;
use crate::kernels::dropout::cpu::{Masks, Rate, Row};
use crate::kernels::dropout::{self, Dropout, Site};
use crate::kernels::epilogue::{Accumulate, AccumulateRows, Store};
use crate::kernels::layer_norm;
use crate::kernels::linear::cpu::{Left, Panels, Tiles, product};
use crate::kernels::precision::Precision;
use crate::kernels::simd::Level;

/// Adds to `gradient` (all parameters) what a group gives. `memory` is as the group's forward left it, with the
/// loss's gradient in `memory.gradients.logits`.
pub(crate) fn backward(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    dropout: Option<&Dropout>,
    memory: &mut Memory,
    gradient: &mut [f32],
) {
    let Model {
        level,
        shape,
        layout,
        ..
    } = model;
    let (c, a) = (shape.width, shape.action);
    let steps = group.observations.len();
    let Gradients {
        logits,
        stream,
        normed,
        panels,
        tiles,
        ..
    } = &mut memory.gradients;
    weight_gradient(
        level,
        &memory.final_normed,
        logits,
        &layout.head,
        (panels.hold(Precision::F32), tiles),
        gradient,
    );
    normed.resize(steps * c);
    let finish = Store {
        to: normed,
        stride: c,
    };
    product(
        level,
        Left::rows(logits, steps, a),
        model.weights.head_across.all(),
        finish,
    );
    stream.resize(steps * c);
    stream.fill(0.0);
    let x = &memory.streams[shape.layers];
    let statistics = &memory.final_statistics;
    norm_backward(
        model,
        &layout.final_norm,
        x,
        statistics,
        normed,
        stream,
        gradient,
    );

    for layer in (0..shape.layers).rev() {
        let block = &memory.blocks[layer];
        let x = &memory.streams[layer];
        mlp_backward(
            model,
            dropout,
            layer,
            block,
            &mut memory.gradients,
            gradient,
        );
        let scratch = (&mut memory.gradients, &mut memory.attention);
        attend_backward(model, group, dropout, layer, block, scratch, gradient);
        project_backward(
            model,
            group,
            layer,
            x,
            block,
            &mut memory.gradients,
            gradient,
        );
    }

    let Gradients {
        stream,
        branch,
        normed,
        panels,
        ..
    } = &mut memory.gradients;
    let rate = rate(dropout, Site::Embedding);
    let dy = undrop(level, rate, &memory.embedded_rows, stream, branch);
    normed.resize(group.tokens * c);
    normed.fill(0.0);
    let statistics = &memory.embedded_statistics;
    norm_backward(
        model,
        &layout.embed_norm,
        &memory.embedded,
        statistics,
        dy,
        normed,
        gradient,
    );
    for sequence in &group.sequences {
        let rows = sequence.token_rows();
        let dx = &normed[rows.start * c..rows.end * c];
        let steps = windows.sequence(sequence.window);
        let panels = panels.hold(Precision::F32);
        embedding::cpu::backward(level, layout, steps, dx, gradient, panels);
    }
}

/// In `gradients.stream`: from the gradient behind a block's MLP to the one in front of it.
fn mlp_backward(
    model: Model<'_>,
    dropout: Option<&Dropout>,
    layer: usize,
    block: &Block,
    gradients: &mut Gradients,
    gradient: &mut [f32],
) {
    let Model { level, shape, .. } = model;
    let c = shape.width;
    let (at, weights) = (
        &model.layout.blocks[layer],
        &model.weights.blocks[layer].across,
    );
    let Gradients {
        stream,
        branch,
        hidden,
        normed,
        panels,
        tiles,
        ..
    } = gradients;
    panels.hold(model.precision);
    let queries = block.middle.len() / c;

    let rate = rate(dropout, Site::Mlp { layer });
    let dy = undrop(level, rate, &block.mlp_rows, stream, branch);
    let factors = (&mut *panels, &mut *tiles);
    weight_gradient(level, &block.hidden, dy, &at.down, factors, gradient);
    hidden.resize(queries * 4 * c);
    let finish = ActivateBackward {
        activation: shape.activation,
        slope: &block.hidden_slope,
        output: &block.hidden,
        to: hidden,
        stride: 4 * c,
    };
    product(
        level,
        Left::rows(dy, queries, c),
        weights.down.all(),
        finish,
    );
    let factors = (panels, tiles);
    weight_gradient(level, &block.normed_2, hidden, &at.up, factors, gradient);
    normed.resize(queries * c);
    let finish = Store {
        to: normed,
        stride: c,
    };
    product(
        level,
        Left::rows(hidden, queries, 4 * c),
        weights.up.all(),
        finish,
    );
    let statistics = &block.statistics_2;
    norm_backward(
        model,
        &at.norm_2,
        &block.middle,
        statistics,
        normed,
        stream,
        gradient,
    );
}

/// From the gradient behind a block's attention, in `gradients.stream`, to those of its queries, keys and values; or,
/// where it attends directly, to those of its queries and of the norm.
fn attend_backward(
    model: Model<'_>,
    group: &Group,
    dropout: Option<&Dropout>,
    layer: usize,
    block: &Block,
    memory: (&mut Gradients, &mut attention::cpu::Scratch),
    gradient: &mut [f32],
) {
    let Model { level, shape, .. } = model;
    let (c, h) = (shape.width, shape.heads);
    let last = model.is_last(layer);
    let (queries, visible) = group.queries(last);
    let (gradients, scratch) = memory;
    let Gradients {
        stream,
        branch,
        attended,
        q,
        kv,
        panels,
        tiles,
        ..
    } = gradients;
    panels.hold(model.precision);

    let rate = rate(dropout, Site::Projection { layer });
    let dy = undrop(level, rate, &block.projection_rows, stream, branch);
    let pair = &model.layout.blocks[layer].projection;
    weight_gradient(level, &block.attended, dy, pair, (panels, tiles), gradient);
    attended.resize(queries * c);
    let finish = Store {
        to: attended,
        stride: c,
    };
    let weights = &model.weights.blocks[layer].across.projection;
    product(level, Left::rows(dy, queries, c), weights.all(), finish);

    if last && model.direct {
        let memory = (gradients, scratch);
        return direct::attend_backward(model, group, dropout, block, memory, gradient);
    }
    q.resize(queries * c);
    kv.resize(group.tokens * 2 * c);
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
            heads: h,
            visible,
            masked: masked(dropout, layer, sequence),
        };
        let of_queries = asking.start * c..asking.end * c;
        let of_keys = rows.start * 2 * c..rows.end * 2 * c;
        let given = attention::cpu::Given {
            q: &block.q[of_queries.clone()],
            kv: &block.kv[of_keys.clone()],
            out: &block.attended[of_queries.clone()],
            logs: &block.logs[asking.start * h..asking.end * h],
            dout: &attended[of_queries.clone()],
        };
        let (dq, dkv) = (&mut q[of_queries], &mut kv[of_keys]);
        attention::cpu::backward(level, problem, given, dq, dkv, scratch);
    }
}

/// In `gradients.stream`: from the gradients of a block's queries, keys and values to the one in front of it.
fn project_backward(
    model: Model<'_>,
    group: &Group,
    layer: usize,
    x: &[f32],
    block: &Block,
    gradients: &mut Gradients,
    gradient: &mut [f32],
) {
    let level = model.level;
    let (c, tokens) = (model.shape.width, group.tokens);
    let (at, weights) = (
        &model.layout.blocks[layer],
        &model.weights.blocks[layer].across,
    );
    let last = model.is_last(layer);
    let (queries, _) = group.queries(last);
    let Gradients {
        stream,
        branch,
        normed,
        q,
        kv,
        panels,
        tiles,
        ..
    } = gradients;
    panels.hold(model.precision);

    let asking = if last { &block.asking } else { &block.normed_1 };
    let (weight, bias) = (at.qkv.weight.clone(), at.qkv.bias.clone());
    let sums = &mut gradient[bias.start..bias.start + c];
    panels.pack(level, q, c, queries, c, Some(sums));
    let finish = Accumulate {
        to: &mut gradient[weight.clone()],
        stride: 3 * c,
    };
    product(
        level,
        tiles.columns(level, panels, asking, queries, c),
        panels.all(),
        finish,
    );
    if !(last && model.direct) {
        let sums = &mut gradient[bias.start + c..bias.end];
        panels.pack(level, kv, 2 * c, tokens, 2 * c, Some(sums));
        let finish = Accumulate {
            to: &mut gradient[weight.start + c..weight.end],
            stride: 3 * c,
        };
        product(
            level,
            tiles.columns(level, panels, &block.normed_1, tokens, c),
            panels.all(),
            finish,
        );
        normed.resize(tokens * c);
        let finish = Store {
            to: normed,
            stride: c,
        };
        product(
            level,
            Left::rows(kv, tokens, 2 * c),
            weights.keys_values.all(),
            finish,
        );
    }
    let left = Left::rows(q, queries, c);
    if last {
        let finish = AccumulateRows {
            to: normed,
            rows: &group.observations,
            stride: c,
        };
        product(level, left, weights.query.all(), finish);
        // The residual path leads back to the observations' rows only.
        branch.resize(tokens * c);
        branch.fill(0.0);
        for (row, d) in group.observations.iter().zip(stream.chunks(c)) {
            branch[row * c..(row + 1) * c].copy_from_slice(d);
        }
        std::mem::swap(stream, branch);
    } else {
        let finish = Accumulate {
            to: normed,
            stride: c,
        };
        product(level, left, weights.query.all(), finish);
    }
    norm_backward(
        model,
        &at.norm_1,
        x,
        &block.statistics_1,
        normed,
        stream,
        gradient,
    );
}

/// The gradient in front of dropout: `dy` itself if nothing was dropped.
fn undrop<'a>(
    level: Level,
    rate: Option<Rate>,
    rows: &[Row],
    dy: &'a [f32],
    memory: &'a mut Buffer,
) -> &'a [f32] {
    let Some(rate) = rate else {
        return dy;
    };
    memory.resize(dy.len());
    dropout::cpu::apply(level, Masks { rate, rows }, dy, memory);
    memory
}

/// dW += x^T dy, with factors as `panels` hold them; db += the column sums of dy.
fn weight_gradient(
    level: Level,
    x: &[f32],
    dy: &[f32],
    pair: &Pair,
    (panels, tiles): (&mut Panels, &mut Tiles),
    gradient: &mut [f32],
) {
    let outputs = pair.bias.len();
    let rows = dy.len() / outputs;
    panels.pack(
        level,
        dy,
        outputs,
        rows,
        outputs,
        Some(&mut gradient[pair.bias.clone()]),
    );
    let finish = Accumulate {
        to: &mut gradient[pair.weight.clone()],
        stride: outputs,
    };
    product(
        level,
        tiles.columns(level, panels, x, rows, pair.weight.len() / outputs),
        panels.all(),
        finish,
    );
}

/// Adds a norm's gradients: to dx, and to those of its gain and bias.
fn norm_backward(
    model: Model<'_>,
    pair: &Pair,
    x: &[f32],
    statistics: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    gradient: &mut [f32],
) {
    // The bias lies right behind the gain.
    let (dgain, dbias) = gradient[pair.weight.start..pair.bias.end].split_at_mut(pair.weight.len());
    let gain = model.of(&pair.weight);
    layer_norm::cpu::backward(model.level, x, gain, statistics, dy, dx, dgain, dbias);
}
