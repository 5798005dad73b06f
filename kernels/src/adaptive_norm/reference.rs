//! A naive conditioned norm: a plain norm for each row.

use crate::layer_norm::reference as plain;
use crate::real::Real;

/// The parameters.
#[derive(Clone, Copy)]
pub struct Weights<'a, R> {
    affine: &'a [R],
    slopes: &'a [R],
}

impl<'a, R: Real> Weights<'a, R> {
    /// (gain, bias) and (u, v), 2 n numbers each.
    pub fn new(affine: &'a [R], slopes: &'a [R]) -> Self {
        Self { affine, slopes }
    }

    /// Gain and bias of a row with condition r.
    fn at(&self, r: R) -> (Vec<R>, Vec<R>) {
        let pairs = self.affine.iter().zip(self.slopes);
        let mut gain: Vec<R> = pairs.map(|(start, slope)| *start + r * *slope).collect();
        let bias = gain.split_off(gain.len() / 2);
        (gain, bias)
    }
}

/// The gradients of a norm.
pub struct Gradient<R> {
    /// rows x n
    pub x: Vec<R>,
    /// of gain and bias, 2 n
    pub affine: Vec<R>,
    /// of u and v, 2 n
    pub slopes: Vec<R>,
}

/// x is rows x n, a condition for each row; returns the same shape. `epsilon` is added to the
/// variance.
pub fn forward<R: Real>(
    epsilon: f32,
    x: &[R],
    conditions: &[R],
    weights: Weights<'_, R>,
) -> Vec<R> {
    let rows = x.chunks(x.len() / conditions.len());
    let rows = rows.zip(conditions).map(|(x, r)| {
        let (gain, bias) = weights.at(*r);
        plain::forward_at(epsilon, x, &gain, &bias)
    });
    rows.flatten().collect()
}

/// The gradients from dy (rows x n).
pub fn backward<R: Real>(
    epsilon: f32,
    x: &[R],
    conditions: &[R],
    weights: Weights<'_, R>,
    dy: &[R],
) -> Gradient<R> {
    let width = x.len() / conditions.len();
    let mut gradient = Gradient {
        x: Vec::with_capacity(x.len()),
        affine: vec![R::zero(); 2 * width],
        slopes: vec![R::zero(); 2 * width],
    };
    for ((x, dy), r) in x.chunks(width).zip(dy.chunks(width)).zip(conditions) {
        let (gain, _) = weights.at(*r);
        let row = plain::backward_at(epsilon, x, &gain, dy);
        gradient.x.extend(row.x);
        for (at, d) in row.gain.iter().chain(&row.bias).enumerate() {
            gradient.affine[at] += *d;
            gradient.slopes[at] += *r * *d;
        }
    }
    gradient
}
