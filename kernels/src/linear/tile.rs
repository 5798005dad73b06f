//! The register tile of a product: rows x one or two vectors, over the whole depth.
//!
//! Its code is compiled for each number of rows, each instruction set and both formats of factors.
//! Were the epilogues compiled into all of these, they would be most of the program and of the
//! time to build it. So they are compiled into the largest tile of f32 factors only, where a
//! product spends its time; the sums of the other tiles go through memory. (If those of all tiles
//! do, a step takes 1.02 of its time with AVX2 and 1.00 with AVX-512, on an Emerald Rapids Xeon.)

use super::cpu::{Left, Right};
use super::{amx, few_rows};
use crate::epilogue::Finish;
use crate::simd::pairs::MOST_LANES;
use crate::simd::{Level, Simd, dispatched};

/// The element type of two factors.
pub(super) trait Factors: Copy {
    /// The vectors of the sums.
    type S: Simd;

    fn simd(self) -> Self::S;
    /// sum + a b
    fn add_product(
        self,
        a: <Self::S as Simd>::F,
        b: <Self::S as Simd>::F,
        sum: <Self::S as Simd>::F,
    ) -> <Self::S as Simd>::F;
}

#[derive(Clone, Copy)]
pub(super) struct Floats<S>(pub(super) S);

impl<S: Simd> Factors for Floats<S> {
    type S = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn add_product(self, a: S::F, b: S::F, sum: S::F) -> S::F {
        self.0.mul_add(a, b, sum)
    }
}

/// The sums of a tile: row after row, two vectors' width each, or that of several panels.
#[repr(align(64))]
pub(super) struct Sums(pub(super) [f32; Self::MOST]);

impl Sums {
    const MOST: usize = amx::ROWS * 2 * MOST_LANES;
}

/// What a tile multiplies: rows of the left factor, from `row` on, and a panel of the right one.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) left: Left<'a>,
    pub(super) row: usize,
    pub(super) panel: &'a [f32],
    /// How many of the panel's two vectors have columns.
    vectors: usize,
}

/// Computes the sums of as many rows as a tile takes. Returns their number.
pub(super) type SumTile = fn(Level, Operands<'_>, &mut Sums) -> usize;

dispatched! {
    /// Passes every element of the product to `finish`, once. `tiles` computes sums of factors of
    /// the format that both factors have.
    pub(super) fn product<F: Finish>(
        tiles: (Level, SumTile),
        left: Left<'_>,
        right: Right<'_>,
        finish: F,
    ) = product_with;
}

#[inline(always)]
fn product_with<S: Simd, F: Finish>(
    s: S,
    (level, sum_tile): (Level, SumTile),
    left: Left<'_>,
    right: Right<'_>,
    mut finish: F,
) {
    let (lanes, width) = (S::LANES, 2 * S::LANES);
    assert_eq!(
        right.panel_width(),
        width,
        "panels are packed for the level that reads them"
    );
    let mut sums = Sums([0.0; Sums::MOST]);
    let few = few_rows(s, level, left, right, &mut sums, &mut finish);
    for column in (few..right.columns()).step_by(width) {
        let columns = width.min(right.columns() - column);
        let mut operands = Operands {
            left,
            row: 0,
            panel: right.panel(column / width),
            // The second vector only if it has columns.
            vectors: columns.div_ceil(lanes),
        };
        if columns == width && !right.holds_pairs() {
            operands.row = match S::TILE_ROWS {
                12 => whole_tiles::<S, F, 12>(s, operands, column, &mut finish),
                8 => whole_tiles::<S, F, 8>(s, operands, column, &mut finish),
                6 => whole_tiles::<S, F, 6>(s, operands, column, &mut finish),
                _ => whole_tiles::<S, F, 4>(s, operands, column, &mut finish),
            };
        }
        while operands.row < left.rows {
            let rows = sum_tile(level, operands, &mut sums);
            for line in sums.0.chunks_exact(width).take(rows) {
                let (x, y) = (s.load(&line[..lanes]), s.load(&line[lanes..]));
                let row = operands.row;
                if columns == width {
                    finish.finish(s, row, column, lanes, x);
                    finish.finish(s, row, column + lanes, lanes, y);
                } else {
                    finish.finish(s, row, column, lanes.min(columns), x);
                    if columns > lanes {
                        finish.finish(s, row, column + lanes, columns - lanes, y);
                    }
                }
                operands.row += 1;
            }
        }
    }
}

/// Most columns of a product of few rows. Returns their number.
#[inline(always)]
fn few_rows<S: Simd, F: Finish>(
    s: S,
    level: Level,
    left: Left<'_>,
    right: Right<'_>,
    sums: &mut Sums,
    finish: &mut F,
) -> usize {
    let mut column = 0;
    if left.rows > few_rows::MOST || left.depth_stride != 1 || right.holds_pairs() {
        return column;
    }
    loop {
        let first = column / right.panel_width();
        let columns = right.panel_width() * few_rows::sum(level, left, right, first, sums);
        if columns == 0 {
            return column;
        }
        for (row, line) in sums.0.chunks_exact(columns).take(left.rows).enumerate() {
            for (vector, sums) in line.chunks_exact(S::LANES).enumerate() {
                let column = column + vector * S::LANES;
                finish.finish(s, row, column, S::LANES, s.load(sums));
            }
        }
        column += columns;
    }
}

/// The tiles of R rows of a panel that begins at `column` and has all its columns. Returns the
/// number of their rows.
#[inline(always)]
fn whole_tiles<S: Simd, F: Finish, const R: usize>(
    s: S,
    operands: Operands<'_>,
    column: usize,
    finish: &mut F,
) -> usize {
    let end = operands.left.rows / R * R;
    for row in (0..end).step_by(R) {
        let operands = Operands { row, ..operands };
        // Two loops, so that the compiler knows which of the strides is one.
        if operands.left.depth_stride == 1 {
            let sums = tile::<_, R, 2, true>(Floats(s), operands);
            finish_tile(s, sums, row, column, finish);
        } else {
            let sums = tile::<_, R, 2, false>(Floats(s), operands);
            finish_tile(s, sums, row, column, finish);
        }
    }
    end
}

#[inline(always)]
fn finish_tile<S: Simd, F: Finish, const R: usize>(
    s: S,
    sums: [[S::F; 2]; R],
    row: usize,
    column: usize,
    finish: &mut F,
) {
    for (r, sums) in sums.into_iter().enumerate() {
        for (n, sum) in sums.into_iter().enumerate() {
            finish.finish(s, row + r, column + n * S::LANES, S::LANES, sum);
        }
    }
}

dispatched! {
    /// The [`SumTile`] of f32 factors.
    pub(super) fn sum_tile(operands: Operands<'_>, sums: &mut Sums) -> usize = sum_tile_with;
}

#[inline(always)]
fn sum_tile_with<S: Simd>(s: S, operands: Operands<'_>, sums: &mut Sums) -> usize {
    sum_tile_of(Floats(s), operands, sums)
}

/// The body of a [`SumTile`].
#[inline(always)]
pub(super) fn sum_tile_of<V: Factors>(v: V, operands: Operands<'_>, sums: &mut Sums) -> usize {
    match (operands.left.depth_stride == 1, operands.vectors) {
        (true, 1) => largest_tile::<V, 1, true>(v, operands, sums),
        (true, _) => largest_tile::<V, 2, true>(v, operands, sums),
        (false, 1) => largest_tile::<V, 1, false>(v, operands, sums),
        (false, _) => largest_tile::<V, 2, false>(v, operands, sums),
    }
}

/// The largest tile that fits, of N vectors; ALONG: see [`tile`].
#[inline(always)]
fn largest_tile<V: Factors, const N: usize, const ALONG: bool>(
    v: V,
    operands: Operands<'_>,
    to: &mut Sums,
) -> usize {
    let (s, most) = (v.simd(), V::S::TILE_ROWS);
    // Compilers drop those above TILE_ROWS.
    match (operands.left.rows - operands.row).min(most) {
        12.. if most >= 12 => keep(s, tile::<V, 12, N, ALONG>(v, operands), to),
        8.. if most >= 8 => keep(s, tile::<V, 8, N, ALONG>(v, operands), to),
        6.. if most == 6 => keep(s, tile::<V, 6, N, ALONG>(v, operands), to),
        5 if most == 6 => keep(s, tile::<V, 5, N, ALONG>(v, operands), to),
        4.. => keep(s, tile::<V, 4, N, ALONG>(v, operands), to),
        3 => keep(s, tile::<V, 3, N, ALONG>(v, operands), to),
        2 => keep(s, tile::<V, 2, N, ALONG>(v, operands), to),
        _ => keep(s, tile::<V, 1, N, ALONG>(v, operands), to),
    }
}

/// Writes the sums of a tile to memory. Returns R.
#[inline(always)]
fn keep<S: Simd, const R: usize, const N: usize>(
    s: S,
    sums: [[S::F; N]; R],
    to: &mut Sums,
) -> usize {
    for (sums, line) in sums.into_iter().zip(to.0.chunks_exact_mut(2 * S::LANES)) {
        for (sum, to) in sums.into_iter().zip(line.chunks_exact_mut(S::LANES)) {
            s.store(sum, to);
        }
    }
    R
}

/// The sums of one tile, R rows x N vectors, over the whole depth. ALONG: the depth runs along a
/// row.
#[inline(always)]
fn tile<V: Factors, const R: usize, const N: usize, const ALONG: bool>(
    v: V,
    operands: Operands<'_>,
) -> [Vectors<V, N>; R] {
    let Operands {
        left, row, panel, ..
    } = operands;
    let depth = panel.len() / (2 * V::S::LANES);
    let start = left.start(row, V::S::TILE_ROWS);
    let last = start + (R - 1) * left.row_stride + depth.saturating_sub(1) * left.depth_stride;
    assert!(last < left.data.len(), "the left factor holds its rows");
    let data = &left.data[start..];
    if ALONG {
        sums_along::<V, R, N>(v, data, left.row_stride, panel)
    } else {
        assert_eq!(left.row_stride, 1, "rows or the depth are contiguous");
        sums_across::<V, R, N>(v, data, left.depth_stride, panel)
    }
}

/// N vectors of the sums of `V`.
type Vectors<V, const N: usize> = [<<V as Factors>::S as Simd>::F; N];

/// The sums of R rows that are `stride` apart, number after number. `data` begins at the first
/// row's first number and holds all rows over the panel's depth.
#[inline(always)]
fn sums_along<V: Factors, const R: usize, const N: usize>(
    v: V,
    data: &[f32],
    stride: usize,
    panel: &[f32],
) -> [Vectors<V, N>; R] {
    let lanes = V::S::LANES;
    let mut sums = [[v.simd().splat(0.0); N]; R];
    // One pointer reaches three rows: an address is a pointer and a stride, none, once or twice.
    let mut first = data.as_ptr();
    let mut fourth = first.wrapping_add(3 * stride);
    let mut seventh = first.wrapping_add(6 * stride);
    let mut tenth = first.wrapping_add(9 * stride);
    // Small tiles have too few products a line to hide the loop's overhead; large ones need all
    // registers.
    let unrolled = if V::S::TILE_ROWS > 6 { 1 } else { 4 };
    let mut blocks = panel.chunks_exact(unrolled * 2 * lanes);
    for block in blocks.by_ref() {
        for (ahead, line) in block.chunks_exact(2 * lanes).enumerate() {
            let number = |r: usize| {
                let pointer = match r / 3 {
                    0 => first,
                    1 => fourth,
                    2 => seventh,
                    _ => tenth,
                };
                pointer.wrapping_add(r % 3 * stride + ahead)
            };
            add_line(v, number, line, &mut sums);
        }
        first = first.wrapping_add(unrolled);
        fourth = fourth.wrapping_add(unrolled);
        seventh = seventh.wrapping_add(unrolled);
        tenth = tenth.wrapping_add(unrolled);
    }
    for line in blocks.remainder().chunks_exact(2 * lanes) {
        add_line(v, |r| first.wrapping_add(r * stride), line, &mut sums);
        first = first.wrapping_add(1);
    }
    sums
}

/// The sums of R adjacent rows; the depth is `stride` apart. `data` begins at the first number and
/// holds all rows over the panel's depth.
#[inline(always)]
fn sums_across<V: Factors, const R: usize, const N: usize>(
    v: V,
    data: &[f32],
    stride: usize,
    panel: &[f32],
) -> [Vectors<V, N>; R] {
    let mut sums = [[v.simd().splat(0.0); N]; R];
    let mut pointer = data.as_ptr();
    for line in panel.chunks_exact(2 * V::S::LANES) {
        add_line(v, |r| pointer.wrapping_add(r), line, &mut sums);
        pointer = pointer.wrapping_add(stride);
    }
    sums
}

/// Adds a line of the panel, times a number of each row, to the rows' sums.
#[inline(always)]
fn add_line<V: Factors, const R: usize, const N: usize>(
    v: V,
    number: impl Fn(usize) -> *const f32,
    line: &[f32],
    sums: &mut [Vectors<V, N>; R],
) {
    let s = v.simd();
    // No closure: it would not be compiled for the instruction set.
    let mut b = [s.splat(0.0); N];
    for (b, line) in b.iter_mut().zip(line.chunks_exact(V::S::LANES)) {
        *b = s.load(line);
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        #[expect(
            unsafe_code,
            reason = "in the innermost loop, without a check of bounds"
        )]
        // SAFETY: `tile` has checked that the left factor holds all its rows over the whole depth.
        let a = s.splat(unsafe { *number(r) });
        for (sum, b) in sums.iter_mut().zip(b) {
            *sum = v.add_product(a, b, *sum);
        }
    }
}
