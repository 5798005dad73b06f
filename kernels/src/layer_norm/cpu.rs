//! Layer normalisation by vectors.

use super::EPSILON;
use crate::simd::{Level, Simd, dispatched};

/// y = norm of each row of x; `statistics` receives mean and 1 / standard deviation of each row.
pub(crate) fn forward(
    level: Level,
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    y: &mut [f32],
    statistics: &mut [[f32; 2]],
) {
    forward_at(level, EPSILON, x, gain, bias, y, statistics);
}

dispatched! {
    /// The same with a chosen epsilon.
    pub(crate) fn forward_at(
        epsilon: f32,
        x: &[f32],
        gain: &[f32],
        bias: &[f32],
        y: &mut [f32],
        statistics: &mut [[f32; 2]],
    ) = forward_with;
}

#[inline(always)]
fn forward_with<S: Simd>(
    s: S,
    epsilon: f32,
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    y: &mut [f32],
    statistics: &mut [[f32; 2]],
) {
    let width = gain.len();
    let part = 1.0 / width as f32;
    for ((x, y), statistics) in x.chunks(width).zip(y.chunks_mut(width)).zip(statistics) {
        let mut sum = s.splat(0.0);
        for x in x.chunks(S::LANES) {
            sum = s.add(sum, s.load(x));
        }
        let mean = s.sum(sum) * part;
        let mut squares = 0.0;
        let mut sum = s.splat(0.0);
        for x in x.chunks(S::LANES) {
            let centred = s.sub(s.load(x), s.splat(mean));
            sum = s.mul_add(centred, centred, sum);
            if x.len() < S::LANES {
                // The missing lanes read as zero: each added mean^2.
                squares = (S::LANES - x.len()) as f32 * mean * mean;
            }
        }
        let variance = ((s.sum(sum) - squares) * part).max(0.0);
        let scale = 1.0 / (variance + epsilon).sqrt();
        *statistics = [mean, scale];
        let parameters = gain.chunks(S::LANES).zip(bias.chunks(S::LANES));
        let rows = x.chunks(S::LANES).zip(y.chunks_mut(S::LANES));
        for ((x, y), (gain, bias)) in rows.zip(parameters) {
            let x_hat = s.mul(s.sub(s.load(x), s.splat(mean)), s.splat(scale));
            s.store(s.mul_add(x_hat, s.load(gain), s.load(bias)), y);
        }
    }
}

dispatched! {
    /// Adds the gradients from dy to dx, dgain and dbias.
    #[expect(clippy::too_many_arguments, reason = "three inputs, their statistics, and a gradient \
        for each")]
    pub(crate) fn backward(
        x: &[f32],
        gain: &[f32],
        statistics: &[[f32; 2]],
        dy: &[f32],
        dx: &mut [f32],
        dgain: &mut [f32],
        dbias: &mut [f32],
    ) = backward_with;
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "three inputs, their statistics, and a gradient for each"
)]
fn backward_with<S: Simd>(
    s: S,
    x: &[f32],
    gain: &[f32],
    statistics: &[[f32; 2]],
    dy: &[f32],
    dx: &mut [f32],
    dgain: &mut [f32],
    dbias: &mut [f32],
) {
    let width = gain.len();
    let part = 1.0 / width as f32;
    let rows = x
        .chunks(width)
        .zip(dy.chunks(width))
        .zip(dx.chunks_mut(width));
    for (((x, dy), dx), [mean, scale]) in rows.zip(statistics) {
        let (mean, scale) = (s.splat(*mean), s.splat(*scale));
        let mut sum = s.splat(0.0);
        let mut product = s.splat(0.0);
        for at in (0..width).step_by(S::LANES) {
            let x_hat = s.mul(s.sub(s.load(&x[at..]), mean), scale);
            let d = s.load(&dy[at..]);
            let to = &mut dgain[at..];
            s.store(s.mul_add(d, x_hat, s.load(to)), to);
            let to = &mut dbias[at..];
            s.store(s.add(d, s.load(to)), to);
            let g = s.mul(d, s.load(&gain[at..]));
            sum = s.add(sum, g);
            product = s.mul_add(g, x_hat, product);
        }
        let sum = s.splat(s.sum(sum) * part);
        let product = s.splat(s.sum(product) * part);
        for at in (0..width).step_by(S::LANES) {
            let x_hat = s.mul(s.sub(s.load(&x[at..]), mean), scale);
            let g = s.mul(s.load(&dy[at..]), s.load(&gain[at..]));
            let centred = s.sub(s.sub(g, sum), s.mul(x_hat, product));
            let to = &mut dx[at..];
            s.store(s.mul_add(centred, scale, s.load(to)), to);
        }
    }
}
