//! The last layer's attention without keys and values: the products with their weights, on the queries' side.
//!
//! The maths is that of [`attention::direct`]; here are the parts that take all rows of a group at once.

use super::memory::{Block, Gradients};
use super::{Group, Model, Sequence, masked};
use crate::kernels::attention::{self, Visible, cpu::Problem, direct};
use crate::kernels::dropout::Dropout;
use crate::kernels::epilogue::{Accumulate, Store, StoreScaled, StoreWithBiases};
use crate::kernels::linear::cpu::{Left, product};
use crate::kernels::precision::Precision;

/// 1 / sqrt d
fn scale(model: Model<'_>) -> f32 {
    let d = model.shape.width / model.shape.heads;
    1.0 / (d as f32).sqrt()
}

fn problem<'a>(
    model: Model<'_>,
    group: &Group,
    dropout: Option<&'a Dropout>,
    sequence: &Sequence,
) -> (Problem<'a>, direct::Rows) {
    let problem = Problem {
        queries: sequence.steps,
        keys: sequence.token_rows().len(),
        width: model.shape.width,
        heads: model.shape.heads,
        visible: Visible::OBSERVATIONS,
        masked: masked(dropout, model.shape.layers - 1, sequence),
    };
    let rows = direct::Rows {
        first: sequence.step_row,
        all: group.observations.len(),
    };
    (problem, rows)
}

/// `block.attended` from `block.q`, which it divides by sqrt d, and `block.normed_1`.
pub(super) fn attend(
    model: Model<'_>,
    group: &Group,
    dropout: Option<&Dropout>,
    block: &mut Block,
    scratch: &mut attention::cpu::Scratch,
) {
    let (level, c, heads) = (model.level, model.shape.width, model.shape.heads);
    let (d, queries, layer) = (c / heads, group.observations.len(), model.shape.layers - 1);
    let weights = &model.weights.blocks[layer];
    for q in block.q.iter_mut() {
        *q *= scale(model);
    }
    block.asked.resize(heads * queries * c);
    block.gathered.resize(heads * queries * c);
    block.sums.resize(heads * queries);
    block.logs.resize(queries * heads);
    for (head, u) in block.asked.chunks_mut(queries * c).enumerate() {
        let left = Left::rows(&block.q[head * d..], queries, c);
        let right = weights.across.keys_values.part(head * d..(head + 1) * d, c);
        product(level, left, right, Store { to: u, stride: c });
    }
    for sequence in &group.sequences {
        let (problem, rows) = problem(model, group, dropout, sequence);
        let (keys, asking) = (sequence.token_rows(), sequence.step_rows());
        direct::forward(
            level,
            problem,
            rows,
            &block.asked,
            &block.normed_1[keys.start * c..keys.end * c],
            &mut block.gathered,
            &mut block.sums,
            &mut block.logs[asking.start * heads..asking.end * heads],
            scratch,
        );
    }
    let biases = &model.of(&model.layout.blocks[layer].qkv.bias)[2 * c..];
    for (head, a) in block.gathered.chunks(queries * c).enumerate() {
        let finish = StoreWithBiases {
            bias: &biases[head * d..(head + 1) * d],
            multiples: &block.sums[head * queries..(head + 1) * queries],
            to: &mut block.attended[head * d..],
            stride: c,
        };
        let right = weights.values[head].all();
        product(level, Left::rows(a, queries, c), right, finish);
    }
}

/// From `gradients.attended` to `gradients.q`, at the queries before they were divided, and `gradients.normed`, at
/// the norm but for what the queries add; and to the gradients of the weights and biases of keys and values.
pub(super) fn attend_backward(
    model: Model<'_>,
    group: &Group,
    dropout: Option<&Dropout>,
    block: &Block,
    memory: (&mut Gradients, &mut attention::cpu::Scratch),
    gradient: &mut [f32],
) {
    let (level, c, heads) = (model.level, model.shape.width, model.shape.heads);
    let (d, queries, layer) = (c / heads, group.observations.len(), model.shape.layers - 1);
    let (at, weights) = (
        &model.layout.blocks[layer].qkv,
        &model.weights.blocks[layer],
    );
    let (
        Gradients {
            attended,
            q,
            normed,
            asked,
            gathered,
            sums,
            panels,
            ..
        },
        scratch,
    ) = memory;
    panels.hold(Precision::F32);
    gathered.resize(heads * queries * c);
    asked.resize(heads * queries * c);
    sums.resize(heads * queries);
    normed.resize(group.tokens * c);
    q.resize(queries * c);

    for (head, da) in gathered.chunks_mut(queries * c).enumerate() {
        let columns = head * d..(head + 1) * d;
        let bias = at.bias.start + 2 * c + columns.start;
        let dbias = &mut gradient[bias..bias + d];
        let bias = &model.parameters[bias..bias + d];
        let rows = attended.chunks(c).zip(&block.sums[head * queries..]);
        for ((dout, r), dr) in rows.zip(&mut sums[head * queries..]) {
            *dr = 0.0;
            for ((dout, bias), dbias) in dout[columns.clone()].iter().zip(bias).zip(&mut *dbias) {
                *dr += dout * bias;
                *dbias += r * dout;
            }
        }
        panels.pack(level, &attended[columns.start..], c, queries, d, None);
        let a = &block.gathered[head * queries * c..];
        let finish = Accumulate {
            to: &mut gradient[at.weight.start + 2 * c + columns.start..at.weight.end],
            stride: 3 * c,
        };
        product(level, Left::columns(a, queries, c), panels.all(), finish);
        let left = Left::rows(&attended[columns.start..], queries, c);
        let right = (weights.across.keys_values).part(c + columns.start..c + columns.end, c);
        product(level, left, right, Store { to: da, stride: c });
    }
    for sequence in &group.sequences {
        let (problem, rows) = problem(model, group, dropout, sequence);
        let (keys, asking) = (sequence.token_rows(), sequence.step_rows());
        let keys = keys.start * c..keys.end * c;
        let of_queries = asking.start * c..asking.end * c;
        let given = attention::cpu::Given {
            q: &[],
            kv: &[],
            out: &block.attended[of_queries.clone()],
            logs: &block.logs[asking.start * heads..asking.end * heads],
            dout: &attended[of_queries],
        };
        let behind = direct::Behind {
            da: gathered,
            dr: sums,
        };
        let inputs = (&*block.asked, &block.normed_1[keys.clone()]);
        let dx = &mut normed[keys];
        direct::backward(
            level, problem, rows, given, behind, inputs, asked, dx, scratch,
        );
    }
    for (head, du) in asked.chunks(queries * c).enumerate() {
        panels.pack(level, &block.q[head * d..], c, queries, d, None);
        let finish = Accumulate {
            to: &mut gradient[at.weight.start + c + head * d..at.weight.end],
            stride: 3 * c,
        };
        product(level, Left::columns(du, queries, c), panels.all(), finish);
        let finish = StoreScaled {
            factor: scale(model),
            to: &mut q[head * d..],
            stride: c,
        };
        let right = weights.keys[head].all();
        product(level, Left::rows(du, queries, c), right, finish);
    }
}
