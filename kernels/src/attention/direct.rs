//! Attention over the inputs of keys and values, without computing keys and values.
//!
//! With few queries and many keys it is cheaper to apply the weights of keys and values to the
//! queries and outputs. Per head, with `x_j` the inputs (the norm's rows, C wide), q the queries
//! divided by sqrt d, and W the head's columns:
//!
//! ```text
//! s_ij = q_i . (x_j Wk + bk) = (q_i Wk^T) . x_j + const_i      softmax drops const_i
//!        u_i = q_i Wk^T, C wide
//! o_i  = sum_j m_ij p_ij (x_j Wv + bv) = a_i Wv + r_i bv
//!        a_i = sum_j m_ij p_ij x_j,   r_i = sum_j m_ij p_ij
//! ```
//!
//! r is 1 without dropout. Backward, from the gradient `do_i`:
//!
//! ```text
//! dWv = sum_i a_i (x) do_i     dbv = sum_i r_i do_i     da_i = do_i Wv^T     dr_i = do_i . bv
//! dp_ij = m_ij (da_i . x_j + dr_i)
//! ds_ij = p_ij (dp_ij - do_i . o_i)       as before, because do_i . o_i = da_i . a_i + dr_i r_i
//! du_i  = sum_j ds_ij x_j
//! dx_j  = sum_i m_ij p_ij da_i + ds_ij u_i
//! dWk   = sum_i du_i (x) q_i   dbk = 0                  dq_i = du_i Wk
//! ```
//!
//! The products with Wk and Wv have as many rows as there are queries, a third of the keys in the
//! last layer; in return a head attends over C numbers, not C / H. So it is cheaper with few heads:
//! [`pays`] decides. This file has the part between u and a of one sequence; the products with the
//! weights are in the model.

use super::Visible;
use super::cpu::{Block, Given, Problem, Scratch, softmax, softmax_backward};
use crate::epilogue::{Accumulate, Store};
use crate::linear::cpu::{Left, product};
use crate::simd::Level;
use std::ops::Range;

/// Whether it takes fewer multiply-adds than computing keys and values. Backward takes twice as
/// many of each as forward, so forward decides.
pub(crate) fn pays(
    visible: Visible,
    queries: usize,
    keys: usize,
    width: usize,
    heads: usize,
) -> bool {
    let pairs: usize = (0..queries).map(|query| visible.keys(query)).sum();
    let weights = |rows: usize| 2 * rows * width * width;
    let attention = |heads: usize| 2 * pairs * heads * width;
    weights(queries) + attention(heads) < weights(keys) + attention(1)
}

/// The rows of a group's matrices that belong to the sequence. Those of u, a and r are heads x the
/// group's queries.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// The sequence's first query.
    pub(crate) first: usize,
    /// The group's queries.
    pub(crate) all: usize,
}

impl Rows {
    fn of_head(self, head: usize, queries: usize) -> Range<usize> {
        let start = head * self.all + self.first;
        start..start + queries
    }
}

/// u: heads x queries x C, x: keys x C; writes a and r shaped as u and its rows, and `logs`, heads
/// x queries of the sequence alone.
#[expect(
    clippy::too_many_arguments,
    reason = "two inputs, their strides, and three outputs"
)]
pub(crate) fn forward(
    level: Level,
    problem: Problem<'_>,
    rows: Rows,
    u: &[f32],
    x: &[f32],
    a: &mut [f32],
    r: &mut [f32],
    logs: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, keys) = (problem.width, problem.keys);
    scratch.keys_across.pack_transposed(level, x, c, c, keys);
    scratch.values.pack(level, x, c, keys, c, None);
    for head in 0..problem.heads {
        let of_head = rows.of_head(head, problem.queries);
        for block in problem.blocks(head, level) {
            let Block {
                first,
                rows,
                stride,
                ..
            } = block;
            let at = (of_head.start + first) * c;
            scratch.probabilities.resize(rows * stride);
            let p = &mut scratch.probabilities;
            let finish = Store { to: p, stride };
            let right = scratch.keys_across.part(0..c, block.seen());
            product(level, Left::rows(&u[at..], rows, c), right, finish);
            let logs = &mut logs[head * problem.queries + first..][..rows];
            softmax(level, block, p, logs);
            let sums = &mut r[of_head.start + first..][..rows];
            if problem.masked.is_some() {
                for (sum, p) in sums.iter_mut().zip(p.chunks(stride)) {
                    *sum = p[..block.seen()].iter().sum();
                }
            } else {
                sums.fill(1.0);
            }
            let finish = Store {
                to: &mut a[at..],
                stride: c,
            };
            let right = scratch.values.part(0..block.seen(), c);
            product(level, Left::rows(p, rows, stride), right, finish);
        }
    }
}

/// The gradients at a and r, shaped as these.
#[derive(Clone, Copy)]
pub(crate) struct Behind<'a> {
    pub(crate) da: &'a [f32],
    pub(crate) dr: &'a [f32],
}

/// Writes du, shaped as u, and dx, shaped as x. `given` has o, its gradient and `logs` of the
/// sequence.
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, their strides, the gradients at the outputs, and those at the inputs"
)]
pub(crate) fn backward(
    level: Level,
    problem: Problem<'_>,
    rows: Rows,
    given: Given<'_>,
    behind: Behind<'_>,
    (u, x): (&[f32], &[f32]),
    du: &mut [f32],
    dx: &mut [f32],
    scratch: &mut Scratch,
) {
    let (c, keys, queries) = (problem.width, problem.keys, problem.queries);
    scratch.keys_across.pack_transposed(level, x, c, c, keys);
    scratch.keys.pack(level, x, c, keys, c, None);
    let stride = keys.next_multiple_of(2 * level.lanes());
    scratch.probabilities.resize(queries * stride);
    scratch.gradients.resize(queries * stride);
    dx.fill(0.0);
    for head in 0..problem.heads {
        let of_head = rows.of_head(head, queries);
        let start = of_head.start * c;
        scratch
            .queries
            .pack(level, &u[start..], c, queries, c, None);
        (scratch.douts).pack(level, &behind.da[start..], c, queries, c, None);
        for block in problem.blocks(head, level) {
            let Block { first, rows, .. } = block;
            let at = start + first * c;
            let across = first * stride..(first + rows) * stride;
            let p = &mut scratch.probabilities[across.clone()];
            let ds = &mut scratch.gradients[across];
            let right = scratch.keys_across.part(0..c, block.seen());
            product(
                level,
                Left::rows(&u[at..], rows, c),
                right,
                Store { to: p, stride },
            );
            let left = Left::rows(&behind.da[at..], rows, c);
            product(level, left, right, Store { to: ds, stride });
            let dr = &behind.dr[of_head.start + first..][..rows];
            softmax_backward(level, block, given, dr, p, ds);
            let finish = Store {
                to: &mut du[at..],
                stride: c,
            };
            let right = scratch.keys.part(0..block.seen(), c);
            product(level, Left::rows(ds, rows, stride), right, finish);
        }
        for key in (0..keys).step_by(super::cpu::BLOCK) {
            let rows = super::cpu::BLOCK.min(keys - key);
            let seers = problem.visible.first_query(key)..queries;
            let factors = [
                (&scratch.probabilities, &scratch.douts),
                (&scratch.gradients, &scratch.queries),
            ];
            for (left, right) in factors {
                let left = Left {
                    data: &left[seers.start * stride + key..],
                    rows,
                    row_stride: 1,
                    depth_stride: stride,
                    tile_stride: None,
                };
                let finish = Accumulate {
                    to: &mut dx[key * c..],
                    stride: c,
                };
                product(level, left, right.part(seers.clone(), c), finish);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Visible, pays};

    #[test]
    fn it_is_cheaper_with_few_heads_but_not_with_many() {
        let pays = |steps, width, heads| {
            let visible = Visible::every(3, 2);
            pays(visible, steps, 3 * steps - 1, width, heads)
        };
        assert!(pays(20, 128, 1));
        assert!(pays(20, 512, 4));
        assert!(pays(1, 8, 1));
        assert!(!pays(20, 128, 16));
        assert!(!pays(50, 32, 4));
    }
}
