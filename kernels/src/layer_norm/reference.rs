//! Naive layer normalisation.

use super::EPSILON;
use crate::real::Real;

/// The gradients of a norm.
pub struct Gradient<R> {
    /// rows x width
    pub x: Vec<R>,
    /// width
    pub gain: Vec<R>,
    /// width
    pub bias: Vec<R>,
}

fn normalised<R: Real>(epsilon: f32, row: &[R]) -> (Vec<R>, R) {
    let n = R::from_f64(row.len() as f64);
    let mut mean = R::zero();
    for x in row {
        mean += *x / n;
    }
    let mut variance = R::zero();
    for x in row {
        variance += (*x - mean) * (*x - mean) / n;
    }
    let scale = R::from_f64(1.0) / (variance + R::from_f64(epsilon.into())).sqrt();
    (row.iter().map(|x| (*x - mean) * scale).collect(), scale)
}

/// x is rows x width; returns the same shape.
pub fn forward<R: Real>(x: &[R], gain: &[R], bias: &[R]) -> Vec<R> {
    forward_at(EPSILON, x, gain, bias)
}

/// The same with a chosen epsilon.
pub fn forward_at<R: Real>(epsilon: f32, x: &[R], gain: &[R], bias: &[R]) -> Vec<R> {
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks(gain.len()) {
        let (x_hat, _) = normalised(epsilon, row);
        for (c, x) in x_hat.into_iter().enumerate() {
            y.push(x * gain[c] + bias[c]);
        }
    }
    y
}

/// The gradients from dy (rows x width).
pub fn backward<R: Real>(x: &[R], gain: &[R], dy: &[R]) -> Gradient<R> {
    backward_at(EPSILON, x, gain, dy)
}

/// The same with a chosen epsilon.
pub fn backward_at<R: Real>(epsilon: f32, x: &[R], gain: &[R], dy: &[R]) -> Gradient<R> {
    let width = gain.len();
    let n = R::from_f64(width as f64);
    let mut gradient = Gradient {
        x: Vec::with_capacity(x.len()),
        gain: vec![R::zero(); width],
        bias: vec![R::zero(); width],
    };
    for (row, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let (x_hat, scale) = normalised(epsilon, row);
        let mut mean = R::zero();
        let mut product = R::zero();
        for c in 0..width {
            mean += dy[c] * gain[c] / n;
            product += dy[c] * gain[c] * x_hat[c] / n;
            gradient.gain[c] += dy[c] * x_hat[c];
            gradient.bias[c] += dy[c];
        }
        for c in 0..width {
            gradient
                .x
                .push(scale * (dy[c] * gain[c] - mean - x_hat[c] * product));
        }
    }
    gradient
}
