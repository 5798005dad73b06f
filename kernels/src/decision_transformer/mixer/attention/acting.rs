//! Attention in a running episode: the cache of its tokens, and the branch of the newest ones.

use super::direct::scale;
use super::forward::project;
use super::{Parameters, Weights, project_keys_values, project_queries};
use crate::attention::{self, Visible, cpu::Problem, cpu::Weighting};
use crate::buffer::Buffer;
use crate::decision_transformer::mixer::rows::Rows;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::epilogue::{Store, StoreWithBias};
use crate::linear::cpu::{Left, product};
use crate::linear_attention;
use std::ops::Range;

/// Queries, keys and values of one layer's input tokens.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    q: Rows,
    kv: Rows,
}

/// The entries of some tokens.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept<'a> {
    q: &'a [f32],
    kv: &'a [f32],
}

/// The places of some tokens' entries, to be written.
#[derive(Default)]
pub(crate) struct Places<'a> {
    q: &'a mut [f32],
    kv: &'a mut [f32],
}

/// Scratch memory of a row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    q: Buffer,
    kv: Buffer,
    attended: Buffer,
    logs: Buffer,
    scores: Buffer,
    across: Buffer,
    mixed: Buffer,
    heads: attention::cpu::Scratch,
    linear: linear_attention::cpu::Scratch,
}

impl Cache {
    /// Resizes it to this many tokens.
    pub(in super::super) fn resize(&mut self, at: &Parameters, tokens: usize) {
        self.q.resize(at.width(), tokens);
        self.kv.resize(2 * at.width(), tokens);
    }

    /// Moves some tokens to the front and drops the others.
    pub(in super::super) fn forget(&mut self, at: &Parameters, kept: &Range<usize>) {
        self.q.forget(at.width(), kept);
        self.kv.forget(2 * at.width(), kept);
    }

    /// The entries of some tokens.
    pub(in super::super) fn kept(&self, at: &Parameters, tokens: &Range<usize>) -> Kept<'_> {
        Kept {
            q: self.q.of(at.width(), tokens),
            kv: self.kv.of(2 * at.width(), tokens),
        }
    }

    /// The places of some tokens.
    pub(in super::super) fn places(
        &mut self,
        at: &Parameters,
        tokens: &Range<usize>,
    ) -> Places<'_> {
        Places {
            q: self.q.places(at.width(), tokens),
            kv: self.kv.places(2 * at.width(), tokens),
        }
    }
}

impl Places<'_> {
    /// Copies what later tokens need of some tokens.
    pub(in super::super) fn copy_past(self, from: Kept<'_>) {
        self.kv.copy_from_slice(from.kv);
    }
}

/// Caches new normed tokens; only the rows `query_rows` become queries.
#[expect(
    clippy::needless_pass_by_value,
    reason = "places are borrowed for this alone"
)]
pub(in super::super) fn keep(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    query_rows: &Range<usize>,
    to: Places<'_>,
) {
    let query_rows = query_rows.start * at.width()..query_rows.end * at.width();
    let q = &mut to.q[query_rows.clone()];
    project_queries(at, network, &weights.query, &normed[query_rows], q);
    project_keys_values(at, network, &weights.keys_values, normed, to.kv);
}

/// Caches new normed tokens of several episodes.
pub(in super::super) fn keep_each<'a>(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    places: impl Iterator<Item = Places<'a>>,
    scratch: &mut Scratch,
) {
    let Scratch { q, kv, .. } = scratch;
    q.resize(normed.len());
    kv.resize(2 * normed.len());
    project_queries(at, network, &weights.query, normed, q);
    project_keys_values(at, network, &weights.keys_values, normed, kv);
    let (mut q, mut kv) = (&**q, &**kv);
    for to in places {
        let (these, others) = q.split_at(to.q.len());
        to.q.copy_from_slice(these);
        q = others;
        let (these, others) = kv.split_at(to.kv.len());
        to.kv.copy_from_slice(these);
        kv = others;
    }
}

/// The branch of a few tokens of several episodes: of each, what is kept and which of its rows ask.
/// A token attends to all kept ones up to itself.
pub(in super::super) fn extend_each<'a>(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    runs: impl Iterator<Item = (Kept<'a>, Range<usize>)>,
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let c = at.width();
    let Scratch {
        attended, scores, ..
    } = scratch;
    attended.resize(branch.residual.len());
    let mut outs = attended.chunks_mut(c);
    for (kept, rows) in runs {
        for (token, out) in rows.zip(outs.by_ref()) {
            let (q, kv) = (
                &kept.q[token * c..(token + 1) * c],
                &kept.kv[..(token + 1) * 2 * c],
            );
            ask(at, network, q, kv, scores, out);
        }
    }
    project(at, network, weights, attended, branch);
}

/// The softmax of scores divided by sqrt d.
fn softmax(at: &Parameters) -> Weighting {
    Weighting::Softmax {
        scale: scale(at),
        visible: Visible::TOKENS.hiding(at.hidden),
    }
}

/// The attention of one token, in all heads, over every row of kv.
fn ask(
    at: &Parameters,
    network: Network<'_>,
    q: &[f32],
    kv: &[f32],
    scores: &mut Buffer,
    out: &mut [f32],
) {
    let (c, d) = (at.width(), at.width() / at.heads);
    scores.resize(kv.len() / (2 * c));
    for head in (0..c).step_by(d) {
        let part = head..head + d;
        let (keys, values) = (&kv[head..], &kv[c + head..]);
        let (q, out) = (&q[part.clone()], &mut out[part]);
        let strides = (2 * c, 2 * c);
        let weighting = if at.linear {
            Weighting::Sum {
                more: linear_attention::EPSILON,
            }
        } else {
            softmax(at)
        };
        let level = network.level;
        attention::cpu::one_query(level, q, keys, values, strides, weighting, scores, out);
    }
}

/// The branch of a run of tokens; all tokens up to its end are cached.
pub(in super::super) fn pass(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    kept: Kept<'_>,
    rows: &Range<usize>,
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let c = at.width();
    let Scratch {
        attended,
        logs,
        heads,
        linear,
        ..
    } = scratch;
    attended.resize(rows.len() * c);
    logs.resize(rows.len() * at.heads);
    let problem = Problem {
        queries: rows.len(),
        keys: rows.end,
        width: c,
        heads: at.heads,
        visible: Visible::behind(rows.start).hiding(at.hidden),
        masked: None,
    };
    let (q, kv) = (
        &kept.q[rows.start * c..rows.end * c],
        &kept.kv[..rows.end * 2 * c],
    );
    if at.linear {
        linear_attention::cpu::forward(network.level, problem, q, kv, attended, logs, linear);
    } else {
        attention::cpu::forward(network.level, problem, q, kv, attended, logs, heads);
    }
    project(at, network, weights, attended, branch);
}

/// The branch of the newest token in the last layer, from all normed tokens: without keys and
/// values, unless the attention is linear.
pub(in super::super) fn answer(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let Scratch {
        q,
        kv,
        attended,
        scores,
        across,
        mixed,
        ..
    } = scratch;
    let (c, d, level) = (at.width(), at.width() / at.heads, network.level);
    q.resize(c);
    project_queries(at, network, &weights.query, &normed[normed.len() - c..], q);
    attended.resize(c);
    if at.linear {
        kv.resize(2 * normed.len());
        project_keys_values(at, network, &weights.keys_values, normed, kv);
        ask(at, network, q, kv, scores, attended);
        return project(at, network, weights, attended, branch);
    }
    scores.resize(normed.len() / c);
    across.resize(c);
    mixed.resize(c);
    let bias = &network.of(&at.qkv.bias)[2 * c..];
    for (head, values) in weights.values.iter().enumerate() {
        let part = head * d..(head + 1) * d;
        let left = Left::rows(&q[part.clone()], 1, d);
        let finish = Store {
            to: across,
            stride: c,
        };
        let keys = weights.keys_transposed.part(part.clone(), c);
        product(level, left, keys, finish);
        let (strides, weighting) = ((c, c), softmax(at));
        attention::cpu::one_query(
            level, across, normed, normed, strides, weighting, scores, mixed,
        );
        let bias = &bias[part.clone()];
        let finish = StoreWithBias {
            bias,
            to: &mut attended[part],
            stride: d,
        };
        product(level, Left::rows(mixed, 1, c), values.all(), finish);
    }
    project(at, network, weights, attended, branch);
}
