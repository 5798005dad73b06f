//! The convolution by vectors of channels.

use super::{ROWS, TAPS, TokenSelection};
use crate::simd::{Simd, dispatched};

/// The filter of a token, and its inputs: its taps that are not before the first token, and their
/// rows of x.
struct Seen {
    /// The bias's place in the bank.
    bias: usize,
    /// The places of the oldest tap in the bank and of its row in x, and how many taps there are.
    tap: usize,
    row: usize,
    taps: usize,
}

impl Seen {
    #[inline(always)]
    fn by(token: usize, kind: usize, width: usize) -> Self {
        let (taps, filter) = (TAPS.min(token + 1), kind * ROWS * width);
        Self {
            bias: filter + TAPS * width,
            tap: filter + (TAPS - taps) * width,
            row: (token + 1 - taps) * width,
            taps,
        }
    }
}

dispatched! {
    /// to = beside + y, a row for each requested token.
    pub(crate) fn forward(
        width: usize,
        bank: &[f32],
        x: &[f32],
        selection: TokenSelection,
        beside: &[f32],
        to: &mut [f32],
    ) = forward_with;
}

#[inline(always)]
fn forward_with<S: Simd>(
    s: S,
    width: usize,
    bank: &[f32],
    x: &[f32],
    selection: TokenSelection,
    beside: &[f32],
    to: &mut [f32],
) {
    let kinds = bank.len() / (ROWS * width);
    let rows = beside.chunks(width).zip(to.chunks_mut(width));
    for ((beside, to), (token, kind)) in rows.zip(selection.tokens(kinds)) {
        let seen = Seen::by(token, kind, width);
        for at in (0..width).step_by(S::LANES) {
            let mut sum = s.load(&bank[seen.bias + at..]);
            for tap in (0..seen.taps * width).step_by(width) {
                let weight = s.load(&bank[seen.tap + tap + at..]);
                sum = s.mul_add(weight, s.load(&x[seen.row + tap + at..]), sum);
            }
            s.store(s.add(s.load(&beside[at..]), sum), &mut to[at..]);
        }
    }
}

dispatched! {
    /// Writes dx, tokens x C, and adds to the gradient of the bank, from dy, a row for each
    /// requested token.
    #[expect(clippy::too_many_arguments, reason = "a size, two inputs, and a gradient for each")]
    pub(crate) fn backward(
        width: usize,
        bank: &[f32],
        x: &[f32],
        selection: TokenSelection,
        dy: &[f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) = backward_with;
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "a size, two inputs, and a gradient for each"
)]
fn backward_with<S: Simd>(
    s: S,
    width: usize,
    bank: &[f32],
    x: &[f32],
    selection: TokenSelection,
    dy: &[f32],
    dx: &mut [f32],
    gradient: &mut [f32],
) {
    let kinds = bank.len() / (ROWS * width);
    dx.fill(0.0);
    for (dy, (token, kind)) in dy.chunks(width).zip(selection.tokens(kinds)) {
        let seen = Seen::by(token, kind, width);
        for at in (0..width).step_by(S::LANES) {
            // The last vector of a row may be shorter: the numbers after it belong to the next row.
            let end = width.min(at + S::LANES);
            let d = s.load(&dy[at..end]);
            let bias = &mut gradient[seen.bias + at..seen.bias + end];
            s.store(s.add(s.load(bias), d), bias);
            for tap in (0..seen.taps * width).step_by(width) {
                let weight = seen.tap + tap;
                let row = seen.row + tap;
                let to = &mut gradient[weight + at..weight + end];
                s.store(
                    s.mul_add(d, s.load(&x[row + at..row + end]), s.load(to)),
                    to,
                );
                let to = &mut dx[row + at..row + end];
                s.store(
                    s.mul_add(d, s.load(&bank[weight + at..weight + end]), s.load(to)),
                    to,
                );
            }
        }
    }
}
