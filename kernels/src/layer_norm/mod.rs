//! Layer normalisation of each row, of width n.
//!
//! ```text
//! y_c = x_hat_c gain_c + bias_c,   x_hat_c = s (x_c - mean),   s = 1 / sqrt(variance + epsilon)
//!
//! with g_c = dy_c gain_c, the gradient at x_hat_c:
//! d mean / d x_c = 1 / n,   d variance / d x_c = 2 (x_c - mean) / n,   so
//! d x_hat_k / d x_c = s ([k = c] - 1/n - x_hat_k x_hat_c / n)
//! dx_c    = s (g_c - mean_k(g_k) - x_hat_c mean_k(g_k x_hat_k))
//! dgain_c = sum over rows of dy_c x_hat_c,   dbias_c = sum over rows of dy_c
//! ```
//!
//! Forward keeps mean and s of each row; backward normalises x again. A row is read from the L1
//! cache twice, first for mean and variance (about the mean: two passes, no cancellation), then to
//! write. Backward *adds* to dx, which already contains the gradient of the residual path.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub mod reference;

/// Added to the variance.
pub const EPSILON: f32 = 1e-5;

#[cfg(test)]
mod tests {
    use super::{cpu, reference};
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    #[test]
    fn the_fast_norm_is_the_reference_in_value_and_every_gradient() {
        for level in Level::available() {
            for (rows, width) in [(1, 1), (3, 7), (5, 96), (4, 128), (2, 131)] {
                let x = numbers(1, rows * width);
                let gain = numbers(2, width);
                let bias = numbers(3, width);
                let dy = numbers(4, rows * width);
                let mut y = vec![0.0; x.len()];
                let mut statistics = vec![[0.0; 2]; rows];
                cpu::forward(level, &x, &gain, &bias, &mut y, &mut statistics);
                let (exact_x, exact_gain) = (to_f64(&x), to_f64(&gain));
                let expected = reference::forward(&exact_x, &exact_gain, &to_f64(&bias));
                assert_close(&y, &expected, "y");

                let before = numbers(5, x.len());
                let mut dx = before.clone();
                let (mut dgain, mut dbias) = (vec![0.0; width], vec![0.0; width]);
                cpu::backward(
                    level,
                    &x,
                    &gain,
                    &statistics,
                    &dy,
                    &mut dx,
                    &mut dgain,
                    &mut dbias,
                );
                let expected = reference::backward(&exact_x, &exact_gain, &to_f64(&dy));
                let sums: Vec<f64> = before
                    .iter()
                    .zip(&expected.x)
                    .map(|(b, d)| f64::from(*b) + d)
                    .collect();
                assert_close(&dx, &sums, "dx");
                assert_close(&dgain, &expected.gain, "dgain");
                assert_close(&dbias, &expected.bias, "dbias");
            }
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let (rows, width) = (3, 6);
        let x = to_f64(&numbers(1, rows * width));
        let gain = to_f64(&numbers(2, width));
        let bias = to_f64(&numbers(3, width));
        let dy = to_f64(&numbers(4, rows * width));
        let loss = |x: &[f64], gain: &[f64], bias: &[f64]| -> f64 {
            reference::forward(x, gain, bias)
                .iter()
                .zip(&dy)
                .map(|(y, d)| y * d)
                .sum()
        };
        let gradient = reference::backward(&x, &gain, &dy);
        assert_gradient(&x, &gradient.x, |x| loss(x, &gain, &bias));
        assert_gradient(&gain, &gradient.gain, |gain| loss(&x, gain, &bias));
        assert_gradient(&bias, &gradient.bias, |bias| loss(&x, &gain, bias));
    }
}
