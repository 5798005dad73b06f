//! The activation between the two products of an MLP.
//!
//! ```text
//! ReLU:  f(x) = max(x, 0)    f'(x) = 1 if x > 0 else 0
//! GELU:  f(x) = x Phi(x)     f'(x) = Phi(x) + x phi(x)
//! ```
//!
//! Phi is the standard normal distribution, phi its density: this is the exact GELU, with erf, not
//! the approximation with tanh. Both directions are applied to a product as it leaves the registers
//! (`cpu`), so the activation costs no pass over memory. The derivative of `ReLU` follows from its
//! own output; GELU keeps f'(x), which costs one more operation where f(x) is computed.

pub(crate) mod cpu;
pub mod reference;

/// The activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x Phi(x), exactly
    Gelu,
}

#[cfg(test)]
mod tests {
    use super::{Activation, cpu, reference};
    use crate::linear::cpu::{Left, Panels, product};
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    /// Runs the values through a product with the 1 x 1 identity, where the activation is applied.
    fn activate(level: Level, activation: Activation, x: &[f32]) -> [Vec<f32>; 3] {
        let mut one = Panels::default();
        one.pack(level, &[1.0], 1, 1, 1, None);
        let left = Left::rows(x, x.len(), 1);
        let (mut kept, mut output, mut slope) =
            (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
        let finish = cpu::Activate {
            activation,
            bias: &[0.0],
            slope: &mut kept,
            output: &mut output,
            stride: 1,
        };
        product(level, left, one.all(), finish);
        let finish = cpu::ActivateBackward {
            activation,
            slope: &kept,
            output: &output,
            to: &mut slope,
            stride: 1,
        };
        product(
            level,
            Left::rows(&vec![1.0; x.len()], x.len(), 1),
            one.all(),
            finish,
        );
        [kept, output, slope]
    }

    #[test]
    fn the_fast_activation_is_the_reference_in_value_and_slope() {
        let x: Vec<f32> = numbers(1, 501).iter().map(|x| 6.0 * x).collect();
        for level in Level::available() {
            for activation in [Activation::Relu, Activation::Gelu] {
                let [_, output, slope] = activate(level, activation, &x);
                let exact = to_f64(&x);
                assert_close(&output, &reference::forward(activation, &exact), "f");
                let ones = vec![1.0; x.len()];
                assert_close(
                    &slope,
                    &reference::backward(activation, &exact, &ones),
                    "f'",
                );
            }
        }
    }

    #[test]
    fn the_reference_slope_is_the_finite_difference() {
        let x: Vec<f64> = numbers(2, 30).iter().map(|x| 4.0 * f64::from(*x)).collect();
        let dy = to_f64(&numbers(3, 30));
        for activation in [Activation::Relu, Activation::Gelu] {
            let dx = reference::backward(activation, &x, &dy);
            assert_gradient(&x, &dx, |x| {
                reference::forward(activation, x)
                    .iter()
                    .zip(&dy)
                    .map(|(y, d)| y * d)
                    .sum()
            });
        }
    }
}
