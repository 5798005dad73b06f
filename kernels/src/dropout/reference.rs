//! Naive dropout: a mask (0 or 1 / (1 - p)) times the numbers, in both directions.

use crate::real::Real;

/// y = m x.
pub fn forward<R: Real>(mask: &[R], x: &[R]) -> Vec<R> {
    mask.iter().zip(x).map(|(m, x)| *m * *x).collect()
}

/// dx = m dy.
pub fn backward<R: Real>(mask: &[R], dy: &[R]) -> Vec<R> {
    forward(mask, dy)
}
