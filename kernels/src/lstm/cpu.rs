//! The fast recurrence: several sequences side by side, by vectors of channels.

use super::GATES;
use crate::buffer::Buffer;
use crate::epilogue::Accumulate;
use crate::linear::cpu::{Left, Panels, Tiles, product};
use crate::simd::functions::{sigmoid, tanh};
use crate::simd::{Level, Simd, dispatched};

/// Some sequences, whose rows are in the order of [`Order`](super::Order).
#[derive(Clone, Copy)]
pub(crate) struct Sequences<'a> {
    /// C
    pub(crate) width: usize,
    /// how many sequences have a first token, a second one, and so on
    pub(crate) counts: &'a [usize],
}

impl Sequences<'_> {
    /// Rows of all tokens.
    fn rows(self) -> usize {
        self.counts.iter().sum()
    }

    /// How many sequences there are.
    fn count(self) -> usize {
        self.counts.first().copied().unwrap_or_default()
    }
}

/// h and c of each sequence in front of its first token, C numbers each; empty where they are zero.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before<'a> {
    pub(crate) hidden: &'a [f32],
    pub(crate) cells: &'a [f32],
}

/// What forward writes, a row for each token.
pub(crate) struct Tokens<'a> {
    /// rows x 4 C: a, which becomes the gates
    pub(crate) gates: &'a mut [f32],
    /// rows x C: c
    pub(crate) cells: &'a mut [f32],
    /// rows x C: h
    pub(crate) hidden: &'a mut [f32],
}

/// Gates, c and h of all tokens; `weight` is W, C x 4 C.
pub(crate) fn forward(
    level: Level,
    sequences: Sequences<'_>,
    weight: &Panels,
    before: Before<'_>,
    to: Tokens<'_>,
) {
    let (c, row) = (sequences.width, GATES * sequences.width);
    let Tokens {
        mut gates,
        mut cells,
        mut hidden,
    } = to;
    let mut before = before;
    for count in sequences.counts {
        // The tokens of this place, and those behind them.
        let (gates_here, later) = std::mem::take(&mut gates).split_at_mut(count * row);
        gates = later;
        let (cells_here, later) = std::mem::take(&mut cells).split_at_mut(count * c);
        cells = later;
        let (hidden_here, later) = std::mem::take(&mut hidden).split_at_mut(count * c);
        hidden = later;
        if !before.hidden.is_empty() {
            let left = Left::rows(before.hidden, *count, c);
            let finish = Accumulate {
                to: &mut *gates_here,
                stride: row,
            };
            product(level, left, weight.all(), finish);
        }
        token(level, c, before.cells, gates_here, cells_here, hidden_here);
        before = Before {
            hidden: hidden_here,
            cells: cells_here,
        };
    }
}

dispatched! {
    /// The gates of a token of each sequence, in place, and its c and h.
    fn token(
        width: usize,
        before: &[f32],
        gates: &mut [f32],
        cells: &mut [f32],
        hidden: &mut [f32],
    ) = token_with;
}

#[inline(always)]
fn token_with<S: Simd>(
    s: S,
    width: usize,
    before: &[f32],
    gates: &mut [f32],
    cells: &mut [f32],
    hidden: &mut [f32],
) {
    for (sequence, gates) in gates.chunks_exact_mut(GATES * width).enumerate() {
        let (i_row, others) = gates.split_at_mut(width);
        let (f_row, others) = others.split_at_mut(width);
        let (g_row, o_row) = others.split_at_mut(width);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            let numbers = sequence * width + channel..sequence * width + end;
            let i = sigmoid(s, s.load(&i_row[channel..end]));
            let f = sigmoid(s, s.load(&f_row[channel..end]));
            let g = tanh(s, s.load(&g_row[channel..end]));
            let o = sigmoid(s, s.load(&o_row[channel..end]));
            s.store(i, &mut i_row[channel..end]);
            s.store(f, &mut f_row[channel..end]);
            s.store(g, &mut g_row[channel..end]);
            s.store(o, &mut o_row[channel..end]);
            let mut cell = s.mul(i, g);
            if !before.is_empty() {
                cell = s.mul_add(f, s.load(&before[numbers.clone()]), cell);
            }
            s.store(cell, &mut cells[numbers.clone()]);
            s.store(s.mul(o, tanh(s, cell)), &mut hidden[numbers]);
        }
    }
}

/// What forward has left, for sequences that began with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) gates: &'a [f32],
    pub(crate) cells: &'a [f32],
    pub(crate) hidden: &'a [f32],
}

/// Writes da, rows x 4 C. `dh`, rows x C, is the gradient at h from outside, to which that of the
/// tokens behind is added; `carried` is scratch memory. `transposed` is W^T, 4 C x C.
pub(crate) fn backward(
    level: Level,
    sequences: Sequences<'_>,
    transposed: &Panels,
    kept: Kept<'_>,
    carried: &mut Buffer,
    dh: &mut [f32],
    da: &mut [f32],
) {
    let (c, row) = (sequences.width, GATES * sequences.width);
    carried.resize(sequences.count() * c);
    carried.fill(0.0);
    let (mut end, mut later) = (sequences.rows(), 0);
    for (token, count) in sequences.counts.iter().enumerate().rev() {
        let start = end - count;
        let (da, behind) = da.split_at_mut(end * row);
        let dh = &mut dh[start * c..end * c];
        if later > 0 {
            let left = Left::rows(behind, later, row);
            let finish = Accumulate {
                to: &mut *dh,
                stride: c,
            };
            product(level, left, transposed.all(), finish);
        }
        let before = match token.checked_sub(1) {
            Some(token) => &kept.cells[(start - sequences.counts[token]) * c..start * c],
            None => &[],
        };
        token_backward(
            level,
            c,
            (before, &kept.cells[start * c..end * c]),
            &kept.gates[start * row..end * row],
            dh,
            carried,
            &mut da[start * row..],
        );
        (end, later) = (start, *count);
    }
}

dispatched! {
    /// From dh of a token of each sequence, and dc f of the tokens behind in `carried`, to da and
    /// dc f of this token. `cells` are those of the token before and of this one.
    fn token_backward(
        width: usize,
        cells: (&[f32], &[f32]),
        gates: &[f32],
        dh: &[f32],
        carried: &mut [f32],
        da: &mut [f32],
    ) = token_backward_with;
}

#[inline(always)]
fn token_backward_with<S: Simd>(
    s: S,
    width: usize,
    (before, cells): (&[f32], &[f32]),
    gates: &[f32],
    dh: &[f32],
    carried: &mut [f32],
    da: &mut [f32],
) {
    let one = s.splat(1.0);
    let rows = gates.chunks_exact(GATES * width);
    let rows = rows.zip(da.chunks_exact_mut(GATES * width));
    for (sequence, (gates, da)) in rows.enumerate() {
        let (di_row, others) = da.split_at_mut(width);
        let (df_row, others) = others.split_at_mut(width);
        let (dg_row, do_row) = others.split_at_mut(width);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            let numbers = sequence * width + channel..sequence * width + end;
            let i = s.load(&gates[channel..end]);
            let f = s.load(&gates[width + channel..width + end]);
            let g = s.load(&gates[2 * width + channel..2 * width + end]);
            let o = s.load(&gates[3 * width + channel..3 * width + end]);
            let squashed = tanh(s, s.load(&cells[numbers.clone()]));
            let upstream = s.load(&dh[numbers.clone()]);
            let slope = s.sub(one, s.mul(squashed, squashed));
            let through = s.mul(upstream, s.mul(o, slope));
            let dc = s.add(s.load(&carried[numbers.clone()]), through);
            s.store(s.mul(dc, f), &mut carried[numbers.clone()]);
            let slope = s.mul(i, s.sub(one, i));
            s.store(s.mul(s.mul(dc, g), slope), &mut di_row[channel..end]);
            // Zero in front of the first token.
            let mut df = s.splat(0.0);
            if !before.is_empty() {
                let slope = s.mul(f, s.sub(one, f));
                df = s.mul(s.mul(dc, s.load(&before[numbers])), slope);
            }
            s.store(df, &mut df_row[channel..end]);
            let slope = s.sub(one, s.mul(g, g));
            s.store(s.mul(s.mul(dc, i), slope), &mut dg_row[channel..end]);
            let slope = s.mul(o, s.sub(one, o));
            let of_o = s.mul(s.mul(upstream, squashed), slope);
            s.store(of_o, &mut do_row[channel..end]);
        }
    }
}

/// Scratch memory of a weight's gradient.
pub(crate) struct WeightScratch<'a> {
    /// h of the tokens before
    pub(crate) before: &'a mut Buffer,
    /// f32
    pub(crate) panels: &'a mut Panels,
    pub(crate) tiles: &'a mut Tiles,
}

/// Adds dW, C x 4 C, from h and da, some rows at a time, which stay in the cache.
pub(crate) fn weight_gradient(
    level: Level,
    sequences: Sequences<'_>,
    hidden: &[f32],
    da: &[f32],
    scratch: WeightScratch<'_>,
    to: &mut [f32],
) {
    const MOST_ROWS: usize = 480;
    let (c, row) = (sequences.width, GATES * sequences.width);
    let WeightScratch {
        before,
        panels,
        tiles,
    } = scratch;
    // Of the rows behind the first tokens, which have none before them.
    let first = sequences.count();
    before.resize((sequences.rows() - first) * c);
    let (mut from, mut at) = (0, 0);
    for pair in sequences.counts.windows(2) {
        let numbers = pair[1] * c;
        before[at..at + numbers].copy_from_slice(&hidden[from..from + numbers]);
        (from, at) = (from + pair[0] * c, at + numbers);
    }
    let parts = before.chunks(MOST_ROWS * c);
    for (before, da) in parts.zip(da[first * row..].chunks(MOST_ROWS * row)) {
        let rows = da.len() / row;
        panels.pack(level, da, row, rows, row, None);
        let left = tiles.columns(level, panels, before, rows, c);
        let finish = Accumulate {
            to: &mut *to,
            stride: row,
        };
        product(level, left, panels.all(), finish);
    }
}
