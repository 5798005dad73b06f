//! The register tile of a product: rows x one or two vectors, over the whole depth.

use super::cpu::{Left, Right};
use crate::epilogue::Finish;
use crate::simd::Simd;

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

/// Passes every element of the product to `finish`, once.
#[inline(always)]
pub(super) fn product_of<V: Factors, F: Finish>(
    v: V,
    left: Left<'_>,
    right: Right<'_>,
    mut finish: F,
) {
    assert_eq!(
        right.panel_width(),
        2 * V::S::LANES,
        "panels are packed for the level that reads them"
    );
    // Two loops, so that the compiler knows which of the strides is one.
    if left.depth_stride == 1 {
        tiles_of::<V, F, true>(v, left, right, &mut finish);
    } else {
        assert_eq!(left.row_stride, 1, "rows or the depth are contiguous");
        tiles_of::<V, F, false>(v, left, right, &mut finish);
    }
}

/// All tiles, panel by panel; of the last panel, the second vector only if it has columns. ALONG:
/// the depth runs along a row.
#[inline(always)]
fn tiles_of<V: Factors, F: Finish, const ALONG: bool>(
    v: V,
    left: Left<'_>,
    right: Right<'_>,
    finish: &mut F,
) {
    for column in (0..right.columns()).step_by(2 * V::S::LANES) {
        let panel = right.panel(column / (2 * V::S::LANES));
        if right.columns() - column > V::S::LANES {
            tiles_of_panel::<V, F, 2, ALONG>(v, left, panel, (column, right.columns()), finish);
        } else {
            tiles_of_panel::<V, F, 1, ALONG>(v, left, panel, (column, right.columns()), finish);
        }
    }
}

/// The tiles of N vectors of a panel that begins at `column` of `columns`.
#[inline(always)]
fn tiles_of_panel<V: Factors, F: Finish, const N: usize, const ALONG: bool>(
    v: V,
    left: Left<'_>,
    panel: &[f32],
    (column, columns): (usize, usize),
    finish: &mut F,
) {
    let most = V::S::TILE_ROWS;
    let mut row = 0;
    while row < left.rows {
        let rows = (left.rows - row).min(most);
        let at = Place {
            row,
            column,
            columns,
        };
        // The largest tile that fits; compilers drop those above TILE_ROWS. One vector is rare and
        // has few tiles: each is compiled for each level and each end of a product.
        row += match rows {
            12.. if most >= 12 => tile::<V, F, 12, N, ALONG>(v, left, panel, at, finish),
            8.. if most == 8 || most > 8 && N == 2 => {
                tile::<V, F, 8, N, ALONG>(v, left, panel, at, finish)
            }
            6.. if most == 6 => tile::<V, F, 6, N, ALONG>(v, left, panel, at, finish),
            5 if most == 6 && N == 2 => tile::<V, F, 5, N, ALONG>(v, left, panel, at, finish),
            4.. => tile::<V, F, 4, N, ALONG>(v, left, panel, at, finish),
            3 if N == 2 => tile::<V, F, 3, N, ALONG>(v, left, panel, at, finish),
            2.. if N == 2 => tile::<V, F, 2, N, ALONG>(v, left, panel, at, finish),
            _ => tile::<V, F, 1, N, ALONG>(v, left, panel, at, finish),
        };
    }
}

#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    columns: usize,
}

/// One register tile, R rows x N vectors, over the whole depth. Returns R.
#[inline(always)]
fn tile<V: Factors, F: Finish, const R: usize, const N: usize, const ALONG: bool>(
    v: V,
    left: Left<'_>,
    panel: &[f32],
    place: Place,
    finish: &mut F,
) -> usize {
    let (s, lanes) = (v.simd(), V::S::LANES);
    let depth = panel.len() / (2 * lanes);
    let start = left.start(place.row, V::S::TILE_ROWS);
    let last = start + (R - 1) * left.row_stride + depth.saturating_sub(1) * left.depth_stride;
    assert!(last < left.data.len(), "the left factor holds its rows");
    let data = &left.data[start..];
    let sums = if ALONG {
        sums_along::<V, R, N>(v, data, left.row_stride, panel)
    } else {
        sums_across::<V, R, N>(v, data, left.depth_stride, panel)
    };
    if place.columns - place.column >= N * lanes {
        for (r, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                finish.finish(s, place.row + r, place.column + n * lanes, lanes, sum);
            }
        }
        return R;
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (n, sum) in sums.into_iter().enumerate() {
            let column = place.column + n * lanes;
            finish.finish(
                s,
                place.row + r,
                column,
                lanes.min(place.columns - column),
                sum,
            );
        }
    }
    R
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
