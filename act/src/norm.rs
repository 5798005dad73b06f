//! Layer normalisation: y = (x - mean) / sqrt(variance + epsilon) gain + bias, row by row.

use crate::functions::sqrt;
use crate::product::dot;
use crate::reader::{Numbers, Pair};

/// Epsilon of a sequence model's norms, where the file says nothing else.
pub(crate) const EPSILON: f32 = 1e-5;

impl Pair {
    /// The norm of each row; `self` are gain and bias.
    pub(crate) fn norm(self, bytes: &[u8], epsilon: f32, x: &[f32], y: &mut [f32]) {
        let (gain, bias) = (self.weight.of(bytes), self.bias.of(bytes));
        let width = gain.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            standardise(epsilon, x, y);
            for (y, (gain, bias)) in y.iter_mut().zip(gain.iter().zip(bias)) {
                *y = *y * f32::from_le_bytes(*gain) + f32::from_le_bytes(*bias);
            }
        }
    }

    /// The norm of a row whose gain and bias move with a number r: gain + r u, bias + r v.
    /// `slopes` are u and v, concatenated.
    pub(crate) fn adaptive_norm(
        self,
        bytes: &[u8],
        epsilon: f32,
        slopes: Numbers<'_>,
        r: f32,
        (x, y): (&[f32], &mut [f32]),
    ) {
        let (gain, bias) = (self.weight.of(bytes), self.bias.of(bytes));
        let (u, v) = slopes.split_at(gain.len());
        standardise(epsilon, x, y);
        let pairs = gain.iter().zip(u).zip(bias.iter().zip(v));
        for (y, ((gain, u), (bias, v))) in y.iter_mut().zip(pairs) {
            let moved = |at: &[u8; 4], slope: &[u8; 4]| {
                f32::from_le_bytes(*at) + r * f32::from_le_bytes(*slope)
            };
            *y = *y * moved(gain, u) + moved(bias, v);
        }
    }
}

/// (x - mean) / sqrt(variance + epsilon).
fn standardise(epsilon: f32, x: &[f32], y: &mut [f32]) {
    let share = 1.0 / x.len() as f32;
    let mean = sum(x) * share;
    for (y, x) in y.iter_mut().zip(x) {
        *y = x - mean;
    }
    let scale = 1.0 / sqrt(dot(y, y) * share + epsilon);
    for y in y {
        *y *= scale;
    }
}

/// The sum of some numbers, in eight sums side by side.
fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::testing::{numbers, weights};

    #[test]
    fn a_norm_is_its_formula_and_moves_with_its_condition() {
        for width in [1, 5, 24] {
            let x = numbers(1, 2 * width);
            let (gain, bias) = (numbers(2, width), numbers(3, width));
            let slopes = numbers(4, 2 * width);
            let (bytes, at) = weights(&gain, &bias);
            let exact = |x: &[f32], r: f64| -> Vec<f64> {
                let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                let mean = x.iter().sum::<f64>() / width as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                let of = |at: &[f32], index: usize| f64::from(at[index]);
                let numbers = x.iter().enumerate().map(|(index, x)| {
                    let gain = of(&gain, index) + r * of(&slopes, index);
                    let bias = of(&bias, index) + r * of(&slopes, width + index);
                    (x - mean) / (variance + 1e-5).sqrt() * gain + bias
                });
                numbers.collect()
            };
            let close = |y: &[f32], exact: &[f64]| {
                let distances = y
                    .iter()
                    .zip(exact)
                    .map(|(y, exact)| (f64::from(*y) - exact).abs());
                distances.fold(0.0, f64::max) < 1e-6
            };
            let mut y = vec![0.0; 2 * width];
            at.norm(&bytes, EPSILON, &x, &mut y);
            assert!(close(&y[..width], &exact(&x[..width], 0.0)), "{width}");
            assert!(close(&y[width..], &exact(&x[width..], 0.0)), "{width}");
            let slope_bytes: Vec<[u8; 4]> = slopes.iter().map(|x| x.to_le_bytes()).collect();
            let row = (&x[..width], &mut y[..width]);
            at.adaptive_norm(&bytes, EPSILON, &slope_bytes, -1.5, row);
            assert!(close(&y[..width], &exact(&x[..width], -1.5)), "{width}");
        }
    }
}
