//! LAMB: AdamW whose step is scaled to the length of what it moves, tensor by tensor.
//!
//! With gradient g (times `clip`), moments m and v, step n counted from 1, for each tensor w:
//!
//! ```text
//! m <- beta_1 m + (1 - beta_1) g,   v <- beta_2 v + (1 - beta_2) g^2
//! u = m / (1 - beta_1^n) / (sqrt(v) / sqrt(1 - beta_2^n) + epsilon) + decay w
//! rho = |w| / |u|, or 1 if one of them is 0
//! w <- w - rate rho u
//! ```
//!
//! (You et al. 2020, the bias-corrected form of facebookresearch/online-dt.) A tensor that starts
//! at zero moves as in Adam until it has a length. The published code also clips gradients to a
//! norm of 1 in here, which has no effect behind an external clipping to 0.25.
//!
//! A tensor is read twice: u is computed for its norm and again, from the new moments, for the
//! step. Norms are added up in blocks whose order depends on the tensor alone, so the bits are the
//! same for any number of threads.

mod cpu;
pub mod reference;

use super::adamw::{Buffers, Step};
use super::simd::Level;
pub(crate) use cpu::update_at;

/// One step of LAMB of all tensors, whose lengths add up to that of the buffers.
pub fn update(lengths: impl IntoIterator<Item = usize>, step: &Step, buffers: Buffers<'_>) {
    let level = Level::detect();
    for mut tensor in buffers.parts(lengths) {
        update_at(level, step, &mut tensor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::adamw::AdamW;
    use crate::kernels::testing::{assert_close, numbers, to_f64};

    /// Of three tensors: ordinary, all zero at first, without gradient.
    const LENGTHS: [usize; 3] = [70, 9, 22];

    #[test]
    fn ten_fast_updates_are_ten_reference_updates() {
        let constants = AdamW {
            decay: 0.01,
            ..AdamW::default()
        };
        for level in Level::available() {
            let mut weights = numbers(1, 101);
            weights[70..79].fill(0.0);
            let (mut mean, mut square) = (vec![0.0; 101], vec![0.0; 101]);
            let mut exact = reference::LambState::new(&to_f64(&weights));
            for step in 1..=10 {
                let mut gradient = numbers(step + 1, 101);
                gradient[79..].fill(0.0);
                let buffers = Buffers {
                    gradient: &gradient,
                    weights: &mut weights,
                    mean: &mut mean,
                    square: &mut square,
                };
                let how = Step {
                    constants,
                    rate: 1e-2,
                    number: step,
                    clip: 0.7,
                };
                for mut tensor in buffers.parts(LENGTHS) {
                    update_at(level, &how, &mut tensor);
                }
                let scaled: Vec<f64> = gradient.iter().map(|g| 0.7 * f64::from(*g)).collect();
                exact.update(&LENGTHS, &constants, 1e-2, step, &scaled);
            }
            assert_close(&weights, &exact.weights, "weights");
            assert_close(&mean, &exact.mean, "mean");
            assert_close(&square, &exact.square, "square");
        }
    }

    #[test]
    fn a_tensor_without_gradient_and_decay_stays_and_one_of_zeros_moves_as_in_adam() {
        let constants = AdamW {
            decay: 0.0,
            ..AdamW::default()
        };
        let mut weights = numbers(1, 101);
        weights[70..79].fill(0.0);
        let start = weights.clone();
        let mut gradient = numbers(2, 101);
        gradient[79..].fill(0.0);
        let (mut mean, mut square) = (vec![0.0; 101], vec![0.0; 101]);
        let step = Step {
            constants,
            rate: 1e-2,
            number: 1,
            clip: 1.0,
        };
        let buffers = Buffers {
            gradient: &gradient,
            weights: &mut weights,
            mean: &mut mean,
            square: &mut square,
        };
        update(LENGTHS, &step, buffers);
        assert_eq!(weights[79..], start[79..]);
        // The first step of Adam is the rate times the sign of the gradient.
        for (moved, gradient) in weights[70..79].iter().zip(&gradient[70..79]) {
            assert!((moved + 1e-2 * gradient.signum()).abs() < 1e-5);
        }
        // The step of any other tensor is as long as the rate times the tensor.
        let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let step: Vec<f32> = (weights[..70].iter().zip(&start))
            .map(|(a, b)| a - b)
            .collect();
        assert!((norm(&step) / (1e-2 * norm(&start[..70])) - 1.0).abs() < 1e-4);
    }
}
