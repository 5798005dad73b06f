//! The conditioned norm by vectors.

use crate::layer_norm;
use crate::simd::{Level, Simd, dispatched};

/// The parameters.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    gain: &'a [f32],
    bias: &'a [f32],
    /// u and v.
    gain_slope: &'a [f32],
    bias_slope: &'a [f32],
}

impl<'a> Weights<'a> {
    /// (gain, bias) and (u, v), 2 n numbers each.
    pub(crate) fn new(affine: &'a [f32], slopes: &'a [f32]) -> Self {
        let (gain, bias) = affine.split_at(affine.len() / 2);
        let (gain_slope, bias_slope) = slopes.split_at(slopes.len() / 2);
        Self {
            gain,
            bias,
            gain_slope,
            bias_slope,
        }
    }
}

/// y = norm of each row of x, given its condition; `statistics` receives mean and 1 / standard
/// deviation of each row. `epsilon` is added to the variance.
pub(crate) fn forward(
    level: Level,
    epsilon: f32,
    x: &[f32],
    conditions: &[f32],
    weights: Weights<'_>,
    y: &mut [f32],
    statistics: &mut [[f32; 2]],
) {
    let (gain, bias) = (weights.gain, weights.bias);
    layer_norm::cpu::forward_at(level, epsilon, x, gain, bias, y, statistics);
    shift(level, x, conditions, weights, statistics, y);
}

dispatched! {
    /// `y += r (x_hat u + v)`
    fn shift(
        x: &[f32],
        conditions: &[f32],
        weights: Weights<'_>,
        statistics: &[[f32; 2]],
        y: &mut [f32],
    ) = shift_with;
}

#[inline(always)]
fn shift_with<S: Simd>(
    s: S,
    x: &[f32],
    conditions: &[f32],
    weights: Weights<'_>,
    statistics: &[[f32; 2]],
    y: &mut [f32],
) {
    let width = weights.gain.len();
    let rows = x.chunks(width).zip(y.chunks_mut(width));
    for (((x, y), r), [mean, scale]) in rows.zip(conditions).zip(statistics) {
        let (r, mean, scale) = (s.splat(*r), s.splat(*mean), s.splat(*scale));
        for at in (0..width).step_by(S::LANES) {
            let x_hat = s.mul(s.sub(s.load(&x[at..]), mean), scale);
            let (u, v) = (&weights.gain_slope[at..], &weights.bias_slope[at..]);
            let slope = s.mul_add(x_hat, s.load(u), s.load(v));
            let to = &mut y[at..];
            s.store(s.mul_add(r, slope, s.load(to)), to);
        }
    }
}

dispatched! {
    /// Adds the gradients from dy to dx, `affine` (of gain and bias) and `slopes` (of u and v).
    #[expect(clippy::too_many_arguments, reason = "two inputs, their statistics, and a gradient \
        for each")]
    pub(crate) fn backward(
        given: (&[f32], &[[f32; 2]]),
        conditions: &[f32],
        weights: Weights<'_>,
        dy: &[f32],
        dx: &mut [f32],
        affine: &mut [f32],
        slopes: &mut [f32],
    ) = backward_with;
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "two inputs, their statistics, and a gradient for each"
)]
fn backward_with<S: Simd>(
    s: S,
    (x, statistics): (&[f32], &[[f32; 2]]),
    conditions: &[f32],
    weights: Weights<'_>,
    dy: &[f32],
    dx: &mut [f32],
    affine: &mut [f32],
    slopes: &mut [f32],
) {
    let width = weights.gain.len();
    let part = 1.0 / width as f32;
    let (dgain, dbias) = affine.split_at_mut(width);
    let (du, dv) = slopes.split_at_mut(width);
    let rows = x
        .chunks(width)
        .zip(dy.chunks(width))
        .zip(dx.chunks_mut(width));
    for ((((x, dy), dx), r), [mean, scale]) in rows.zip(conditions).zip(statistics) {
        let (r, mean, scale) = (s.splat(*r), s.splat(*mean), s.splat(*scale));
        // The gradient through the norm: dy times the row's gain, its sum, and its product with
        // x_hat.
        let through = |at: usize| {
            let gain = s.mul_add(
                r,
                s.load(&weights.gain_slope[at..]),
                s.load(&weights.gain[at..]),
            );
            let x_hat = s.mul(s.sub(s.load(&x[at..]), mean), scale);
            (x_hat, s.mul(s.load(&dy[at..]), gain))
        };
        let (mut sum, mut product) = (s.splat(0.0), s.splat(0.0));
        for at in (0..width).step_by(S::LANES) {
            let (x_hat, g) = through(at);
            let d = s.load(&dy[at..]);
            let of_gain = s.mul(d, x_hat);
            for (by, to) in [(of_gain, &mut *dgain), (d, &mut *dbias)] {
                let to = &mut to[at..];
                s.store(s.add(s.load(to), by), to);
            }
            for (by, to) in [(of_gain, &mut *du), (d, &mut *dv)] {
                let to = &mut to[at..];
                s.store(s.mul_add(r, by, s.load(to)), to);
            }
            sum = s.add(sum, g);
            product = s.mul_add(g, x_hat, product);
        }
        let sum = s.splat(s.sum(sum) * part);
        let product = s.splat(s.sum(product) * part);
        for at in (0..width).step_by(S::LANES) {
            let (x_hat, g) = through(at);
            let centred = s.sub(s.sub(g, sum), s.mul(x_hat, product));
            let to = &mut dx[at..];
            s.store(s.mul_add(centred, scale, s.load(to)), to);
        }
    }
}
