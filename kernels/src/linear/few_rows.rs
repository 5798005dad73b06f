//! The sums of a product of few rows, several panels at once.
//!
//! An addition takes about four cycles, and a core begins two a cycle. A register tile of one panel
//! has two sums for each row, too few to keep a core busy with less than four rows. An element's
//! bits are those of a tile: each sum adds up its own column, number after number.

use super::cpu::{Left, Right};
use super::tile::Sums;
use crate::simd::{Simd, dispatched};

/// The most rows.
pub(super) const MOST: usize = 3;

dispatched! {
    /// Writes the sums of all rows, at most [`MOST`], in the whole panels from `first` on: row
    /// after row, each with its columns. The depth runs along a row. Returns how many panels these
    /// are, none if the last ones are too few.
    pub(super) fn sum(left: Left<'_>, right: Right<'_>, first: usize, sums: &mut Sums) -> usize =
        sum_with;
}

#[inline(always)]
fn sum_with<S: Simd>(
    s: S,
    left: Left<'_>,
    right: Right<'_>,
    first: usize,
    sums: &mut Sums,
) -> usize {
    let panels = right.columns() / right.panel_width() - first;
    match (left.rows, panels) {
        (1, 4..) => sum_panels::<S, 1, 4>(s, left, right, first, sums),
        (1, 2..) => sum_panels::<S, 1, 2>(s, left, right, first, sums),
        (2, 2..) => sum_panels::<S, 2, 2>(s, left, right, first, sums),
        (3, 2..) => sum_panels::<S, 3, 2>(s, left, right, first, sums),
        _ => 0,
    }
}

/// R rows x P panels. Returns P.
#[inline(always)]
fn sum_panels<S: Simd, const R: usize, const P: usize>(
    s: S,
    left: Left<'_>,
    right: Right<'_>,
    first: usize,
    to: &mut Sums,
) -> usize {
    let (lanes, width) = (S::LANES, 2 * S::LANES);
    let mut panels = [&[][..]; P];
    for (panel, index) in panels.iter_mut().zip(first..) {
        *panel = right.panel(index);
    }
    let depth = panels[0].len() / width;
    let mut rows = [&[][..]; R];
    for (row, index) in rows.iter_mut().zip(0..) {
        *row = &left.data[index * left.row_stride..][..depth];
    }
    // Once here, not in the loop.
    assert!(
        panels.iter().all(|panel| panel.len() == depth * width)
            && rows.iter().all(|row| row.len() == depth)
    );
    let mut sums = [[[s.splat(0.0); 2]; P]; R];
    for d in 0..depth {
        let mut numbers = [s.splat(0.0); R];
        for (number, row) in numbers.iter_mut().zip(rows) {
            *number = s.splat(row[d]);
        }
        for (p, panel) in panels.iter().enumerate() {
            let line = &panel[d * width..][..width];
            for (n, line) in line.chunks_exact(lanes).enumerate() {
                let b = s.load(line);
                for (sums, a) in sums.iter_mut().zip(numbers) {
                    sums[p][n] = s.mul_add(a, b, sums[p][n]);
                }
            }
        }
    }
    let to = to.0.chunks_exact_mut(lanes);
    for (sum, to) in sums.as_flattened().as_flattened().iter().zip(to) {
        s.store(*sum, to);
    }
    P
}
