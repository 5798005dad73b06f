//! Linear attention by vectors: products of blocks of queries with the sums of all keys before them
//! and with the keys of their own.

use super::EPSILON;
use crate::attention::cpu::{BLOCK, Given, Problem};
use crate::buffer::Buffer;
use crate::epilogue::{Accumulate, Store};
use crate::linear::cpu::{Left, Panels, product};
use crate::simd::functions::exp;
use crate::simd::{Level, Simd, dispatched};

/// From this many keys per channel of a head on, sums of the keys before a block are cheaper than
/// their scores: 2 d (d + 1) multiply-adds of a query for S, against 2 d for each key before its
/// block, half of all keys on average.
pub(crate) const LONG: usize = 2;

/// Memory that the op needs while it runs.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// v', keys x (d + 1).
    values: Buffer,
    /// g', queries x (d + 1).
    gradients: Buffer,
    /// S, or its counterpart in the backward pass, d x (d + 1).
    sums: Buffer,
    /// A block's s and ds.
    scores: Buffer,
    slopes: Buffer,
    /// A block's numerators and denominators.
    fractions: Buffer,
    keys: Panels,
    across: Panels,
    packed: Panels,
    queries: Panels,
}

/// Consecutive queries, with the keys whose scores they need one by one: `before..seen`.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    rows: usize,
    before: usize,
    seen: usize,
}

impl Block {
    fn keys(self) -> usize {
        self.seen - self.before
    }
}

/// Whether sums stand for the keys before a block.
fn is_long(problem: Problem<'_>) -> bool {
    problem.keys > LONG * (problem.width / problem.heads)
}

/// The block that begins at query `first`; the one before it has seen `seen` keys.
fn block(problem: Problem<'_>, first: usize, seen: usize) -> Block {
    let rows = BLOCK.min(problem.queries - first);
    Block {
        first,
        rows,
        before: if is_long(problem) { seen } else { 0 },
        seen: problem.visible.keys(first + rows - 1),
    }
}

/// All blocks, in order.
fn blocks(problem: Problem<'_>) -> impl DoubleEndedIterator<Item = Block> {
    (0..problem.queries.div_ceil(BLOCK)).map(move |index| {
        let first = index * BLOCK;
        let seen = (first.checked_sub(1)).map_or(0, |last| problem.visible.keys(last));
        block(problem, first, seen)
    })
}

/// The columns of a row-major matrix as rows: `rows` columns, whose numbers are `stride` apart.
fn transposed(data: &[f32], rows: usize, stride: usize) -> Left<'_> {
    Left {
        data,
        rows,
        row_stride: 1,
        depth_stride: stride,
        tile_stride: None,
    }
}

/// v', with a one behind each value of a head.
fn append_ones(kv: &[f32], problem: Problem<'_>, head: usize, to: &mut Buffer) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let at = c + head * d;
    to.resize(problem.keys * (d + 1));
    for (row, kv) in to.chunks_mut(d + 1).zip(kv.chunks(2 * c)) {
        row[..d].copy_from_slice(&kv[at..at + d]);
        row[d] = 1.0;
    }
}

/// Sets the scores of the keys that a query does not see to zero.
fn hide(problem: Problem<'_>, block: Block, scores: &mut [f32]) {
    for (row, scores) in scores.chunks_mut(block.keys()).enumerate() {
        let visible = problem.visible.keys(block.first + row);
        scores[visible.saturating_sub(block.before).min(block.keys())..].fill(0.0);
    }
}

/// q: features of queries x C, kv: keys x 2 C, features of the key, then the value; writes `out`,
/// queries x C, and `sums` (n of each query), heads x queries.
pub(crate) fn forward(
    level: Level,
    problem: Problem<'_>,
    q: &[f32],
    kv: &[f32],
    out: &mut [f32],
    sums: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (e, long) = (d + 1, is_long(problem));
    let Scratch {
        values,
        sums: state,
        scores,
        fractions,
        across,
        packed,
        ..
    } = scratch;
    for head in 0..problem.heads {
        let column = head * d;
        append_ones(kv, problem, head, values);
        state.resize(d * e);
        state.fill(0.0);
        for block in blocks(problem) {
            let (at, keys) = (block.first * c + column, block.keys());
            let queries = Left::rows(&q[at..], block.rows, c);
            fractions.resize(block.rows * e);
            if block.before > 0 {
                packed.pack(level, state, e, d, e, None);
                let finish = Store {
                    to: fractions,
                    stride: e,
                };
                product(level, queries, packed.all(), finish);
            } else {
                fractions.fill(0.0);
            }
            let new_keys = &kv[block.before * 2 * c + column..];
            across.pack_transposed(level, new_keys, 2 * c, d, keys);
            scores.resize(block.rows * keys);
            let finish = Store {
                to: scores,
                stride: keys,
            };
            product(level, queries, across.all(), finish);
            hide(problem, block, scores);
            packed.pack(level, &values[block.before * e..], e, keys, e, None);
            let finish = Accumulate {
                to: fractions,
                stride: e,
            };
            let left = Left::rows(scores, block.rows, keys);
            product(level, left, packed.all(), finish);
            if long {
                let finish = Accumulate {
                    to: state,
                    stride: e,
                };
                let left = transposed(new_keys, d, 2 * c);
                product(level, left, packed.all(), finish);
            }
            let sums = &mut sums[head * problem.queries + block.first..][..block.rows];
            let outs = out[at..].chunks_mut(c);
            for ((fraction, out), sum) in fractions.chunks(e).zip(outs).zip(sums) {
                *sum = fraction[d] + EPSILON;
                let reciprocal = 1.0 / *sum;
                for (out, numerator) in out.iter_mut().zip(&fraction[..d]) {
                    *out = numerator * reciprocal;
                }
            }
        }
    }
}

/// g', with h behind each g.
fn divide(given: Given<'_>, problem: Problem<'_>, head: usize, to: &mut Buffer) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let part = head * d..(head + 1) * d;
    to.resize(problem.queries * (d + 1));
    let rows = given.dout.chunks(c).zip(given.out.chunks(c));
    let rows = rows.zip(&given.logs[head * problem.queries..]);
    for (to, ((dout, out), sum)) in to.chunks_mut(d + 1).zip(rows) {
        let (dout, out) = (&dout[part.clone()], &out[part.clone()]);
        let reciprocal = 1.0 / sum;
        let mut inner = 0.0;
        for ((to, dout), out) in to.iter_mut().zip(dout).zip(out) {
            *to = dout * reciprocal;
            inner += dout * out;
        }
        to[d] = -inner * reciprocal;
    }
}

/// Writes dq and dkv, shaped as q and kv: the gradients at what φ was applied to and at the values.
/// `given.logs` are the sums of the forward pass.
pub(crate) fn backward(
    level: Level,
    problem: Problem<'_>,
    given: Given<'_>,
    dq: &mut [f32],
    dkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let c = problem.width;
    dkv.fill(0.0);
    for head in 0..problem.heads {
        append_ones(given.kv, problem, head, &mut scratch.values);
        divide(given, problem, head, &mut scratch.gradients);
        within(level, problem, head, given, dq, dkv, scratch);
        if is_long(problem) {
            from_behind(level, problem, head, given, dkv, scratch);
        }
    }
    through_features(level, given.q, dq, c, c);
    through_features(level, given.kv, dkv, 2 * c, c);
}

/// The gradient of a head's queries, and what the keys' and values' owe to the queries of their own
/// block.
fn within(
    level: Level,
    problem: Problem<'_>,
    head: usize,
    given: Given<'_>,
    dq: &mut [f32],
    dkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (e, column, long) = (d + 1, head * d, is_long(problem));
    let Scratch {
        values,
        gradients,
        sums: state,
        scores,
        slopes,
        keys: panels,
        across,
        packed,
        queries: asked,
        ..
    } = scratch;
    state.resize(d * e);
    state.fill(0.0);
    for block in blocks(problem) {
        let (at, keys) = (block.first * c + column, block.keys());
        let new_keys = &given.kv[block.before * 2 * c + column..];
        let new_values = &values[block.before * e..];
        let queries = Left::rows(&given.q[at..], block.rows, c);
        let gradient = &gradients[block.first * e..];
        scores.resize(block.rows * keys);
        across.pack_transposed(level, new_keys, 2 * c, d, keys);
        let finish = Store {
            to: scores,
            stride: keys,
        };
        product(level, queries, across.all(), finish);
        hide(problem, block, scores);
        slopes.resize(block.rows * keys);
        across.pack_transposed(level, new_values, e, e, keys);
        let finish = Store {
            to: slopes,
            stride: keys,
        };
        let left = Left::rows(gradient, block.rows, e);
        product(level, left, across.all(), finish);
        hide(problem, block, slopes);
        panels.pack(level, new_keys, 2 * c, keys, d, None);
        let finish = Store {
            to: &mut dq[at..],
            stride: c,
        };
        let across_keys = Left::rows(slopes, block.rows, keys);
        product(level, across_keys, panels.all(), finish);
        if block.before > 0 {
            across.pack_transposed(level, state, e, e, d);
            let finish = Accumulate {
                to: &mut dq[at..],
                stride: c,
            };
            product(level, left, across.all(), finish);
        }
        let at = block.before * 2 * c + column;
        asked.pack(
            level,
            &given.q[block.first * c + column..],
            c,
            block.rows,
            d,
            None,
        );
        let finish = Accumulate {
            to: &mut dkv[at..],
            stride: 2 * c,
        };
        product(level, transposed(slopes, keys, keys), asked.all(), finish);
        packed.pack(level, gradient, e, block.rows, d, None);
        let finish = Accumulate {
            to: &mut dkv[at + c..],
            stride: 2 * c,
        };
        product(level, transposed(scores, keys, keys), packed.all(), finish);
        if long {
            packed.pack(level, new_values, e, keys, e, None);
            let finish = Accumulate {
                to: state,
                stride: e,
            };
            product(level, transposed(new_keys, d, 2 * c), packed.all(), finish);
        }
    }
}

/// What the gradients of a head's keys and values owe to the queries of later blocks.
fn from_behind(
    level: Level,
    problem: Problem<'_>,
    head: usize,
    given: Given<'_>,
    dkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (e, column) = (d + 1, head * d);
    let Scratch {
        values,
        gradients,
        sums: state,
        across,
        packed,
        ..
    } = scratch;
    state.fill(0.0);
    for block in blocks(problem).rev() {
        let (at, keys) = (block.before * 2 * c + column, block.keys());
        if block.first + block.rows < problem.queries {
            across.pack_transposed(level, state, e, e, d);
            let finish = Accumulate {
                to: &mut dkv[at..],
                stride: 2 * c,
            };
            let left = Left::rows(&values[block.before * e..], keys, e);
            product(level, left, across.all(), finish);
            packed.pack(level, state, e, d, d, None);
            let finish = Accumulate {
                to: &mut dkv[at + c..],
                stride: 2 * c,
            };
            let left = Left::rows(&given.kv[at..], keys, 2 * c);
            product(level, left, packed.all(), finish);
        }
        packed.pack(level, &gradients[block.first * e..], e, block.rows, e, None);
        let finish = Accumulate {
            to: state,
            stride: e,
        };
        let left = transposed(&given.q[block.first * c + column..], d, c);
        product(level, left, packed.all(), finish);
    }
}

dispatched! {
    /// x <- φ(x) for the first `width` numbers of each row, rows `stride` apart.
    pub(crate) fn features(rows: &mut [f32], stride: usize, width: usize) = features_with;
}

#[inline(always)]
fn features_with<S: Simd>(s: S, rows: &mut [f32], stride: usize, width: usize) {
    for row in rows.chunks_mut(stride) {
        for x in row[..width].chunks_mut(S::LANES) {
            let value = s.load(x);
            // Beyond zero the exponential is not used, and could overflow.
            let small = exp(s, s.min(value, s.splat(0.0)));
            let large = s.add(value, s.splat(1.0));
            s.store(s.if_positive(value, large, small), x);
        }
    }
}

dispatched! {
    /// From the gradient at φ(x) to that at x, for the first `width` numbers of each row.
    fn through_features(features: &[f32], gradients: &mut [f32], stride: usize, width: usize)
        = through_features_with;
}

#[inline(always)]
fn through_features_with<S: Simd>(
    s: S,
    features: &[f32],
    gradients: &mut [f32],
    stride: usize,
    width: usize,
) {
    for (features, gradients) in features.chunks(stride).zip(gradients.chunks_mut(stride)) {
        let features = features[..width].chunks(S::LANES);
        for (feature, gradient) in features.zip(gradients[..width].chunks_mut(S::LANES)) {
            let slope = s.min(s.load(feature), s.splat(1.0));
            s.store(s.mul(s.load(gradient), slope), gradient);
        }
    }
}
