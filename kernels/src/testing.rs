//! For tests of kernels and of code that uses them: numbers, and comparisons with a tolerance.

use super::real::Real;

/// `len` numbers in -1..1, the same for the same seed.
pub fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| _ = next());
    (0..len).map(|_| next()).collect()
}

/// The same numbers in f64.
pub fn to_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// The largest difference, relative to the largest number expected.
///
/// # Panics
/// If the lengths differ.
pub fn relative_error<R: Real>(found: &[f32], expected: &[R]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let mut scale = 0.0_f64;
    let mut error = 0.0_f64;
    for (found, expected) in found.iter().zip(expected) {
        let expected = expected.to_f64();
        scale = scale.max(expected.abs());
        let difference = (f64::from(*found) - expected).abs();
        error = if difference.is_nan() {
            f64::INFINITY
        } else {
            error.max(difference)
        };
    }
    if scale == 0.0 { error } else { error / scale }
}

/// Equal to 1e-5 of the largest number expected.
///
/// # Panics
/// If they are not.
pub fn assert_close<R: Real>(found: &[f32], expected: &[R], what: &str) {
    let error = relative_error(found, expected);
    assert!(error < 1e-5, "{what} is off by {error:e}");
}

/// `gradient` is the central difference of `loss` at `x`, at up to forty places.
///
/// # Panics
/// If it is not.
pub fn assert_gradient(x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    let scale = gradient
        .iter()
        .fold(1e-3_f64, |largest, g| largest.max(g.abs()));
    let mut moved = x.to_vec();
    for i in (0..x.len()).step_by(x.len().div_ceil(40)) {
        moved[i] = x[i] + STEP;
        let above = loss(&moved);
        moved[i] = x[i] - STEP;
        let below = loss(&moved);
        moved[i] = x[i];
        let difference = (above - below) / (2.0 * STEP);
        let error = (difference - gradient[i]).abs() / scale;
        assert!(
            error < 1e-6,
            "element {i}: difference {difference}, gradient {}",
            gradient[i]
        );
    }
}
