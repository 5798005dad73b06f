//! A naive loss.

use super::Scales;
use crate::real::Real;

/// The loss of predictions y of x, and the gradient at y.
pub fn loss<R: Real>(scales: Scales, y: &[R], x: &[R]) -> (f64, Vec<R>) {
    let t = f64::from(scales.expectile);
    let (n, count) = (scales.scale, scales.count as f64);
    let mut loss = 0.0;
    let mut dy = Vec::with_capacity(y.len());
    for (y, x) in y.iter().zip(x) {
        let error = (x.to_f64() - y.to_f64()) / n;
        let weight = (t - f64::from(u8::from(error < 0.0))).abs();
        loss += weight * error.powi(2) / count;
        dy.push(R::from_f64(-2.0 * weight * error / (n * count)));
    }
    (loss, dy)
}
