//! Causal attention as small products over blocks of queries, with the softmax between them.

use super::Visible;
use crate::buffer::Buffer;
use crate::dropout::cpu::{Rate, Row};
use crate::dropout::{Dropout, Site};
use crate::epilogue::{Store, StoreScaled};
use crate::linear::cpu::{Left, Panels, product};
use crate::simd::functions::exp;
use crate::simd::{Level, Simd, dispatched};

/// Queries taken together: two of the widest register tiles.
pub(crate) const BLOCK: usize = 24;

/// One sequence's attention.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) visible: Visible,
    pub(crate) masked: Option<Masked<'a>>,
}

/// The dropout masks of the probabilities.
#[derive(Clone, Copy)]
pub(crate) struct Masked<'a> {
    pub(crate) dropout: &'a Dropout,
    pub(crate) layer: usize,
    pub(crate) window: usize,
    /// The position of the sequence's first token in the padded window.
    pub(crate) first: usize,
}

/// What backward needs: the inputs, the outputs, and the gradient at the output.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) kv: &'a [f32],
    pub(crate) out: &'a [f32],
    pub(crate) logs: &'a [f32],
    pub(crate) dout: &'a [f32],
}

/// Memory that attention needs while it runs.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) keys_across: Panels,
    pub(super) values_across: Panels,
    pub(super) keys: Panels,
    pub(super) values: Panels,
    pub(super) queries: Panels,
    pub(super) douts: Panels,
    pub(super) probabilities: Buffer,
    pub(super) gradients: Buffer,
}

/// The rows of scores of one block of queries of one head.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    problem: Problem<'a>,
    head: usize,
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) stride: usize,
}

impl Block<'_> {
    /// Dropout's rate and the bits of a query's row.
    fn mask(&self, query: usize) -> Option<(Rate, Row, usize)> {
        let masked = self.problem.masked?;
        let site = Site::Attention {
            layer: masked.layer,
            head: self.head,
        };
        let token = masked.first + self.problem.visible.keys(query) - 1;
        let row = Row::new(masked.dropout.key, site, masked.window, token);
        Some((
            Rate::new(masked.dropout.probability(site)),
            row,
            masked.first,
        ))
    }

    /// Keys visible to the block's last query.
    pub(super) fn seen(&self) -> usize {
        self.problem.visible.keys(self.first + self.rows - 1)
    }
}

impl<'a> Problem<'a> {
    pub(super) fn blocks(self, head: usize, level: Level) -> impl Iterator<Item = Block<'a>> {
        let stride = self.keys.next_multiple_of(2 * level.lanes());
        (0..self.queries).step_by(BLOCK).map(move |first| {
            let rows = BLOCK.min(self.queries - first);
            Block {
                problem: self,
                head,
                first,
                rows,
                stride,
            }
        })
    }
}

/// q: queries x C, kv: keys x 2 C; writes `out`, queries x C, and `logs` (l of each query), heads x
/// queries.
pub(crate) fn forward(
    level: Level,
    problem: Problem<'_>,
    q: &[f32],
    kv: &[f32],
    out: &mut [f32],
    logs: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let scale = 1.0 / (d as f32).sqrt();
    for head in 0..problem.heads {
        let Scratch {
            keys_across,
            values,
            probabilities,
            ..
        } = scratch;
        keys_across.pack_transposed(level, &kv[head * d..], 2 * c, d, problem.keys);
        values.pack(level, &kv[c + head * d..], 2 * c, problem.keys, d, None);
        for block in problem.blocks(head, level) {
            let Block {
                first,
                rows,
                stride,
                ..
            } = block;
            let at = first * c + head * d;
            probabilities.resize(rows * stride);
            let finish = StoreScaled {
                factor: scale,
                to: probabilities,
                stride,
            };
            let left = Left::rows(&q[at..], rows, c);
            product(level, left, keys_across.part(0..d, block.seen()), finish);
            let logs = &mut logs[head * problem.queries + first..][..rows];
            softmax(level, block, probabilities, logs);
            let left = Left::rows(probabilities, rows, stride);
            let finish = Store {
                to: &mut out[at..],
                stride: c,
            };
            product(level, left, values.part(0..block.seen(), d), finish);
        }
    }
}

/// Writes dq and dkv, shaped as q and kv.
pub(crate) fn backward(
    level: Level,
    problem: Problem<'_>,
    given: Given<'_>,
    dq: &mut [f32],
    dkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (queries, keys) = (problem.queries, problem.keys);
    let scale = 1.0 / (d as f32).sqrt();
    for head in 0..problem.heads {
        let column = head * d;
        let Scratch {
            probabilities,
            gradients,
            ..
        } = scratch;
        scratch
            .keys_across
            .pack_transposed(level, &given.kv[column..], 2 * c, d, keys);
        scratch
            .values_across
            .pack_transposed(level, &given.kv[c + column..], 2 * c, d, keys);
        scratch
            .keys
            .pack(level, &given.kv[column..], 2 * c, keys, d, None);
        scratch
            .queries
            .pack(level, &given.q[column..], c, queries, d, None);
        scratch
            .douts
            .pack(level, &given.dout[column..], c, queries, d, None);
        let stride = keys.next_multiple_of(2 * level.lanes());
        probabilities.resize(queries * stride);
        gradients.resize(queries * stride);
        for block in problem.blocks(head, level) {
            let Block { first, rows, .. } = block;
            let at = first * c + column;
            let across = 0..rows * stride;
            let p = &mut probabilities[first * stride..][across.clone()];
            let ds = &mut gradients[first * stride..][across];
            let finish = StoreScaled {
                factor: scale,
                to: p,
                stride,
            };
            let left = Left::rows(&given.q[at..], rows, c);
            product(
                level,
                left,
                scratch.keys_across.part(0..d, block.seen()),
                finish,
            );
            let left = Left::rows(&given.dout[at..], rows, c);
            let finish = Store { to: ds, stride };
            product(
                level,
                left,
                scratch.values_across.part(0..d, block.seen()),
                finish,
            );
            softmax_backward(level, block, given, &[], p, ds);
            let finish = StoreScaled {
                factor: scale,
                to: &mut dq[at..],
                stride: c,
            };
            let left = Left::rows(ds, rows, stride);
            product(level, left, scratch.keys.part(0..block.seen(), d), finish);
        }
        for key in (0..keys).step_by(BLOCK) {
            let rows = BLOCK.min(keys - key);
            let seers = problem.visible.first_query(key)..queries;
            let left = |from: &'_ [f32]| seers.start * stride + key..from.len();
            let at = key * 2 * c + column;
            let part = left(probabilities);
            let factor = Left {
                data: &probabilities[part],
                rows,
                row_stride: 1,
                depth_stride: stride,
                tile_stride: None,
            };
            let finish = Store {
                to: &mut dkv[at + c..],
                stride: 2 * c,
            };
            product(level, factor, scratch.douts.part(seers.clone(), d), finish);
            let part = left(gradients);
            let factor = Left {
                data: &gradients[part],
                rows,
                row_stride: 1,
                depth_stride: stride,
                tile_stride: None,
            };
            let finish = StoreScaled {
                factor: scale,
                to: &mut dkv[at..],
                stride: 2 * c,
            };
            product(level, factor, scratch.queries.part(seers, d), finish);
        }
    }
}

/// What the weights of [`one_query`]'s mean are.
#[derive(Clone, Copy)]
pub(crate) enum Weighting {
    /// The softmax of the scores times `scale`, without the keys that are hidden in `visible`.
    Softmax { scale: f32, visible: Visible },
    /// The scores themselves, divided by `more` than their sum.
    Sum { more: f32 },
}

dispatched! {
    /// One query over as many keys and values as `scores` has elements, whose rows are `strides`
    /// apart: out = the weighted mean of the values. Nothing is copied.
    #[expect(clippy::too_many_arguments, reason = "three inputs, their strides, and two outputs")]
    pub(crate) fn one_query(
        q: &[f32],
        keys: &[f32],
        values: &[f32],
        strides: (usize, usize),
        weighting: Weighting,
        scores: &mut [f32],
        out: &mut [f32],
    ) = one_query_with;
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "three inputs, their strides, and two outputs"
)]
fn one_query_with<S: Simd>(
    s: S,
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    strides: (usize, usize),
    weighting: Weighting,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let scale = match weighting {
        Weighting::Softmax { scale, .. } => scale,
        Weighting::Sum { .. } => 1.0,
    };
    for (score, key) in scores.iter_mut().zip(keys.chunks(strides.0)) {
        let mut dots = [s.splat(0.0); 2];
        for (q, k) in q
            .chunks(2 * S::LANES)
            .zip(key[..q.len()].chunks(2 * S::LANES))
        {
            for (dot, (q, k)) in dots
                .iter_mut()
                .zip(q.chunks(S::LANES).zip(k.chunks(S::LANES)))
            {
                *dot = s.mul_add(s.load(q), s.load(k), *dot);
            }
        }
        *score = scale * s.sum(s.add(dots[0], dots[1]));
    }
    let total = match weighting {
        Weighting::Softmax { visible, .. } => visible_exponentials(s, visible, scores).1,
        Weighting::Sum { more } => more + scores.iter().sum::<f32>(),
    };
    for (part, to) in out.chunks_mut(4 * S::LANES).enumerate() {
        let at = part * 4 * S::LANES;
        let mut sums = [s.splat(0.0); 4];
        for (weight, value) in scores.iter().zip(values.chunks(strides.1)) {
            let value = &value[at..at + to.len()];
            for (sum, v) in sums.iter_mut().zip(value.chunks(S::LANES)) {
                *sum = s.mul_add(s.splat(*weight), s.load(v), *sum);
            }
        }
        for (sum, to) in sums.into_iter().zip(to.chunks_mut(S::LANES)) {
            s.store(s.mul(sum, s.splat(1.0 / total)), to);
        }
    }
}

/// [`exponentials`] of the scores of visible keys, and zeros for hidden ones.
#[inline(always)]
fn visible_exponentials<S: Simd>(s: S, visible: Visible, scores: &mut [f32]) -> (f32, f32) {
    let hide = |scores: &mut [f32], x: f32| {
        let keys = visible.hidden(scores.len());
        keys.for_each(|key| scores[key] = x);
    };
    hide(scores, f32::NEG_INFINITY);
    let found = exponentials(s, scores);
    // The least power of e is not zero, but nothing beside the others.
    hide(scores, 0.0);
    found
}

/// x <- exp(x - max x); returns the maximum and the sum of the exponentials.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &mut [f32]) -> (f32, f32) {
    let mut largest = f32::NEG_INFINITY;
    let mut chunks = x.chunks_exact(S::LANES);
    if x.len() >= S::LANES {
        let mut most = s.load(x);
        for x in chunks.by_ref() {
            most = s.max(most, s.load(x));
        }
        largest = s.largest(most);
    }
    largest = chunks
        .remainder()
        .iter()
        .fold(largest, |most, x| most.max(*x));
    let mut total = s.splat(0.0);
    let mut rest = 0.0;
    for x in x.chunks_mut(S::LANES) {
        let weight = exp(s, s.sub(s.load(x), s.splat(largest)));
        s.store(weight, x);
        // Lanes beyond the end hold exp(0 - max): add up what was stored.
        if x.len() == S::LANES {
            total = s.add(total, weight);
        } else {
            rest = x.iter().sum();
        }
    }
    (largest, s.sum(total) + rest)
}

dispatched! {
    /// Turns a block's scores into probabilities, with dropout, and zeros up to the last key
    /// visible to the block's last query.
    pub(super) fn softmax(block: Block<'_>, scores: &mut [f32], logs: &mut [f32]) = softmax_with;
}

#[inline(always)]
fn softmax_with<S: Simd>(s: S, block: Block<'_>, scores: &mut [f32], logs: &mut [f32]) {
    let seen = block.seen();
    for (row, (scores, log)) in scores.chunks_mut(block.stride).zip(logs).enumerate() {
        let query = block.first + row;
        let (scores, beyond) = scores[..seen].split_at_mut(block.problem.visible.keys(query));
        beyond.fill(0.0);
        let (largest, sum) = visible_exponentials(s, block.problem.visible, scores);
        *log = largest + sum.ln();
        let mask = block.mask(query);
        for (chunk, x) in scores.chunks_mut(S::LANES).enumerate() {
            let mut p = s.mul(s.load(x), s.splat(1.0 / sum));
            if let Some((rate, row, first)) = mask {
                p = rate.apply(s, row, first + chunk * S::LANES, p);
            }
            s.store(p, x);
        }
    }
}

dispatched! {
    /// Turns a block's scores into dropped probabilities m p, and do . v in `ds` into the gradient
    /// at the scores. `beside`, if not empty, is a number for each query that do . v lacks for all
    /// keys.
    pub(super) fn softmax_backward(
        block: Block<'_>,
        given: Given<'_>,
        beside: &[f32],
        scores: &mut [f32],
        ds: &mut [f32],
    ) = softmax_backward_with;
}

#[inline(always)]
fn softmax_backward_with<S: Simd>(
    s: S,
    block: Block<'_>,
    given: Given<'_>,
    beside: &[f32],
    scores: &mut [f32],
    ds: &mut [f32],
) {
    let Problem {
        width: c,
        heads,
        queries,
        visible,
        ..
    } = block.problem;
    let d = c / heads;
    let rows = scores
        .chunks_mut(block.stride)
        .zip(ds.chunks_mut(block.stride));
    for (row, (scores, ds)) in rows.enumerate() {
        let query = block.first + row;
        let keys = visible.keys(query);
        scores[keys..].fill(0.0);
        ds[keys..].fill(0.0);
        let log = s.splat(given.logs[block.head * queries + query]);
        let part = query * c + block.head * d..query * c + (block.head + 1) * d;
        let mut inner = s.splat(0.0);
        let pairs = given.out[part.clone()]
            .chunks(S::LANES)
            .zip(given.dout[part].chunks(S::LANES));
        for (out, dout) in pairs {
            inner = s.mul_add(s.load(out), s.load(dout), inner);
        }
        let inner = s.splat(s.sum(inner));
        let beside = s.splat(beside.get(row).copied().unwrap_or(0.0));
        let mask = block.mask(query);
        let chunks = scores[..keys]
            .chunks_mut(S::LANES)
            .zip(ds[..keys].chunks_mut(S::LANES));
        for (chunk, (x, ds)) in chunks.enumerate() {
            let p = exp(s, s.sub(s.load(x), log));
            let (mut dropped, mut dp) = (p, s.add(s.load(ds), beside));
            if let Some((rate, row, first)) = mask {
                let channel = first + chunk * S::LANES;
                let m = rate.apply(s, row, channel, s.splat(1.0));
                dropped = s.mul(m, p);
                dp = s.mul(m, dp);
            }
            s.store(dropped, x);
            s.store(s.mul(p, s.sub(dp, inner)), ds);
        }
        for key in visible.hidden(keys) {
            (scores[key], ds[key]) = (0.0, 0.0);
        }
    }
}
