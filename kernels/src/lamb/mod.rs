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

/// A parameter of a network, which is one tensor, or several beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its numbers.
    pub len: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// Columns of each tensor; the last one has those that are left.
    pub width: usize,
}

impl Parameter {
    /// One tensor.
    pub fn whole(len: usize) -> Self {
        Self {
            len,
            columns: len,
            width: len,
        }
    }
}

/// One step of LAMB of all parameters, whose lengths add up to that of the buffers.
pub fn update(parameters: &[Parameter], step: &Step, buffers: Buffers<'_>) {
    let level = Level::detect();
    let parts = buffers.parts(parameters.iter().map(|of| of.len));
    for (mut part, of) in parts.into_iter().zip(parameters) {
        update_at(level, step, *of, &mut part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adamw::AdamW;
    use crate::testing::{assert_close, numbers, to_f64};

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
                    let whole = Parameter::whole(tensor.weights.len());
                    update_at(level, &how, whole, &mut tensor);
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
    fn tensors_beside_each_other_move_as_if_they_were_alone() {
        // Three of equal width, and two of which the last is narrower.
        tensors_move_alone(9, 3);
        tensors_move_alone(9, 8);
    }

    fn tensors_move_alone(columns: usize, width: usize) {
        let parameter = Parameter {
            len: 7 * columns,
            columns,
            width,
        };
        let step = Step {
            constants: AdamW::default(),
            rate: 1e-2,
            number: 2,
            clip: 0.7,
        };
        let part = |all: &[f32], tensor: usize| -> Vec<f32> {
            let own = tensor * width..columns.min((tensor + 1) * width);
            let rows = all.chunks(columns);
            rows.flat_map(|row| row[own.clone()].to_vec()).collect()
        };
        let start: Vec<Vec<f32>> = (1..4).map(|seed| numbers(seed, parameter.len)).collect();
        let after = |parameter, gradient: &[f32], start: [Vec<f32>; 2]| {
            let [mut weights, mut mean] = start;
            let mut square: Vec<f32> = mean.iter().map(|m| m * m).collect();
            let buffers = Buffers {
                gradient,
                weights: &mut weights,
                mean: &mut mean,
                square: &mut square,
            };
            update(&[parameter], &step, buffers);
            [weights, mean, square]
        };
        let all = after(parameter, &start[0], [start[1].clone(), start[2].clone()]);
        for tensor in 0..columns.div_ceil(width) {
            let [gradient, weights, mean] = [0, 1, 2].map(|of| part(&start[of], tensor));
            let whole = Parameter::whole(weights.len());
            let alone = after(whole, &gradient, [weights, mean]);
            for (found, expected) in all.iter().zip(&alone) {
                assert_close(&part(found, tensor), &to_f64(expected), "a tensor");
            }
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
        update(&LENGTHS.map(Parameter::whole), &step, buffers);
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
