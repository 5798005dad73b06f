//! Expectile regression: a squared error that weighs the two signs of the error differently.
//!
//! With y the predictions, x the numbers to predict, n a scale and t the expectile, in (0, 1):
//!
//! ```text
//! e_i = (x_i - y_i) / n
//! loss = sum_i |t - [e_i < 0]| e_i^2 / N          dy_i = -2 |t - [e_i < 0]| e_i / (n N)
//! ```
//!
//! At t = 1/2 the minimum is the mean; the nearer t is to 1, the nearer it is to the largest x. The
//! scale is the mean of |x| over a batch (`scale`), a constant of the gradient: Reinformer
//! (Zhuang et al. 2024, `model/reinformer.py`). The rows are one number long, so there is nothing
//! to vectorise: `cpu` differs from `reference` in its precision only.

pub(crate) mod cpu;
pub mod reference;

/// The mean magnitude of some numbers; 1 where that is zero, so that errors can be divided by it.
pub(crate) fn scale(numbers: impl Iterator<Item = f32>) -> f64 {
    let (mut count, mut sum) = (0_u64, 0.0);
    for x in numbers {
        count += 1;
        sum += f64::from(x.abs());
    }
    if sum > 0.0 { sum / count as f64 } else { 1.0 }
}

/// What the loss depends on besides the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    /// t
    pub expectile: f32,
    /// n
    pub scale: f64,
    /// N
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const EXPECTILES: [f32; 4] = [0.01, 0.5, 0.9, 0.99];

    fn scales(expectile: f32) -> Scales {
        Scales {
            expectile,
            scale: 0.7,
            count: 11,
        }
    }

    #[test]
    fn the_fast_loss_is_the_reference_in_value_and_gradient() {
        let (y, x) = (numbers(1, 9), numbers(2, 9));
        for expectile in EXPECTILES {
            let (loss, dy) = reference::loss(scales(expectile), &to_f64(&y), &to_f64(&x));
            let mut gradient = vec![f32::NAN; y.len()];
            let found = cpu::loss(scales(expectile), &y, &x, &mut gradient);
            assert!((found / loss - 1.0).abs() < 1e-6);
            assert_close(&gradient, &dy, "dy");
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let (y, x) = (to_f64(&numbers(1, 12)), to_f64(&numbers(2, 12)));
        for expectile in EXPECTILES {
            let (_, dy) = reference::loss(scales(expectile), &y, &x);
            assert_gradient(&y, &dy, |y| reference::loss(scales(expectile), y, &x).0);
        }
    }

    #[test]
    fn its_minimum_is_the_expectile() {
        // Of 0 and 1 it is t; of U(0, 1) it is sqrt(t) / (sqrt(t) + sqrt(1 - t)).
        let uniform: Vec<f64> = (0..2000).map(|i| (f64::from(i) + 0.5) / 2000.0).collect();
        for expectile in EXPECTILES {
            let t = f64::from(expectile);
            let (high, low) = (t.sqrt(), (1.0 - t).sqrt());
            for (x, expected) in [(&[0.0, 1.0][..], t), (&uniform, high / (high + low))] {
                let found = minimum(expectile, x);
                assert!((found - expected).abs() < 1e-3, "{t}: {found}, {expected}");
            }
        }
    }

    /// 2,000 gradient steps from zero.
    fn minimum(expectile: f32, x: &[f64]) -> f64 {
        let scales = Scales {
            expectile,
            scale: 1.0,
            count: x.len(),
        };
        let mut at = 0.0;
        for _ in 0..2000 {
            let (_, dy) = reference::loss(scales, &vec![at; x.len()], x);
            at -= 0.5 * dy.iter().sum::<f64>();
        }
        at
    }

    #[test]
    fn half_is_half_the_squared_error() {
        let (y, x) = ([0.25, -1.0], [1.0, 0.5]);
        let (loss, _) = reference::loss(scales(0.5), &y, &x);
        let squared = 0.75_f64.powi(2) + 1.5_f64.powi(2);
        assert!((loss - 0.5 * squared / 0.7_f64.powi(2) / 11.0).abs() < 1e-12);
    }

    #[test]
    fn a_scale_is_the_mean_magnitude_or_one() {
        assert!((scale([2.0, -4.0].into_iter()) - 3.0).abs() < f64::EPSILON);
        assert!((scale([0.0, 0.0].into_iter()) - 1.0).abs() < f64::EPSILON);
        assert!((scale([].into_iter()) - 1.0).abs() < f64::EPSILON);
    }
}
