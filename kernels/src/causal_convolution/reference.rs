//! A naive convolution: tap by tap, with zeros before the first token.

use super::{ROWS, TAPS, TokenSelection};
use crate::real::Real;

/// The gradients of a convolution.
pub struct Gradient<R> {
    /// tokens x C
    pub x: Vec<R>,
    /// as the bank
    pub bank: Vec<R>,
}

/// The token that a tap of token `token` multiplies, if the sequence has it.
fn seen(token: usize, tap: usize) -> Option<usize> {
    (token + tap + 1).checked_sub(TAPS)
}

/// y, `rows` x C, of the requested tokens; x is tokens x C.
pub fn forward<R: Real>(
    width: usize,
    bank: &[R],
    x: &[R],
    selection: TokenSelection,
    rows: usize,
) -> Vec<R> {
    let kinds = bank.len() / (ROWS * width);
    let mut y = Vec::with_capacity(rows * width);
    for (token, kind) in selection.tokens(kinds).take(rows) {
        let filter = &bank[kind * ROWS * width..(kind + 1) * ROWS * width];
        for channel in 0..width {
            let mut sum = filter[TAPS * width + channel];
            for tap in 0..TAPS {
                if let Some(seen) = seen(token, tap) {
                    sum += filter[tap * width + channel] * x[seen * width + channel];
                }
            }
            y.push(sum);
        }
    }
    y
}

/// The gradients from dy, a row for each requested token.
pub fn backward<R: Real>(
    width: usize,
    bank: &[R],
    x: &[R],
    selection: TokenSelection,
    dy: &[R],
) -> Gradient<R> {
    let kinds = bank.len() / (ROWS * width);
    let mut gradient = Gradient {
        x: vec![R::zero(); x.len()],
        bank: vec![R::zero(); bank.len()],
    };
    for (dy, (token, kind)) in dy.chunks(width).zip(selection.tokens(kinds)) {
        let filter = kind * ROWS * width;
        for (channel, d) in dy.iter().enumerate() {
            gradient.bank[filter + TAPS * width + channel] += *d;
            for tap in 0..TAPS {
                if let Some(seen) = seen(token, tap) {
                    let (weight, at) = (filter + tap * width + channel, seen * width + channel);
                    gradient.bank[weight] += *d * x[at];
                    gradient.x[at] += *d * bank[weight];
                }
            }
        }
    }
    gradient
}
