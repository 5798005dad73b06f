//! Depthwise causal convolution of tokens of several kinds, each with its own filters.
//!
//! Token t of a sequence is of kind t mod p, and each kind has a filter of [`TAPS`] taps for each
//! channel. With x zero before the first token, ⊙ channel by channel, and i the kind of t:
//!
//! ```text
//! y[t] = b_i + sum_m w_i[m] ⊙ x[t - 5 + m]    m = 0 .. 5: the last tap multiplies the token itself
//!
//! dx[u]    = sum of w_i[m] ⊙ dy[t] over the tokens t = u .. u + 5, m = u - t + 5
//! dw_i[m] += sum over the tokens t of kind i of dy[t] ⊙ x[t - 5 + m],     db_i += sum of dy[t]
//! ```
//!
//! (`gym/models/decision_convformer.py` of beanie00/Decision-ConvFormer computes every filter at
//! every token and keeps each p-th row; here a token is multiplied by its own filter only.)
//!
//! The filters of a sequence are in one *bank*: for each kind the taps, oldest first, C numbers
//! each, then the bias. Which tokens are requested is a [`TokenSelection`]: all of them, or those
//! of one kind. Sums start at the bias and go from the oldest tap to the newest, so an element has
//! the same bits whatever tokens are computed with it.

pub(crate) mod cpu;
pub mod reference;

/// Tokens visible to a token, itself included.
pub const TAPS: usize = 6;

/// Rows of a filter in its bank: the taps and the bias.
pub const ROWS: usize = TAPS + 1;

/// The requested tokens: `first`, `first + stride`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSelection {
    /// the row of the first among those of x
    pub first: usize,
    /// from one to the next
    pub stride: usize,
    /// the kind of the first
    pub kind: usize,
}

impl TokenSelection {
    /// All tokens, from a window's first on.
    pub const ALL: Self = Self {
        first: 0,
        stride: 1,
        kind: 0,
    };

    /// Row and kind of the tokens in turn, where there are `kinds` of them.
    pub(crate) fn tokens(self, kinds: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..).map(move |at| {
            let behind = at * self.stride;
            (self.first + behind, (self.kind + behind) % kinds)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ROWS, TokenSelection, cpu, reference};
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const OBSERVATIONS: TokenSelection = TokenSelection {
        first: 1,
        stride: 3,
        kind: 1,
    };

    /// Kinds, tokens, width, and how many of the tokens are requested.
    fn cases() -> impl Iterator<Item = (usize, usize, usize, TokenSelection, usize)> {
        let sizes = [(1, 1), (2, 7), (5, 96), (8, 33), (59, 20)];
        let asked = |(tokens, width): (usize, usize)| {
            let evens = TokenSelection {
                stride: 2,
                ..TokenSelection::ALL
            };
            let last = TokenSelection {
                first: tokens - 1,
                stride: 1,
                kind: 2,
            };
            [
                (3, tokens, width, TokenSelection::ALL, tokens),
                (3, tokens, width, OBSERVATIONS, (tokens + 1) / 3),
                (3, tokens, width, last, 1),
                (2, tokens, width, evens, tokens.div_ceil(2)),
            ]
        };
        sizes.into_iter().flat_map(asked)
    }

    #[test]
    fn the_fast_convolution_is_the_reference_in_value_and_every_gradient() {
        for (kinds, tokens, width, selection, rows) in cases() {
            let x = numbers(1, tokens * width);
            let bank = numbers(2, kinds * ROWS * width);
            let beside = numbers(3, rows * width);
            let dy = numbers(4, rows * width);
            let (exact_x, exact_bank) = (to_f64(&x), to_f64(&bank));
            let y = reference::forward(width, &exact_bank, &exact_x, selection, rows);
            let expected: Vec<f64> = (y.iter().zip(&beside))
                .map(|(y, beside)| y + f64::from(*beside))
                .collect();
            let exact = reference::backward(width, &exact_bank, &exact_x, selection, &to_f64(&dy));
            for level in Level::available() {
                let mut found = vec![f32::NAN; rows * width];
                cpu::forward(level, width, &bank, &x, selection, &beside, &mut found);
                assert_close(&found, &expected, "y");
                let mut dx = vec![f32::NAN; x.len()];
                let mut gradient = vec![0.5; bank.len()];
                cpu::backward(
                    level,
                    width,
                    &bank,
                    &x,
                    selection,
                    &dy,
                    &mut dx,
                    &mut gradient,
                );
                assert_close(&dx, &exact.x, "dx");
                let sums: Vec<f64> = exact.bank.iter().map(|g| g + 0.5).collect();
                assert_close(&gradient, &sums, "dw, db");
            }
        }
    }

    #[test]
    fn a_token_has_the_same_bits_whatever_is_computed_with_it() {
        let (kinds, tokens, width) = (3, 23, 37);
        let x = numbers(1, tokens * width);
        let bank = numbers(2, kinds * ROWS * width);
        let zeros = vec![0.0; tokens * width];
        for level in Level::available() {
            let mut all = zeros.clone();
            cpu::forward(
                level,
                width,
                &bank,
                &x,
                TokenSelection::ALL,
                &zeros,
                &mut all,
            );
            for token in 0..tokens {
                // From the tokens that it sees alone.
                let first = token.saturating_sub(super::TAPS - 1);
                let selection = TokenSelection {
                    first: token - first,
                    stride: 1,
                    kind: token % kinds,
                };
                let seen = &x[first * width..(token + 1) * width];
                let mut one = vec![0.0; width];
                cpu::forward(
                    level,
                    width,
                    &bank,
                    seen,
                    selection,
                    &zeros[..width],
                    &mut one,
                );
                assert_eq!(one, all[token * width..(token + 1) * width]);
            }
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        for (kinds, tokens, width, selection, rows) in cases().take(8) {
            let x = to_f64(&numbers(1, tokens * width));
            let bank = to_f64(&numbers(2, kinds * ROWS * width));
            let dy = to_f64(&numbers(3, rows * width));
            let loss = |bank: &[f64], x: &[f64]| -> f64 {
                let y = reference::forward(width, bank, x, selection, rows);
                y.iter().zip(&dy).map(|(y, d)| y * d).sum()
            };
            let gradient = reference::backward(width, &bank, &x, selection, &dy);
            assert_gradient(&x, &gradient.x, |x| loss(&bank, x));
            assert_gradient(&bank, &gradient.bank, |bank| loss(bank, &x));
        }
    }
}
