//! The tile of bfloat16 pairs in AMX's matrix registers, of Intel's Xeons since 2023.
//!
//! A register holds 16 rows of 64 bytes. One instruction, TDPBF16PS, adds the product of 16 rows
//! of 16 pairs and 16 lines of 16 columns of pairs to 16 x 16 sums in f32. Four registers have the
//! sums of 32 rows and two vectors of columns. The right factor's [`Panels`](super::cpu::Panels)
//! have the order of such registers already; the left factor is copied into rows of pairs.
//!
//! Within these 16 pairs the order of summation is the processor's, the same for every element, and
//! numbers below the least normal one are zero (Intel's manual). So the bits are others than those
//! on vectors, and do not depend on the rows that are computed together.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use super::amx_registers::Registers;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx_registers;
use super::cpu::{Left, transpose};
use super::pairs::{pack_rows, two_lines};
use super::tile::{Operands, Sums};
use crate::buffer::Buffer;
use crate::simd::pairs::{MOST_LANES, Pairs, dispatched_pairs};
use crate::simd::{Level, Simd};

/// Rows of sums.
pub(super) const ROWS: usize = 32;

/// Rows of a register, and the pairs in one of them.
pub(super) const SIDE: usize = 16;

/// Whether products of this level use AMX: the CPU has it and AVX512-BF16, the system lets this
/// process use it, and no instruction set is forced.
pub(super) fn is_available(level: Level) -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        use std::sync::OnceLock;

        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        level.multiplies_pairs()
            && *AVAILABLE.get_or_init(|| {
                Level::forced().is_none() && amx_registers::cpu_has() && amx_registers::request()
            })
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        let _ = level;
        false
    }
}

/// There are none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(super) struct Registers;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Registers {
    pub(super) fn new(_lines: usize) -> Self {
        Self
    }
}

/// Copies a left factor of this depth into `memory`: rows of pairs, up to a whole number of
/// [`ROWS`], of which those beyond the last have any numbers.
pub(super) fn pack_left<'a>(
    level: Level,
    left: Left<'_>,
    depth: usize,
    memory: &'a mut Buffer,
) -> Left<'a> {
    // An odd number of cache lines, so that the rows of a register do not map to one set of the
    // cache.
    let stride = (depth.div_ceil(2).div_ceil(SIDE) | 1) * SIDE;
    memory.resize(left.rows.next_multiple_of(ROWS) * stride);
    if left.depth_stride == 1 {
        let rows = &mut memory[..left.rows * stride];
        pack_rows(level, left, depth, stride, rows);
    } else {
        pack_columns(level, left, depth, stride, memory);
    }
    Left {
        data: memory,
        row_stride: stride,
        depth_stride: 1,
        ..left
    }
}

dispatched_pairs! {
    /// Columns as rows of pairs, `stride` apart.
    fn pack_columns(left: Left<'_>, depth: usize, stride: usize, to: &mut [f32]) = pack_columns_of;
}

#[inline(always)]
fn pack_columns_of<P: Pairs>(p: P, left: Left<'_>, depth: usize, stride: usize, to: &mut [f32]) {
    let (s, lanes) = (p.simd(), P::S::LANES);
    for row in (0..left.rows).step_by(lanes) {
        let from = &left.data[row..];
        let columns = 0..lanes.min(left.rows - row);
        for line in (0..depth.div_ceil(2)).step_by(lanes) {
            let lines = line..depth.div_ceil(2).min(line + lanes);
            let mut square = [s.splat(0.0); MOST_LANES];
            for (line, pairs) in lines.zip(&mut square) {
                let stride = left.depth_stride;
                let (first, second) = two_lines(p, from, stride, depth, line, columns.clone());
                *pairs = p.pair(first, second);
            }
            transpose(s, &mut square);
            for (r, pairs) in square[..lanes].iter().enumerate().take(columns.end) {
                let start = (row + r) * stride + line;
                s.store(*pairs, &mut to[start..start + lanes]);
            }
        }
    }
}

/// The [`SumTile`](super::tile::SumTile) of pairs in AMX's [`Registers`], which are set up.
pub(super) fn sum_tile(_: Level, operands: Operands<'_>, sums: &mut Sums) -> usize {
    let Operands {
        left, row, panel, ..
    } = operands;
    let start = row * left.row_stride;
    let lines = panel.len() / (2 * SIDE);
    assert!(
        start + ROWS * left.row_stride <= left.data.len()
            && lines <= left.row_stride
            && left.depth_stride == 1,
        "the left factor has whole registers of rows"
    );
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    amx_registers::sum(&left.data[start..], left.row_stride, panel, lines, sums);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = sums;
    ROWS.min(left.rows - row)
}
