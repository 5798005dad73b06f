//! The forward pass: from the normed tokens of a group to the branch.

use super::{Parameters, Scratch, Tape, Weights};
use super::{direct, problem, project_keys_values, project_queries};
use crate::attention;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::linear::cpu::{Left, product};
use crate::linear_attention;

/// Computes the branch from `normed`, and fills `tape`.
pub(in super::super) fn forward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    normed: &[f32],
    (tape, scratch): (&mut Tape, &mut Scratch),
    branch: Branch<'_>,
) {
    let Layer { network, group, .. } = layer;
    let (c, queries) = (at.width(), group.outputs(layer.last));
    let query_rows = if layer.last {
        group.gather_observations(normed, c, &mut tape.query_rows);
        &tape.query_rows
    } else {
        normed
    };
    tape.q.resize(queries * c);
    project_queries(at, network, &weights.query, query_rows, &mut tape.q);
    tape.attended.resize(queries * c);
    tape.logs.resize(queries * at.heads);
    if weights.direct {
        direct::attend(at, layer, weights, normed, tape, &mut scratch.heads);
    } else {
        tape.kv.resize(group.tokens * 2 * c);
        project_keys_values(at, network, &weights.keys_values, normed, &mut tape.kv);
        attend(at, layer, tape, scratch);
    }
    project(at, network, weights, &tape.attended, branch);
}

/// Computes `attended` from queries, keys and values.
fn attend(at: &Parameters, layer: Layer<'_>, tape: &mut Tape, scratch: &mut Scratch) {
    let (c, heads, level) = (at.width(), at.heads, layer.network.level);
    for sequence in &layer.group.sequences {
        let (keys, query_rows) = (sequence.token_rows(), sequence.outputs(layer.last));
        let problem = problem(at, layer, sequence);
        let q = &tape.q[query_rows.start * c..query_rows.end * c];
        let kv = &tape.kv[keys.start * 2 * c..keys.end * 2 * c];
        let out = &mut tape.attended[query_rows.start * c..query_rows.end * c];
        let logs = &mut tape.logs[query_rows.start * heads..query_rows.end * heads];
        if at.linear {
            let scratch = &mut scratch.linear;
            linear_attention::cpu::forward(level, problem, q, kv, out, logs, scratch);
        } else {
            attention::cpu::forward(level, problem, q, kv, out, logs, &mut scratch.heads);
        }
    }
}

/// Computes the branch from `attended`.
pub(super) fn project(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    attended: &[f32],
    branch: Branch<'_>,
) {
    let c = at.width();
    let left = Left::rows(attended, branch.residual.len() / c, c);
    let finish = branch.finish(network.of(&at.projection.bias));
    product(network.level, left, weights.projection.all(), finish);
}
