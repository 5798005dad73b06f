//! Layer normalisation whose gain and bias depend on one number of the row, its condition (adaLN).
//!
//! With r the condition of a row, and (u, v), 2 n numbers, how far gain and bias move with it:
//!
//! ```text
//! y_c = x_hat_c (gain_c + r u_c) + bias_c + r v_c          x_hat as in `layer_norm`
//!
//! dx as in `layer_norm`, with the row's gain gain_c + r u_c
//! dgain_c = sum over rows of dy_c x_hat_c,     du_c = sum over rows of r dy_c x_hat_c
//! dbias_c = sum over rows of dy_c,             dv_c = sum over rows of r dy_c
//! ```
//!
//! With u = v = 0, where training starts, it is the plain norm. In the papers' form it is Linear(1
//! -> 2 n) of r, whose bias is (gain, bias) here. Backward *adds* to every gradient.

pub(crate) mod cpu;
pub mod reference;

#[cfg(test)]
mod tests {
    use super::{cpu, reference};
    use crate::layer_norm;
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    #[test]
    fn the_fast_norm_is_the_reference_in_value_and_every_gradient() {
        for level in Level::available() {
            let sizes = [(1, 1), (3, 7), (5, 96), (4, 128), (2, 131)];
            for ((rows, width), epsilon) in sizes.into_iter().zip([1e-5, 3e-3].into_iter().cycle())
            {
                let [x, dy] = [1, 2].map(|seed| numbers(seed, rows * width));
                let parameters = numbers(3, 4 * width);
                let weights = cpu::Weights::new(&parameters[..2 * width], &parameters[2 * width..]);
                let conditions = numbers(4, rows);
                let mut y = vec![0.0; x.len()];
                let mut statistics = vec![[0.0; 2]; rows];
                cpu::forward(
                    level,
                    epsilon,
                    &x,
                    &conditions,
                    weights,
                    &mut y,
                    &mut statistics,
                );
                let exact = to_f64(&parameters);
                let exact = reference::Weights::new(&exact[..2 * width], &exact[2 * width..]);
                let (exact_x, exact_r) = (to_f64(&x), to_f64(&conditions));
                let expected = reference::forward(epsilon, &exact_x, &exact_r, exact);
                assert_close(&y, &expected, "y");

                let mut dx = vec![0.5; x.len()];
                let mut gradient = vec![0.25; 4 * width];
                let (affine, slopes) = gradient.split_at_mut(2 * width);
                let given = (&*x, &*statistics);
                cpu::backward(
                    level,
                    given,
                    &conditions,
                    weights,
                    &dy,
                    &mut dx,
                    affine,
                    slopes,
                );
                let expected =
                    reference::backward(epsilon, &exact_x, &exact_r, exact, &to_f64(&dy));
                let more =
                    |by: f64, all: &[f64]| -> Vec<f64> { all.iter().map(|g| g + by).collect() };
                assert_close(&dx, &more(0.5, &expected.x), "dx");
                assert_close(affine, &more(0.25, &expected.affine), "dgain, dbias");
                assert_close(slopes, &more(0.25, &expected.slopes), "du, dv");
            }
        }
    }

    #[test]
    fn without_slopes_it_is_the_plain_norm_bit_for_bit() {
        let (rows, width) = (3, 37);
        let x = numbers(1, rows * width);
        let affine = numbers(2, 2 * width);
        let slopes = vec![0.0; 2 * width];
        for level in Level::available() {
            let (mut plain, mut adaptive) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let mut statistics = vec![[0.0; 2]; rows];
            let (gain, bias) = affine.split_at(width);
            layer_norm::cpu::forward(level, &x, gain, bias, &mut plain, &mut statistics);
            let weights = cpu::Weights::new(&affine, &slopes);
            let conditions = [0.5, -3.0, 7.0];
            cpu::forward(
                level,
                layer_norm::EPSILON,
                &x,
                &conditions,
                weights,
                &mut adaptive,
                &mut statistics,
            );
            assert_eq!(plain, adaptive);
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let (rows, width) = (3, 6);
        let [x, dy] = [1, 2].map(|seed| to_f64(&numbers(seed, rows * width)));
        let [affine, slopes] = [3, 4].map(|seed| to_f64(&numbers(seed, 2 * width)));
        let conditions = to_f64(&numbers(5, rows));
        let loss = |x: &[f64], affine: &[f64], slopes: &[f64]| -> f64 {
            let weights = reference::Weights::new(affine, slopes);
            let y = reference::forward(3e-3, x, &conditions, weights);
            y.iter().zip(&dy).map(|(y, d)| y * d).sum()
        };
        let weights = reference::Weights::new(&affine, &slopes);
        let found = reference::backward(3e-3, &x, &conditions, weights, &dy);
        assert_gradient(&x, &found.x, |x| loss(x, &affine, &slopes));
        assert_gradient(&affine, &found.affine, |affine| loss(&x, affine, &slopes));
        assert_gradient(&slopes, &found.slopes, |slopes| loss(&x, &affine, slopes));
    }
}
