//! The fast product: a packed right factor, a register tile, one order of summation.

use super::finish::Finish;
use crate::kernels::buffer::Buffer;
use crate::kernels::simd::{Level, Simd, dispatched};
use std::ops::Range;

/// The left factor: element (row, d) is `data[row * row_stride + d * depth_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) depth_stride: usize,
}

impl<'a> Left<'a> {
    /// The first `rows` rows of a matrix whose rows lie `stride` apart; the depth runs along a row.
    pub(crate) fn rows(data: &'a [f32], rows: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            row_stride: stride,
            depth_stride: 1,
        }
    }

    /// The transpose of a matrix with `columns` columns, rows just as far apart; the depth, `_depth`, runs down
    /// the rows.
    pub(crate) fn columns(data: &'a [f32], _depth: usize, columns: usize) -> Self {
        Self {
            data,
            rows: columns,
            row_stride: 1,
            depth_stride: columns,
        }
    }
}

/// A right factor, depth x columns, cut into panels of two vectors' width: panel by panel, depth by depth, the
/// numbers of the panel's columns, with zeros beyond the last column.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    data: Buffer,
    width: usize,
    depth: usize,
    columns: usize,
}

/// A part of [`Panels`]: some of the depth, the first columns.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    panels: &'a Panels,
    first: usize,
    depth: usize,
    columns: usize,
}

impl Panels {
    fn shape(&mut self, level: Level, depth: usize, columns: usize) {
        self.width = 2 * level.lanes();
        self.depth = depth;
        self.columns = columns;
        self.data
            .resize(depth * columns.next_multiple_of(self.width));
    }

    /// Packs a depth x columns matrix whose rows lie `stride` apart; adds its column sums to `sums`, if wanted.
    pub(crate) fn pack(
        &mut self,
        level: Level,
        from: &[f32],
        stride: usize,
        depth: usize,
        columns: usize,
        sums: Option<&mut [f32]>,
    ) {
        self.shape(level, depth, columns);
        if depth == 0 {
            return;
        }
        let panels = self.data.chunks_exact_mut(depth * self.width);
        let mut sums = sums.unwrap_or_default();
        for (panel, start) in panels.zip((0..columns).step_by(self.width)) {
            let columns = self.width.min(columns - start);
            let (now, later) = sums.split_at_mut(columns.min(sums.len()));
            pack_panel(level, &from[start..], stride, columns, panel, now);
            sums = later;
        }
    }

    /// Packs the transpose of a columns x depth matrix whose rows lie `stride` apart.
    pub(crate) fn pack_transposed(
        &mut self,
        level: Level,
        from: &[f32],
        stride: usize,
        depth: usize,
        columns: usize,
    ) {
        self.shape(level, depth, columns);
        if depth == 0 {
            return;
        }
        let panels = self.data.chunks_exact_mut(depth * self.width);
        for (panel, start) in panels.zip((0..columns).step_by(self.width)) {
            let columns = self.width.min(columns - start);
            pack_panel_transposed(level, &from[start * stride..], stride, columns, panel);
        }
    }

    /// The whole factor.
    pub(crate) fn all(&self) -> Right<'_> {
        self.part(0..self.depth, self.columns)
    }

    /// The rows `depth` of the factor, and its first `columns`.
    pub(crate) fn part(&self, depth: Range<usize>, columns: usize) -> Right<'_> {
        assert!(
            depth.end <= self.depth && columns <= self.columns,
            "a part lies within its whole"
        );
        Right {
            panels: self,
            first: depth.start,
            depth: depth.len(),
            columns,
        }
    }
}

impl<'a> Right<'a> {
    fn panel(&self, index: usize) -> &'a [f32] {
        let start = (index * self.panels.depth + self.first) * self.panels.width;
        &self.panels.data[start..start + self.depth * self.panels.width]
    }
}

dispatched! {
    /// Copies one panel; adds its column sums to `sums`, unless that is empty.
    fn pack_panel(from: &[f32], stride: usize, columns: usize, panel: &mut [f32], sums: &mut [f32]) = pack_panel_with;
}

#[inline(always)]
fn pack_panel_with<S: Simd>(
    s: S,
    from: &[f32],
    stride: usize,
    columns: usize,
    panel: &mut [f32],
    sums: &mut [f32],
) {
    let split = columns.min(S::LANES);
    let mut totals = [s.splat(0.0); 2];
    for (row, line) in from
        .chunks(stride)
        .zip(panel.chunks_exact_mut(2 * S::LANES))
    {
        let (line_0, line_1) = line.split_at_mut(S::LANES);
        let x_0 = s.load(&row[..split]);
        let x_1 = s.load(&row[split..columns]);
        s.store(x_0, line_0);
        s.store(x_1, line_1);
        totals = [s.add(totals[0], x_0), s.add(totals[1], x_1)];
    }
    if !sums.is_empty() {
        let (sums_0, sums_1) = sums.split_at_mut(split);
        s.store(s.add(s.load(sums_0), totals[0]), sums_0);
        s.store(s.add(s.load(sums_1), totals[1]), sums_1);
    }
}

dispatched! {
    /// Fills one panel with the transpose of the first rows of `from`.
    fn pack_panel_transposed(
        from: &[f32],
        stride: usize,
        columns: usize,
        panel: &mut [f32],
    ) = pack_panel_transposed_with;
}

#[inline(always)]
fn pack_panel_transposed_with<S: Simd>(
    s: S,
    from: &[f32],
    stride: usize,
    columns: usize,
    panel: &mut [f32],
) {
    let width = 2 * S::LANES;
    let depth = panel.len() / width;
    for (block, lines) in panel.chunks_mut(S::LANES * width).enumerate() {
        let across = block * S::LANES..depth.min((block + 1) * S::LANES);
        for half in [0, S::LANES] {
            let mut square = [s.splat(0.0); MOST_LANES];
            for (i, row) in square[..S::LANES].iter_mut().enumerate() {
                if half + i < columns {
                    let start = (half + i) * stride;
                    *row = s.load(&from[start + across.start..start + across.end]);
                }
            }
            transpose(s, &mut square);
            for (row, line) in square.iter().zip(lines.chunks_exact_mut(width)) {
                s.store(*row, &mut line[half..half + S::LANES]);
            }
        }
    }
}

const MOST_LANES: usize = 16;

/// Transposes the first LANES vectors. Zipping the first half of the rows with the second moves the highest bit of
/// the row's number to the lowest of the column's; after log2 LANES rounds, rows and columns have changed places.
#[inline(always)]
fn transpose<S: Simd>(s: S, square: &mut [S::F; MOST_LANES]) {
    for _ in 0..S::LANES.ilog2() {
        let before = *square;
        for i in 0..S::LANES / 2 {
            (square[2 * i], square[2 * i + 1]) = s.zip(before[i], before[i + S::LANES / 2]);
        }
    }
}

dispatched! {
    /// Hands every element of the product left x right to `finish`, once.
    pub(crate) fn product<F: Finish>(left: Left<'_>, right: Right<'_>, finish: F) = product_with;
}

#[inline(always)]
fn product_with<S: Simd, F: Finish>(s: S, left: Left<'_>, right: Right<'_>, mut finish: F) {
    assert_eq!(
        right.panels.width,
        2 * S::LANES,
        "panels are packed for the level that reads them"
    );
    for column in (0..right.columns).step_by(2 * S::LANES) {
        let panel = right.panel(column / (2 * S::LANES));
        let place = |row| Place {
            row,
            column,
            columns: right.columns,
        };
        let mut row = 0;
        while row < left.rows {
            let rows = (left.rows - row).min(S::TILE_ROWS);
            // The largest tile that fits; compilers drop those above TILE_ROWS.
            row += match rows {
                12.. if S::TILE_ROWS >= 12 => {
                    tile::<S, F, 12>(s, left, panel, place(row), &mut finish)
                }
                8.. if S::TILE_ROWS >= 8 => {
                    tile::<S, F, 8>(s, left, panel, place(row), &mut finish)
                }
                6.. if S::TILE_ROWS == 6 => {
                    tile::<S, F, 6>(s, left, panel, place(row), &mut finish)
                }
                4.. => tile::<S, F, 4>(s, left, panel, place(row), &mut finish),
                3 => tile::<S, F, 3>(s, left, panel, place(row), &mut finish),
                2 => tile::<S, F, 2>(s, left, panel, place(row), &mut finish),
                _ => tile::<S, F, 1>(s, left, panel, place(row), &mut finish),
            };
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    columns: usize,
}

/// One register tile, R rows x two vectors, over the whole depth. Returns R.
#[inline(always)]
fn tile<S: Simd, F: Finish, const R: usize>(
    s: S,
    left: Left<'_>,
    panel: &[f32],
    place: Place,
    finish: &mut F,
) -> usize {
    let depth = panel.len() / (2 * S::LANES);
    let last = (place.row + R - 1) * left.row_stride + depth.saturating_sub(1) * left.depth_stride;
    assert!(last < left.data.len(), "the left factor holds its rows");
    let mut sums = [[s.splat(0.0); 2]; R];
    let mut at = place.row * left.row_stride;
    for line in panel.chunks_exact(2 * S::LANES) {
        let (line_0, line_1) = line.split_at(S::LANES);
        let (b_0, b_1) = (s.load(line_0), s.load(line_1));
        for (r, sums) in sums.iter_mut().enumerate() {
            #[expect(
                unsafe_code,
                reason = "in the innermost loop; the assertion above covers the largest index"
            )]
            let a = s.splat(unsafe { *left.data.get_unchecked(at + r * left.row_stride) });
            sums[0] = s.mul_add(a, b_0, sums[0]);
            sums[1] = s.mul_add(a, b_1, sums[1]);
        }
        at += left.depth_stride;
    }
    let lanes = (place.columns - place.column).min(S::LANES);
    let more = (place.columns - place.column - lanes).min(S::LANES);
    for (r, sums) in sums.into_iter().enumerate() {
        finish.finish(s, place.row + r, place.column, lanes, sums[0]);
        if more > 0 {
            finish.finish(s, place.row + r, place.column + S::LANES, more, sums[1]);
        }
    }
    R
}
