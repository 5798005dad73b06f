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

use super::adamw::AdamW;
use super::simd::Level;
pub(crate) use cpu::update_at;

/// A tensor's gradient, weights and moments.
pub(crate) type Tensor<'a> = (&'a [f32], &'a mut [f32], &'a mut [f32], &'a mut [f32]);

/// Divides flat buffers into tensors of these lengths.
pub(crate) fn tensors<'a>(
    lengths: impl Iterator<Item = usize>,
    gradient: &'a [f32],
    [mut weights, mut mean, mut square]: [&'a mut [f32]; 3],
) -> Vec<Tensor<'a>> {
    let mut rest = gradient;
    let mut divided = Vec::new();
    for length in lengths {
        let (g, other_gradients) = rest.split_at(length);
        let (w, other_weights) = std::mem::take(&mut weights).split_at_mut(length);
        let (m, other_means) = std::mem::take(&mut mean).split_at_mut(length);
        let (v, other_squares) = std::mem::take(&mut square).split_at_mut(length);
        divided.push((g, w, m, v));
        rest = other_gradients;
        (weights, mean, square) = (other_weights, other_means, other_squares);
    }
    divided
}

/// One update of all tensors, whose lengths add up to that of the buffers; the other arguments are
/// those of [`adamw::update`](super::adamw::update).
#[expect(
    clippy::too_many_arguments,
    reason = "three buffers of state, a gradient, and four numbers"
)]
pub fn update(
    lengths: impl Iterator<Item = usize>,
    constants: &AdamW,
    rate: f64,
    step: u64,
    clip: f64,
    gradient: &[f32],
    weights: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let level = Level::detect();
    for tensor in tensors(lengths, gradient, [weights, mean, square]) {
        update_at(level, constants, (rate, step, clip), tensor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                let buffers = [&mut weights[..], &mut mean, &mut square];
                for tensor in tensors(LENGTHS.into_iter(), &gradient, buffers) {
                    update_at(level, &constants, (1e-2, step, 0.7), tensor);
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
        update(
            LENGTHS.into_iter(),
            &constants,
            1e-2,
            1,
            1.0,
            &gradient,
            &mut weights,
            &mut mean,
            &mut square,
        );
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
