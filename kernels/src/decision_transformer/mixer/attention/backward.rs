//! The backward pass: from the gradient of the branch to those of the normed tokens and the
//! parameters.

use super::{Parameters, Scratch, Tape, Weights, direct, problem};
use crate::attention;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Factors;
use crate::decision_transformer::network::branch::Gradients;
use crate::epilogue::{Accumulate, AccumulateRows};
use crate::linear::cpu::{Left, product};
use crate::linear_attention;

/// Computes the gradients; `tape` is that of the forward pass of `normed`.
pub(in super::super) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&mut Scratch, &mut Factors),
    gradients: Gradients<'_>,
) {
    let Layer { network, .. } = layer;
    let c = at.width();
    let Gradients {
        branch,
        normed: dnormed,
        parameters: gradient,
    } = gradients;
    network.weight_gradient(
        network.precision,
        &at.projection,
        (&tape.attended, branch),
        factors,
        gradient,
    );
    let projection = weights.transposed.projection.all();
    network.linear_backward((branch, c), projection, (&mut scratch.attended, c));
    let given = (normed, tape);
    if weights.direct {
        let scratch = (&mut *scratch, &mut *factors);
        direct::attend_backward(at, layer, weights, given, scratch, dnormed, gradient);
    } else {
        attend_backward(at, layer, tape, scratch);
    }
    queries_gradient(at, layer, given, (scratch, factors), gradient);
    if !weights.direct {
        keys_values_gradient(at, layer, normed, (scratch, factors), gradient);
        let keys_values = weights.transposed.keys_values.all();
        network.linear_backward((&scratch.kv, 2 * c), keys_values, (dnormed, c));
    }
    let (q, query) = (&scratch.q, weights.transposed.query.all());
    let left = Left::rows(q, q.len() / c, c);
    if layer.last {
        let finish = AccumulateRows {
            to: dnormed,
            rows: &layer.group.observations,
            stride: c,
        };
        product(network.level, left, query, finish);
    } else {
        let finish = Accumulate {
            to: dnormed,
            stride: c,
        };
        product(network.level, left, query, finish);
    }
}

/// From the gradient of `attended` to those of queries, keys and values.
fn attend_backward(at: &Parameters, layer: Layer<'_>, tape: &Tape, scratch: &mut Scratch) {
    let (c, heads) = (at.width(), at.heads);
    let Scratch {
        attended,
        q,
        kv,
        heads: memory,
        linear,
        ..
    } = scratch;
    q.resize(layer.group.outputs(layer.last) * c);
    kv.resize(layer.group.tokens * 2 * c);
    for sequence in &layer.group.sequences {
        let (keys, query_rows) = (sequence.token_rows(), sequence.outputs(layer.last));
        let of_queries = query_rows.start * c..query_rows.end * c;
        let of_keys = keys.start * 2 * c..keys.end * 2 * c;
        let given = attention::cpu::Given {
            q: &tape.q[of_queries.clone()],
            kv: &tape.kv[of_keys.clone()],
            out: &tape.attended[of_queries.clone()],
            logs: &tape.logs[query_rows.start * heads..query_rows.end * heads],
            dout: &attended[of_queries.clone()],
        };
        let (dq, dkv) = (&mut q[of_queries], &mut kv[of_keys]);
        let (problem, level) = (problem(at, layer, sequence), layer.network.level);
        if at.linear {
            linear_attention::cpu::backward(level, problem, given, dq, dkv, linear);
        } else {
            attention::cpu::backward(level, problem, given, dq, dkv, memory);
        }
    }
}

/// The gradient of the queries' weight and bias.
fn queries_gradient(
    at: &Parameters,
    layer: Layer<'_>,
    (normed, tape): (&[f32], &Tape),
    (scratch, factors): (&Scratch, &mut Factors),
    gradient: &mut [f32],
) {
    let (c, level) = (at.width(), layer.network.level);
    let queries = layer.group.outputs(layer.last);
    let query_rows = if layer.last { &tape.query_rows } else { normed };
    let Factors { panels, tiles } = factors;
    panels.hold(layer.network.precision);
    let bias = at.qkv.bias.start..at.qkv.bias.start + c;
    let sums = Some(&mut gradient[bias]);
    panels.pack(level, &scratch.q, c, queries, c, sums);
    let finish = Accumulate {
        to: &mut gradient[at.qkv.weight.clone()],
        stride: 3 * c,
    };
    let left = tiles.columns(level, panels, query_rows, queries, c);
    product(level, left, panels.all(), finish);
}

/// The gradient of the keys' and values' weights and biases.
fn keys_values_gradient(
    at: &Parameters,
    layer: Layer<'_>,
    normed: &[f32],
    (scratch, factors): (&Scratch, &mut Factors),
    gradient: &mut [f32],
) {
    let (c, level, tokens) = (at.width(), layer.network.level, layer.group.tokens);
    let Factors { panels, tiles } = factors;
    let sums = Some(&mut gradient[at.qkv.bias.start + c..at.qkv.bias.end]);
    panels.pack(level, &scratch.kv, 2 * c, tokens, 2 * c, sums);
    let finish = Accumulate {
        to: &mut gradient[at.qkv.weight.start + c..at.qkv.weight.end],
        stride: 3 * c,
    };
    let left = tiles.columns(level, panels, normed, tokens, c);
    product(level, left, panels.all(), finish);
}
