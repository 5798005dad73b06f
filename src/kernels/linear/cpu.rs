//! The fast product: a packed right factor, a register tile, one order of summation.

use super::pairs;
use crate::kernels::buffer::Buffer;
use crate::kernels::epilogue::Finish;
use crate::kernels::precision::Precision;
use crate::kernels::simd::pairs::MOST_LANES;
use crate::kernels::simd::{Level, Simd, dispatched};
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
    fn start(&self, row: usize, tile: usize) -> usize {
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
    /// Sets the precision of the factors packed from now on; f32 by default.
    pub(crate) fn hold(&mut self, precision: Precision) -> &mut Self {
        self.precision = precision;
        self
    }

    /// Lines of a panel for this many of the factor.
    fn lines(&self, depth: usize) -> usize {
        match self.precision {
            Precision::F32 | Precision::Tf32 => depth,
            Precision::Bf16 => depth.div_ceil(2),
        }
    }

    fn shape(&mut self, level: Level, depth: usize, columns: usize) {
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
    fn panel(&self, index: usize) -> &'a [f32] {
        let (all, lines) = (
            self.panels.lines(self.panels.depth),
            self.panels.lines(self.depth),
        );
        let start = (index * all + self.first) * self.panels.width;
        &self.panels.data[start..start + lines * self.panels.width]
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
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
    match right.panels.precision {
        Precision::F32 | Precision::Tf32 => product_of_floats(level, left, right, finish),
        Precision::Bf16 => pairs::product(level, left, right, finish),
    }
}

dispatched! {
    fn product_of_floats<F: Finish>(left: Left<'_>, right: Right<'_>, finish: F) = product_with;
}

#[inline(always)]
fn product_with<S: Simd, F: Finish>(s: S, left: Left<'_>, right: Right<'_>, finish: F) {
    product_of(Floats(s), left, right, finish);
}

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
struct Floats<S>(S);

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

#[inline(always)]
pub(super) fn product_of<V: Factors, F: Finish>(
    v: V,
    left: Left<'_>,
    right: Right<'_>,
    mut finish: F,
) {
    assert_eq!(
        right.panels.width,
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

/// All tiles, panel by panel. ALONG: the depth runs along a row.
#[inline(always)]
fn tiles_of<V: Factors, F: Finish, const ALONG: bool>(
    v: V,
    left: Left<'_>,
    right: Right<'_>,
    finish: &mut F,
) {
    let most = V::S::TILE_ROWS;
    for column in (0..right.columns).step_by(2 * V::S::LANES) {
        let panel = right.panel(column / (2 * V::S::LANES));
        let place = |row| Place {
            row,
            column,
            columns: right.columns,
        };
        let mut row = 0;
        while row < left.rows {
            let (rows, at) = ((left.rows - row).min(most), place(row));
            // The largest tile that fits; compilers drop those above TILE_ROWS.
            row += match rows {
                12.. if most >= 12 => tile::<V, F, 12, ALONG>(v, left, panel, at, finish),
                8.. if most >= 8 => tile::<V, F, 8, ALONG>(v, left, panel, at, finish),
                6.. if most == 6 => tile::<V, F, 6, ALONG>(v, left, panel, at, finish),
                5 if most == 6 => tile::<V, F, 5, ALONG>(v, left, panel, at, finish),
                4.. => tile::<V, F, 4, ALONG>(v, left, panel, at, finish),
                3 => tile::<V, F, 3, ALONG>(v, left, panel, at, finish),
                2 => tile::<V, F, 2, ALONG>(v, left, panel, at, finish),
                _ => tile::<V, F, 1, ALONG>(v, left, panel, at, finish),
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
fn tile<V: Factors, F: Finish, const R: usize, const ALONG: bool>(
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
        sums_along::<V, R>(v, data, left.row_stride, panel)
    } else {
        sums_across::<V, R>(v, data, left.depth_stride, panel)
    };
    if place.columns - place.column >= 2 * lanes {
        for (r, sums) in sums.into_iter().enumerate() {
            finish.finish(s, place.row + r, place.column, lanes, sums[0]);
            finish.finish(s, place.row + r, place.column + lanes, lanes, sums[1]);
        }
        return R;
    }
    let some = (place.columns - place.column).min(lanes);
    let more = place.columns - place.column - some;
    for (r, sums) in sums.into_iter().enumerate() {
        finish.finish(s, place.row + r, place.column, some, sums[0]);
        if more > 0 {
            finish.finish(s, place.row + r, place.column + lanes, more, sums[1]);
        }
    }
    R
}

/// The vectors of the sums of `V`.
type Vectors<V> = [<<V as Factors>::S as Simd>::F; 2];

/// The sums of R rows that are `stride` apart, number after number. `data` begins at the first
/// row's first number and holds all rows over the panel's depth.
#[inline(always)]
fn sums_along<V: Factors, const R: usize>(
    v: V,
    data: &[f32],
    stride: usize,
    panel: &[f32],
) -> [Vectors<V>; R] {
    let lanes = V::S::LANES;
    let mut sums = [[v.simd().splat(0.0); 2]; R];
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
fn sums_across<V: Factors, const R: usize>(
    v: V,
    data: &[f32],
    stride: usize,
    panel: &[f32],
) -> [Vectors<V>; R] {
    let mut sums = [[v.simd().splat(0.0); 2]; R];
    let mut pointer = data.as_ptr();
    for line in panel.chunks_exact(2 * V::S::LANES) {
        add_line(v, |r| pointer.wrapping_add(r), line, &mut sums);
        pointer = pointer.wrapping_add(stride);
    }
    sums
}

/// Adds a line of the panel, times a number of each row, to the rows' sums.
#[inline(always)]
fn add_line<V: Factors, const R: usize>(
    v: V,
    number: impl Fn(usize) -> *const f32,
    line: &[f32],
    sums: &mut [Vectors<V>; R],
) {
    let s = v.simd();
    let (line_0, line_1) = line.split_at(V::S::LANES);
    let (b_0, b_1) = (s.load(line_0), s.load(line_1));
    for (r, sums) in sums.iter_mut().enumerate() {
        #[expect(
            unsafe_code,
            reason = "in the innermost loop, without a check of bounds"
        )]
        // SAFETY: `tile` has checked that the left factor holds all its rows over the whole depth.
        let a = s.splat(unsafe { *number(r) });
        sums[0] = v.add_product(a, b_0, sums[0]);
        sums[1] = v.add_product(a, b_1, sums[1]);
    }
}
