//! The loss of a few numbers.

use super::Scales;

/// The part of the loss of these predictions y of x; writes the gradient at y.
pub(crate) fn loss(scales: Scales, y: &[f32], x: &[f32], dy: &mut [f32]) -> f64 {
    let Scales {
        expectile,
        scale,
        count,
    } = scales;
    let part = 1.0 / count as f64;
    let mut total = 0.0;
    for ((y, x), dy) in y.iter().zip(x).zip(dy) {
        let error = f64::from(x - y) / scale;
        let weight = f64::from(if error < 0.0 {
            1.0 - expectile
        } else {
            expectile
        });
        total += weight * error * error;
        *dy = (-2.0 * weight * error / scale * part) as f32;
    }
    total * part
}
