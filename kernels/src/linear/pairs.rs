//! Factors of bfloat16 pairs: the same panels and the same tile as for f32 factors, with half as
//! many lines.
//!
//! A line of a panel holds two lines of the factor: lane i has the pair of the two numbers in
//! column i. The left factor is copied as pairs, too: into rows of them if the depth runs along its
//! rows; if the depth runs down its rows, into register tiles, one after the other, whose lines
//! hold a pair for each row of the tile.

use super::amx;
use super::cpu::{Left, transpose};
use super::tile::{Factors, Operands, SumTile, Sums, sum_tile_of};
use crate::buffer::Buffer;
use crate::simd::pairs::{MOST_LANES, Pairs, Vector, dispatched_pairs};
use crate::simd::{Level, Simd};
use std::cell::RefCell;
use std::ops::Range;

/// Copies the left factor of a product of that depth into `memory`, as pairs.
fn pack_left<'a>(level: Level, left: Left<'_>, depth: usize, memory: &'a mut Buffer) -> Left<'a> {
    let lines = depth.div_ceil(2);
    if left.depth_stride == 1 {
        // An odd number of cache lines, so that the rows of a tile do not map to one set of the
        // cache.
        let stride = (lines.div_ceil(MOST_LANES) | 1) * MOST_LANES;
        memory.resize(left.rows * stride);
        pack_rows(level, left, depth, stride, memory);
        Left {
            data: memory,
            row_stride: stride,
            ..left
        }
    } else {
        let tile = level.tile_rows();
        memory.resize(left.rows.next_multiple_of(tile) * lines);
        pack_columns(level, left, depth, memory);
        Left {
            data: memory,
            row_stride: 1,
            depth_stride: tile,
            tile_stride: Some(lines * tile),
            ..left
        }
    }
}

dispatched_pairs! {
    /// Rows of pairs, `stride` apart.
    pub(super) fn pack_rows(
        left: Left<'_>,
        depth: usize,
        stride: usize,
        to: &mut [f32],
    ) = pack_rows_of;
}

#[inline(always)]
fn pack_rows_of<P: Pairs>(p: P, left: Left<'_>, depth: usize, stride: usize, to: &mut [f32]) {
    for (row, to) in to.chunks_exact_mut(stride).enumerate() {
        let start = row * left.row_stride;
        let from = left.data[start..start + depth].chunks(2 * P::S::LANES);
        for (from, to) in from.zip(to.chunks_mut(P::S::LANES)) {
            p.simd().store(load_neighbours(p, from), to);
        }
    }
}

dispatched_pairs! {
    /// Tiles of columns, one after the other.
    fn pack_columns(left: Left<'_>, depth: usize, to: &mut [f32]) = pack_columns_of;
}

#[inline(always)]
fn pack_columns_of<P: Pairs>(p: P, left: Left<'_>, depth: usize, to: &mut [f32]) {
    let tile = P::S::TILE_ROWS;
    let tiles = to.chunks_exact_mut(tile * depth.div_ceil(2));
    for (to, start) in tiles.zip((0..left.rows).step_by(tile)) {
        let from = &left.data[start..];
        let columns = tile.min(left.rows - start);
        for (line, to) in to.chunks_exact_mut(tile).enumerate() {
            for part in (0..tile).step_by(P::S::LANES) {
                let columns = columns.min(part)..columns.min(part + P::S::LANES);
                let (first, second) = two_lines(p, from, left.depth_stride, depth, line, columns);
                p.simd().store(p.pair(first, second), &mut to[part..]);
            }
        }
    }
}

dispatched_pairs! {
    /// Copies one panel; adds its column sums, of the numbers before rounding, to `sums`, unless
    /// that is empty.
    pub(super) fn pack_panel(
        from: &[f32],
        stride: usize,
        depth: usize,
        columns: usize,
        panel: &mut [f32],
        sums: &mut [f32],
    ) = pack_panel_of;
}

#[inline(always)]
fn pack_panel_of<P: Pairs>(
    p: P,
    from: &[f32],
    stride: usize,
    depth: usize,
    columns: usize,
    panel: &mut [f32],
    sums: &mut [f32],
) {
    let s = p.simd();
    let split = columns.min(P::S::LANES);
    let mut totals = [s.splat(0.0); 2];
    for (line, to) in panel.chunks_exact_mut(2 * P::S::LANES).enumerate() {
        let (to_0, to_1) = to.split_at_mut(P::S::LANES);
        let (first_0, second_0) = two_lines(p, from, stride, depth, line, 0..split);
        let (first_1, second_1) = two_lines(p, from, stride, depth, line, split..columns);
        s.store(p.pair(first_0, second_0), to_0);
        s.store(p.pair(first_1, second_1), to_1);
        totals = [
            s.add(s.add(totals[0], first_0), second_0),
            s.add(s.add(totals[1], first_1), second_1),
        ];
    }
    if !sums.is_empty() {
        let (sums_0, sums_1) = sums.split_at_mut(split);
        s.store(s.add(s.load(sums_0), totals[0]), sums_0);
        s.store(s.add(s.load(sums_1), totals[1]), sums_1);
    }
}

dispatched_pairs! {
    /// Fills one panel with the transpose of the first rows of `from`.
    pub(super) fn pack_panel_transposed(
        from: &[f32],
        stride: usize,
        depth: usize,
        columns: usize,
        panel: &mut [f32],
    ) = pack_panel_transposed_of;
}

#[inline(always)]
fn pack_panel_transposed_of<P: Pairs>(
    p: P,
    from: &[f32],
    stride: usize,
    depth: usize,
    columns: usize,
    panel: &mut [f32],
) {
    let s = p.simd();
    let lanes = P::S::LANES;
    for (block, lines) in panel.chunks_mut(lanes * 2 * lanes).enumerate() {
        let across = block * 2 * lanes..depth.min((block + 1) * 2 * lanes);
        for half in [0, lanes] {
            let mut square = [s.splat(0.0); MOST_LANES];
            for (i, row) in square[..lanes].iter_mut().enumerate() {
                if half + i < columns {
                    let start = (half + i) * stride;
                    *row = load_neighbours(p, &from[start + across.start..start + across.end]);
                }
            }
            transpose(s, &mut square);
            for (row, line) in square.iter().zip(lines.chunks_exact_mut(2 * lanes)) {
                s.store(*row, &mut line[half..half + lanes]);
            }
        }
    }
}

/// The pairs of up to 2 LANES consecutive numbers.
#[inline(always)]
fn load_neighbours<P: Pairs>(p: P, from: &[f32]) -> Vector<P> {
    let (first, second) = from.split_at(from.len().min(P::S::LANES));
    p.neighbours(p.simd().load(first), p.simd().load(second))
}

/// Two lines of a matrix, those of the pairs' line `line`; beyond the depth, zeros.
#[inline(always)]
pub(super) fn two_lines<P: Pairs>(
    p: P,
    from: &[f32],
    stride: usize,
    depth: usize,
    line: usize,
    columns: Range<usize>,
) -> (Vector<P>, Vector<P>) {
    let at = 2 * line * stride;
    let first = &from[at + columns.start..at + columns.end];
    let second = if 2 * line + 1 < depth {
        &from[at + stride + columns.start..at + stride + columns.end]
    } else {
        &[]
    };
    (p.simd().load(first), p.simd().load(second))
}

thread_local! {
    /// The copy of a left factor. It is used by its product only, so a thread needs one.
    static LEFT: RefCell<Buffer> = RefCell::default();
}

/// Calls `body` with a tile, of vectors or of AMX's registers, and a copy of a left factor of that
/// depth, as pairs, in the order that this tile reads.
pub(super) fn with_left(
    level: Level,
    left: Left<'_>,
    depth: usize,
    amx: bool,
    body: impl FnOnce(SumTile, Left<'_>),
) {
    LEFT.with_borrow_mut(|memory| {
        if amx {
            let left = amx::pack_left(level, left, depth, memory);
            let _registers = amx::Registers::new(depth.div_ceil(2));
            body(amx::sum_tile, left);
        } else {
            body(sum_tile, pack_left(level, left, depth, memory));
        }
    });
}

dispatched_pairs! {
    /// The [`SumTile`] of pairs.
    fn sum_tile(operands: Operands<'_>, sums: &mut Sums) -> usize = sum_tile_with;
}

#[inline(always)]
fn sum_tile_with<P: Pairs>(p: P, operands: Operands<'_>, sums: &mut Sums) -> usize {
    sum_tile_of(OfPairs(p), operands, sums)
}

#[derive(Clone, Copy)]
struct OfPairs<P>(P);

impl<P: Pairs> Factors for OfPairs<P> {
    type S = P::S;

    #[inline(always)]
    fn simd(self) -> P::S {
        self.0.simd()
    }

    #[inline(always)]
    fn add_product(self, a: Vector<P>, b: Vector<P>, sum: Vector<P>) -> Vector<P> {
        self.0.dot(a, b, sum)
    }
}
