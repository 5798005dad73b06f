//! The activations as the last step of a product.

use super::Activation;
use crate::epilogue::Finish;
use crate::simd::{Simd, functions::normal};

/// output = f(product + bias). GELU also stores its slope for the backward pass, which shares the
/// costly part with the value, unless `slope` is empty; `ReLU` does not touch `slope`.
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    pub(crate) bias: &'a [f32],
    pub(crate) slope: &'a mut [f32],
    pub(crate) output: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for Activate<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let x = s.add(value, s.load(&self.bias[column..column + lanes]));
        let y = match self.activation {
            Activation::Relu => s.max(s.splat(0.0), x),
            Activation::Gelu => {
                let (distribution, density) = normal(s, x);
                if !self.slope.is_empty() {
                    let slope = s.mul_add(x, density, distribution);
                    s.store(slope, &mut self.slope[at..at + lanes]);
                }
                s.mul(x, distribution)
            }
        };
        s.store(y, &mut self.output[at..at + lanes]);
    }
}

/// to = product f': the gradient at the activation's input from that at its output.
pub(crate) struct ActivateBackward<'a> {
    pub(crate) activation: Activation,
    pub(crate) slope: &'a [f32],
    pub(crate) output: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for ActivateBackward<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let dx = match self.activation {
            Activation::Relu => {
                let y = s.load(&self.output[at..at + lanes]);
                s.if_positive(y, value, s.splat(0.0))
            }
            Activation::Gelu => s.mul(value, s.load(&self.slope[at..at + lanes])),
        };
        s.store(dx, &mut self.to[at..at + lanes]);
    }
}
