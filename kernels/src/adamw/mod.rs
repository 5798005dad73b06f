//! AdamW over flat buffers, and the clipping before it.
//!
//! With gradient g (times `clip`), moments m and v, step n counted from 1, exactly as PyTorch's
//! `AdamW`:
//!
//! ```text
//! w <- w (1 - rate decay)
//! m <- beta_1 m + (1 - beta_1) g,   v <- beta_2 v + (1 - beta_2) g^2
//! w <- w - rate / (1 - beta_1^n)  m / (sqrt(v) / sqrt(1 - beta_2^n) + epsilon)
//! ```
//!
//! The decay is decoupled: it does not pass through the moments. Clipping scales the gradient to a
//! global L2 norm of at most a given one ([`clip`]); the norm is added up in f64, block by block,
//! and the scaling happens inside the update, so that the gradient is read twice and never written.

mod cpu;
pub(crate) mod cuda;
pub mod reference;

pub(crate) use cpu::update_at;
pub use cpu::{norm, update};

/// One step of an optimiser: its constants, and what differs from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// the same in every step
    pub constants: AdamW,
    /// the learning rate
    pub rate: f64,
    /// steps including this one
    pub number: u64,
    /// the gradient is multiplied by it
    pub clip: f64,
}

/// What a step reads and moves: buffers of one length, which may be a part of the model. Steps of
/// different parts are independent.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// read
    pub gradient: &'a [f32],
    /// moved
    pub weights: &'a mut [f32],
    /// m, updated
    pub mean: &'a mut [f32],
    /// v, updated
    pub square: &'a mut [f32],
}

impl Buffers<'_> {
    /// Parts of these lengths, until the numbers or the lengths end.
    pub(crate) fn parts(self, lengths: impl IntoIterator<Item = usize>) -> Vec<Self> {
        let mut rest = self;
        let mut parts = Vec::new();
        for length in lengths {
            let length = length.min(rest.gradient.len());
            let (gradient, gradients) = rest.gradient.split_at(length);
            let (weights, more_weights) = rest.weights.split_at_mut(length);
            let (mean, means) = rest.mean.split_at_mut(length);
            let (square, squares) = rest.square.split_at_mut(length);
            parts.push(Self {
                gradient,
                weights,
                mean,
                square,
            });
            rest = Self {
                gradient: gradients,
                weights: more_weights,
                mean: means,
                square: squares,
            };
            if rest.gradient.is_empty() {
                break;
            }
        }
        parts
    }
}

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// `beta_1`, the decay of the mean: 0.9
    pub beta_1: f64,
    /// `beta_2`, the decay of the mean square: 0.999
    pub beta_2: f64,
    /// added to the divisor: 1e-8
    pub epsilon: f64,
    /// decoupled weight decay: 1e-4 in both recipes
    pub decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            decay: 1e-4,
        }
    }
}

/// The factor that scales a gradient of norm `norm` to at most `largest`, as PyTorch's
/// `clip_grad_norm_` does.
pub fn clip(norm: f64, largest: f64) -> f64 {
    (largest / (norm + 1e-6)).min(1.0)
}

/// The numbers of one update, in f32: the same for every element.
#[derive(Clone, Copy)]
pub(crate) struct Coefficients {
    pub(crate) keep: f32,
    pub(crate) beta_1: f32,
    pub(crate) other_1: f32,
    pub(crate) beta_2: f32,
    pub(crate) other_2: f32,
    pub(crate) epsilon: f32,
    pub(crate) rate: f32,
    pub(crate) root: f32,
    pub(crate) clip: f32,
}

impl Step {
    fn coefficients(&self) -> Coefficients {
        self.constants
            .coefficients(self.rate, self.number, self.clip)
    }
}

impl AdamW {
    pub(crate) fn coefficients(&self, rate: f64, step: u64, clip: f64) -> Coefficients {
        let power = step as f64;
        Coefficients {
            keep: (1.0 - rate * self.decay) as f32,
            beta_1: self.beta_1 as f32,
            other_1: (1.0 - self.beta_1) as f32,
            beta_2: self.beta_2 as f32,
            other_2: (1.0 - self.beta_2) as f32,
            epsilon: self.epsilon as f32,
            rate: (rate / (1.0 - self.beta_1.powf(power))) as f32,
            root: (1.0 / (1.0 - self.beta_2.powf(power)).sqrt()) as f32,
            clip: clip as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use crate::testing::{assert_close, numbers, to_f64};

    #[test]
    fn ten_fast_updates_are_ten_reference_updates() {
        let adamw = AdamW {
            decay: 0.01,
            ..AdamW::default()
        };
        for level in Level::available() {
            let mut weights = numbers(1, 101);
            let (mut mean, mut square) = (vec![0.0; 101], vec![0.0; 101]);
            let mut exact = reference::State {
                weights: to_f64(&weights),
                ..Default::default()
            };
            for step in 1..=10 {
                let gradient = numbers(step + 1, 101);
                let how = Step {
                    constants: adamw,
                    rate: 1e-2,
                    number: step,
                    clip: 0.7,
                };
                let mut buffers = Buffers {
                    gradient: &gradient,
                    weights: &mut weights,
                    mean: &mut mean,
                    square: &mut square,
                };
                cpu::update_at(level, &how, &mut buffers);
                let scaled: Vec<f64> = gradient.iter().map(|g| 0.7 * f64::from(*g)).collect();
                exact.update(&adamw, 1e-2, step, &scaled);
            }
            assert_close(&weights, &exact.weights, "weights");
            assert_close(&mean, &exact.mean, "mean");
            assert_close(&square, &exact.square, "square");
        }
    }

    #[test]
    fn the_norm_is_the_root_of_the_sum_of_squares() {
        for len in [0, 1, 31, 5000] {
            let x = numbers(3, len);
            let exact = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            assert!((norm(&x) - exact).abs() <= 1e-6 * exact);
        }
        assert!(norm(&[1.0, f32::NAN]).is_nan());
    }

    #[test]
    fn clipping_leaves_a_small_gradient_alone() {
        assert!((clip(0.1, 0.25) - 1.0).abs() < f64::EPSILON);
        assert!((clip(1.0, 0.25) - 0.25).abs() < 1e-6);
    }
}
