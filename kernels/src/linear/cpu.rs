//! The fast product: a packed right factor, a register tile, one order of summation.

use super::{amx, pairs, tile};
use crate::buffer::Buffer;
use crate::epilogue::Finish;
use crate::precision::Precision;
use crate::simd::pairs::MOST_LANES;
use crate::simd::{Level, Simd, dispatched};
use std::ops::Range;

/// The left factor: element (row, d) is `data[row * row_stride + d * depth_stride]`. If there is a
/// tile stride, each register tile of rows is that far after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) depth_stride: usize,
    pub(crate) tile_stride: Option<usize>,
}

impl<'a> Left<'a> {
    /// The first `rows` rows of a matrix whose rows are `stride` apart; the depth runs along a row.
    pub(crate) fn rows(data: &'a [f32], rows: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            row_stride: stride,
            depth_stride: 1,
            tile_stride: None,
        }
    }

    /// The transpose of a matrix with `columns` columns, rows `stride` apart; the depth, `_depth`,
    /// runs down the rows.
    pub(crate) fn columns(data: &'a [f32], _depth: usize, columns: usize) -> Self {
        Self {
            data,
            rows: columns,
            row_stride: 1,
            depth_stride: columns,
            tile_stride: None,
        }
    }

    /// Where a row begins; tiles have `tile` rows.
    #[inline(always)]
    pub(super) fn start(&self, row: usize, tile: usize) -> usize {
        match self.tile_stride {
            Some(stride) => row / tile * stride + row % tile * self.row_stride,
            None => row * self.row_stride,
        }
    }
}

/// A right factor, depth x columns, cut into panels of two vectors' width: panel by panel, depth by
/// depth, the numbers of the panel's columns, with zeros beyond the last column; as f32, or as
/// pairs of bfloat16 (`pairs`).
#[derive(Debug, Default)]
pub(crate) struct Panels {
    data: Buffer,
    precision: Precision,
    /// Pairs are multiplied in AMX's registers.
    amx: bool,
    /// They never are.
    without_amx: bool,
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
    /// Panels before its first column.
    skipped: usize,
    columns: usize,
}

impl Panels {
    /// Sets the precision of the factors packed from now on; f32 by default.
    pub(crate) fn hold(&mut self, precision: Precision) -> &mut Self {
        self.precision = precision;
        self
    }

    /// Whether pairs packed from now on are multiplied on vectors even where there is AMX.
    #[cfg(test)]
    pub(super) fn without_amx(&mut self, without: bool) {
        self.without_amx = without;
    }

    /// Lines of a panel for this many of the factor.
    fn lines(&self, depth: usize) -> usize {
        match self.precision {
            Precision::F32 | Precision::Tf32 => depth,
            Precision::Bf16 => depth.div_ceil(2),
        }
    }

    fn shape(&mut self, level: Level, depth: usize, columns: usize) {
        self.amx =
            self.precision == Precision::Bf16 && !self.without_amx && amx::is_available(level);
        self.width = 2 * level.lanes();
        self.depth = depth;
        self.columns = columns;
        let lines = self.lines(depth);
        self.data
            .resize(lines * columns.next_multiple_of(self.width));
    }

    /// Packs a depth x columns matrix whose rows are `stride` apart; adds its column sums to
    /// `sums`, if given.
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
        let lines = self.lines(depth);
        let panels = self.data.chunks_exact_mut(lines * self.width);
        let mut sums = sums.unwrap_or_default();
        for (panel, start) in panels.zip((0..columns).step_by(self.width)) {
            let columns = self.width.min(columns - start);
            let (now, later) = sums.split_at_mut(columns.min(sums.len()));
            let from = &from[start..];
            match self.precision {
                Precision::F32 | Precision::Tf32 => {
                    pack_panel(level, from, stride, columns, panel, now);
                }
                Precision::Bf16 => {
                    pairs::pack_panel(level, from, stride, depth, columns, panel, now);
                }
            }
            sums = later;
        }
    }

    /// Packs the transpose of a columns x depth matrix whose rows are `stride` apart.
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
        let lines = self.lines(depth);
        let panels = self.data.chunks_exact_mut(lines * self.width);
        for (panel, start) in panels.zip((0..columns).step_by(self.width)) {
            let columns = self.width.min(columns - start);
            let from = &from[start * stride..];
            match self.precision {
                Precision::F32 | Precision::Tf32 => {
                    pack_panel_transposed(level, from, stride, columns, panel);
                }
                Precision::Bf16 => {
                    pairs::pack_panel_transposed(level, from, stride, depth, columns, panel);
                }
            }
        }
    }

    /// The whole factor.
    pub(crate) fn all(&self) -> Right<'_> {
        self.part(0..self.depth, self.columns)
    }

    /// The rows `depth` of the factor, and its first `columns`. Pairs are not cut along the depth.
    pub(crate) fn part(&self, depth: Range<usize>, columns: usize) -> Right<'_> {
        assert!(
            depth.end <= self.depth && columns <= self.columns,
            "a part is within its whole"
        );
        assert!(
            self.precision == Precision::F32 || depth.len() == self.depth,
            "pairs are not split"
        );
        Right {
            panels: self,
            first: depth.start,
            depth: depth.len(),
            skipped: 0,
            columns,
        }
    }
}

/// A copy of a left factor's transpose, register tile by register tile and in each depth by depth.
/// Without the copy, each number of the depth is in another cache line, and is fetched again for
/// each panel.
#[derive(Debug, Default)]
pub(crate) struct Tiles(Buffer);

impl Tiles {
    /// [`Left::columns`], copied where it is too large to stay in a core's cache. Pairs are copied
    /// in their product.
    pub(crate) fn columns<'a>(
        &'a mut self,
        level: Level,
        right: &Panels,
        data: &'a [f32],
        depth: usize,
        columns: usize,
    ) -> Left<'a> {
        /// Numbers in half a megabyte.
        const CACHED: usize = 1 << 17;
        let plain = Left::columns(data, depth, columns);
        if depth * columns <= CACHED || right.precision == Precision::Bf16 {
            return plain;
        }
        let tile = level.tile_rows();
        self.0.resize(columns.next_multiple_of(tile) * depth);
        copy_tiles(level, &data[..depth * columns], columns, &mut self.0);
        Left {
            data: &self.0,
            depth_stride: tile,
            tile_stride: Some(tile * depth),
            ..plain
        }
    }
}

dispatched! {
    fn copy_tiles(from: &[f32], columns: usize, tiles: &mut [f32]) = copy_tiles_with;
}

#[inline(always)]
fn copy_tiles_with<S: Simd>(_: S, from: &[f32], columns: usize, tiles: &mut [f32]) {
    match S::TILE_ROWS {
        12 => copy_tiles_of::<12>(from, columns, tiles),
        8 => copy_tiles_of::<8>(from, columns, tiles),
        6 => copy_tiles_of::<6>(from, columns, tiles),
        _ => copy_tiles_of::<4>(from, columns, tiles),
    }
}

/// Tiles of R rows: of a whole tile, R numbers are copied without a mask.
#[inline(always)]
fn copy_tiles_of<const R: usize>(from: &[f32], columns: usize, tiles: &mut [f32]) {
    /// Lines that are copied for all tiles before the next ones: their cache lines serve several
    /// tiles.
    const LINES: usize = 8;
    let depth = from.len() / columns;
    for (block, lines) in from.chunks(LINES * columns).enumerate() {
        for (tile, to) in tiles.chunks_mut(R * depth).enumerate() {
            let rows = tile * R..columns.min((tile + 1) * R);
            let to = to[block * LINES * R..].chunks_mut(R);
            for (line, to) in lines.chunks_exact(columns).zip(to) {
                match (line[rows.clone()].as_array::<R>(), to.as_mut_array::<R>()) {
                    (Some(line), Some(to)) => *to = *line,
                    _ => to[..rows.len()].copy_from_slice(&line[rows.clone()]),
                }
            }
        }
    }
}

impl<'a> Right<'a> {
    /// The two halves of its panels, each with its columns. The second may have none.
    pub(crate) fn halves(self) -> [(Self, Range<usize>); 2] {
        let width = self.panels.width;
        let panels = self.columns.div_ceil(width).div_ceil(2);
        let split = self.columns.min(panels * width);
        let second = Self {
            skipped: self.skipped + panels,
            columns: self.columns - split,
            ..self
        };
        let columns = split;
        [
            (Self { columns, ..self }, 0..split),
            (second, split..self.columns),
        ]
    }

    pub(super) fn panel(&self, index: usize) -> &'a [f32] {
        let (all, lines) = (
            self.panels.lines(self.panels.depth),
            self.panels.lines(self.depth),
        );
        let start = ((self.skipped + index) * all + self.first) * self.panels.width;
        &self.panels.data[start..start + lines * self.panels.width]
    }

    /// Both factors are pairs of bfloat16.
    #[inline(always)]
    pub(super) fn holds_pairs(&self) -> bool {
        self.panels.precision == Precision::Bf16
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of a panel.
    pub(super) fn panel_width(&self) -> usize {
        self.panels.width
    }
}

dispatched! {
    /// Copies one panel; adds its column sums to `sums`, unless that is empty.
    fn pack_panel(
        from: &[f32],
        stride: usize,
        columns: usize,
        panel: &mut [f32],
        sums: &mut [f32],
    ) = pack_panel_with;
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

/// Transposes the first LANES vectors. Zipping the first half of the rows with the second moves the
/// highest bit of the row's number to the lowest of the column's; after log2 LANES rounds, rows and
/// columns have changed places.
#[inline(always)]
pub(super) fn transpose<S: Simd>(s: S, square: &mut [S::F; MOST_LANES]) {
    for _ in 0..S::LANES.ilog2() {
        let before = *square;
        for i in 0..S::LANES / 2 {
            (square[2 * i], square[2 * i + 1]) = s.zip(before[i], before[i + S::LANES / 2]);
        }
    }
}

/// Passes every element of the product left x right to `finish`, once.
pub(crate) fn product<F: Finish>(level: Level, left: Left<'_>, right: Right<'_>, finish: F) {
    if right.holds_pairs() {
        pairs::with_left(
            level,
            left,
            right.depth,
            right.panels.amx,
            |sum_tile, left| {
                tile::product(level, (level, sum_tile), left, right, finish);
            },
        );
    } else {
        tile::product(level, (level, tile::sum_tile), left, right, finish);
    }
}
