//! What every part of the model reads: parameters, sizes, instruction set and precision.

pub(crate) mod branch;
pub(crate) mod cuda;
pub(crate) mod packing;
pub(crate) mod reference;
pub(crate) mod workspace;

use super::shape::Shape;
use crate::adaptive_norm::cpu::{self as adaptive_norm, Weights as Adaptive};
use crate::buffer::Buffer;
use crate::epilogue::{Accumulate, Store, StoreWithBias};
use crate::layer_norm;
use crate::linear::cpu::{Left, Panels, Right, Tiles, product};
use crate::parameters::Pair;
use crate::precision::Precision;
use crate::simd::Level;
use std::ops::Range;

/// Parameters, sizes, instruction set, and precision of the products.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a> {
    pub(crate) level: Level,
    pub(crate) precision: Precision,
    pub(crate) shape: &'a Shape,
    /// All parameters of the model.
    pub(crate) parameters: &'a [f32],
}

/// Scratch for the factors of a weight's gradient.
#[derive(Debug, Default)]
pub(crate) struct Factors {
    pub(crate) panels: Panels,
    pub(crate) tiles: Tiles,
}

impl<'a> Network<'a> {
    /// Some of the parameters.
    pub(crate) fn of(self, range: &Range<usize>) -> &'a [f32] {
        &self.parameters[range.clone()]
    }

    /// y = norm of x, rows x C: any norm but the embedding's.
    pub(crate) fn norm(self, at: &Pair, x: &[f32], y: &mut Buffer, statistics: &mut Vec<[f32; 2]>) {
        y.resize(x.len());
        statistics.resize(x.len() / self.shape.width, [0.0; 2]);
        self.norm_into(at, x, y, statistics);
    }

    /// The same into rows that have the right length.
    pub(crate) fn norm_into(
        self,
        at: &Pair,
        x: &[f32],
        y: &mut [f32],
        statistics: &mut [[f32; 2]],
    ) {
        let (gain, bias) = (self.of(&at.weight), self.of(&at.bias));
        let epsilon = self.shape.norm_epsilon;
        layer_norm::cpu::forward_at(self.level, epsilon, x, gain, bias, y, statistics);
    }

    /// Adds the gradients of a norm: of x to dx, and those of its gain and bias.
    pub(crate) fn norm_backward(
        self,
        at: &Pair,
        (x, statistics): (&[f32], &[[f32; 2]]),
        dy: &[f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) {
        // The bias is stored directly after the gain.
        let (dgain, dbias) = gradient[at.weight.start..at.bias.end].split_at_mut(at.weight.len());
        let gain = self.of(&at.weight);
        layer_norm::cpu::backward(self.level, x, gain, statistics, dy, dx, dgain, dbias);
    }

    /// y = adaptive norm of x, whose gain and bias depend on each row's return-to-go.
    pub(crate) fn adaptive_norm(
        self,
        at: (&Pair, &Range<usize>),
        returns: &[f32],
        x: &[f32],
        y: &mut Buffer,
        statistics: &mut Vec<[f32; 2]>,
    ) {
        y.resize(x.len());
        statistics.resize(returns.len(), [0.0; 2]);
        let (epsilon, weights) = (self.shape.norm_epsilon, self.adaptive(at));
        adaptive_norm::forward(self.level, epsilon, x, returns, weights, y, statistics);
    }

    /// Adds the gradients of an adaptive norm: of x to dx, and those of its parameters.
    pub(crate) fn adaptive_norm_backward(
        self,
        at: (&Pair, &Range<usize>),
        returns: &[f32],
        given: (&[f32], &[[f32; 2]]),
        dy: &[f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (norm, slopes) = at;
        // The slopes are stored directly after gain and bias.
        let (affine, slopes) =
            gradient[norm.weight.start..slopes.end].split_at_mut(slopes.start - norm.weight.start);
        let weights = self.adaptive(at);
        adaptive_norm::backward(self.level, given, returns, weights, dy, dx, affine, slopes);
    }

    fn adaptive(self, (norm, slopes): (&Pair, &Range<usize>)) -> Adaptive<'a> {
        let affine = &self.parameters[norm.weight.start..norm.bias.end];
        Adaptive::new(affine, self.of(slopes))
    }

    /// y = x W + b, for as many rows as y has; x is rows x `inputs`.
    pub(crate) fn linear(
        self,
        (x, inputs): (&[f32], usize),
        weight: Right<'_>,
        bias: &[f32],
        y: &mut [f32],
    ) {
        let outputs = bias.len();
        let left = Left::rows(x, y.len() / outputs, inputs);
        let finish = StoreWithBias {
            bias,
            to: y,
            stride: outputs,
        };
        product(self.level, left, weight, finish);
    }

    /// dx = dy W^T, rows x `inputs`; dy is rows x `outputs`.
    pub(crate) fn linear_backward(
        self,
        (dy, outputs): (&[f32], usize),
        weight_transposed: Right<'_>,
        (dx, inputs): (&mut Buffer, usize),
    ) {
        let rows = dy.len() / outputs;
        dx.resize(rows * inputs);
        let finish = Store {
            to: dx,
            stride: inputs,
        };
        product(
            self.level,
            Left::rows(dy, rows, outputs),
            weight_transposed,
            finish,
        );
    }

    /// dW += x^T dy, with factors of this precision; db += the column sums of dy.
    pub(crate) fn weight_gradient(
        self,
        precision: Precision,
        at: &Pair,
        (x, dy): (&[f32], &[f32]),
        factors: &mut Factors,
        gradient: &mut [f32],
    ) {
        let outputs = at.bias.len();
        let rows = dy.len() / outputs;
        let Factors { panels, tiles } = factors;
        let sums = &mut gradient[at.bias.clone()];
        panels.hold(precision);
        panels.pack(self.level, dy, outputs, rows, outputs, Some(sums));
        let finish = Accumulate {
            to: &mut gradient[at.weight.clone()],
            stride: outputs,
        };
        let inputs = at.weight.len() / outputs;
        let left = tiles.columns(self.level, panels, x, rows, inputs);
        product(self.level, left, panels.all(), finish);
    }
}
