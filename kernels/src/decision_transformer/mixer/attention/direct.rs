//! The last layer's attention without keys and values: their weights are multiplied with the
//! queries instead.
//!
//! The maths is that of [`kernels::attention::direct`](crate::attention::direct); here are
//! the products over all rows of a group at once.

use super::{Parameters, Scratch, Tape, Weights, observations, problem};
use crate::attention::{self, direct};
use crate::buffer::Buffer;
use crate::decision_transformer::group::{Group, Sequence};
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Factors;
use crate::decision_transformer::shape::Shape;
use crate::epilogue::{Accumulate, Store, StoreScaled, StoreWithBiases};
use crate::linear::cpu::{Left, product};
use crate::precision::Precision;

/// Whether this takes fewer multiply-adds in the last layer of full windows. It is not available in
/// bfloat16, whose pairs cannot be split by heads.
pub(crate) fn pays(precision: Precision, shape: &Shape) -> bool {
    let (queries, keys) = (shape.context, shape.condition.tokens(shape.context));
    let visible = observations(shape.condition);
    precision == Precision::F32 && direct::pays(visible, queries, keys, shape.width, shape.heads)
}

/// 1 / sqrt d
pub(super) fn scale(at: &Parameters) -> f32 {
    let d = at.width() / at.heads;
    1.0 / (d as f32).sqrt()
}

fn rows(group: &Group, sequence: &Sequence) -> direct::Rows {
    direct::Rows {
        first: sequence.step_row,
        all: group.observations.len(),
    }
}

/// `tape.attended` from `tape.q`, which it divides by sqrt d, and `normed`.
pub(super) fn attend(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    normed: &[f32],
    tape: &mut Tape,
    scratch: &mut attention::cpu::Scratch,
) {
    let Layer { network, group, .. } = layer;
    let (level, c, heads) = (network.level, at.width(), at.heads);
    let (d, queries) = (c / heads, group.observations.len());
    let scale = scale(at);
    for q in tape.q.iter_mut() {
        *q *= scale;
    }
    tape.asked.resize(heads * queries * c);
    tape.gathered.resize(heads * queries * c);
    tape.sums.resize(heads * queries);
    for (head, u) in tape.asked.chunks_mut(queries * c).enumerate() {
        let left = Left::rows(&tape.q[head * d..], queries, c);
        let keys_values = &weights.transposed.keys_values;
        let right = keys_values.part(head * d..(head + 1) * d, c);
        product(level, left, right, Store { to: u, stride: c });
    }
    for sequence in &group.sequences {
        let (keys, query_rows) = (sequence.token_rows(), sequence.step_rows());
        direct::forward(
            level,
            problem(at, layer, sequence),
            rows(group, sequence),
            &tape.asked,
            &normed[keys.start * c..keys.end * c],
            &mut tape.gathered,
            &mut tape.sums,
            &mut tape.logs[query_rows.start * heads..query_rows.end * heads],
            scratch,
        );
    }
    let biases = &network.of(&at.qkv.bias)[2 * c..];
    for (head, a) in tape.gathered.chunks(queries * c).enumerate() {
        let finish = StoreWithBiases {
            bias: &biases[head * d..(head + 1) * d],
            multiples: &tape.sums[head * queries..(head + 1) * queries],
            to: &mut tape.attended[head * d..],
            stride: c,
        };
        let right = weights.values[head].all();
        product(level, Left::rows(a, queries, c), right, finish);
    }
}

/// From `scratch.attended` to `scratch.q`, the gradient of the undivided queries, and `dnormed`,
/// that of the normed tokens without the queries' contribution; and to the gradients of the weights
/// and biases of keys and values.
pub(super) fn attend_backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&mut Scratch, &mut Factors),
    dnormed: &mut Buffer,
    gradient: &mut [f32],
) {
    let Layer { network, group, .. } = layer;
    let (level, c, heads) = (network.level, at.width(), at.heads);
    let (d, queries) = (c / heads, group.observations.len());
    let (qkv, parameters) = (&at.qkv, network.parameters);
    let Scratch {
        attended,
        q,
        asked,
        gathered,
        sums,
        heads: memory,
        ..
    } = scratch;
    let panels = factors.panels.hold(Precision::F32);
    gathered.resize(heads * queries * c);
    asked.resize(heads * queries * c);
    sums.resize(heads * queries);
    dnormed.resize(group.tokens * c);
    q.resize(queries * c);

    for (head, da) in gathered.chunks_mut(queries * c).enumerate() {
        let columns = head * d..(head + 1) * d;
        let bias = qkv.bias.start + 2 * c + columns.start;
        let dbias = &mut gradient[bias..bias + d];
        let bias = &parameters[bias..bias + d];
        let rows = attended.chunks(c).zip(&tape.sums[head * queries..]);
        for ((dout, r), dr) in rows.zip(&mut sums[head * queries..]) {
            *dr = 0.0;
            for ((dout, bias), dbias) in dout[columns.clone()].iter().zip(bias).zip(&mut *dbias) {
                *dr += dout * bias;
                *dbias += r * dout;
            }
        }
        panels.pack(level, &attended[columns.start..], c, queries, d, None);
        let a = &tape.gathered[head * queries * c..];
        let finish = Accumulate {
            to: &mut gradient[qkv.weight.start + 2 * c + columns.start..qkv.weight.end],
            stride: 3 * c,
        };
        product(level, Left::columns(a, queries, c), panels.all(), finish);
        let left = Left::rows(&attended[columns.start..], queries, c);
        let right = (weights.transposed.keys_values).part(c + columns.start..c + columns.end, c);
        product(level, left, right, Store { to: da, stride: c });
    }
    for sequence in &group.sequences {
        let (problem, rows) = (problem(at, layer, sequence), rows(group, sequence));
        let (keys, query_rows) = (sequence.token_rows(), sequence.step_rows());
        let keys = keys.start * c..keys.end * c;
        let of_queries = query_rows.start * c..query_rows.end * c;
        let given = attention::cpu::Given {
            q: &[],
            kv: &[],
            out: &tape.attended[of_queries.clone()],
            logs: &tape.logs[query_rows.start * heads..query_rows.end * heads],
            dout: &attended[of_queries],
        };
        let behind = direct::Behind {
            da: gathered,
            dr: sums,
        };
        let inputs = (&*tape.asked, &normed[keys.clone()]);
        let dx = &mut dnormed[keys];
        direct::backward(
            level, problem, rows, given, behind, inputs, asked, dx, memory,
        );
    }
    for (head, du) in asked.chunks(queries * c).enumerate() {
        panels.pack(level, &tape.q[head * d..], c, queries, d, None);
        let finish = Accumulate {
            to: &mut gradient[qkv.weight.start + c + head * d..qkv.weight.end],
            stride: 3 * c,
        };
        product(level, Left::columns(du, queries, c), panels.all(), finish);
        let finish = StoreScaled {
            factor: scale(at),
            to: &mut q[head * d..],
            stride: c,
        };
        let right = weights.keys[head].all();
        product(level, Left::rows(du, queries, c), right, finish);
    }
}
