//! Bounded actions: a = scale tanh z, and dz = da (scale - a^2 / scale).

use crate::simd::{Level, Simd, dispatched, functions};

/// a from z, both of any one shape.
///
/// # Panics
/// If they differ in length.
pub fn forward(scale: f32, z: &[f32], actions: &mut [f32]) {
    assert_eq!(z.len(), actions.len(), "an action for each output");
    run(Level::detect(), scale, z, actions);
}

dispatched! { fn run(scale: f32, z: &[f32], actions: &mut [f32]) = run_with; }

#[inline(always)]
fn run_with<S: Simd>(s: S, scale: f32, z: &[f32], actions: &mut [f32]) {
    for (z, a) in z.chunks(S::LANES).zip(actions.chunks_mut(S::LANES)) {
        s.store(s.mul(s.splat(scale), functions::tanh(s, s.load(z))), a);
    }
}

/// The gradient at z from the actions and the gradient at them.
///
/// # Panics
/// If they differ in length.
pub fn backward(scale: f32, actions: &[f32], action_gradients: &[f32], gradients: &mut [f32]) {
    assert_eq!(
        actions.len(),
        action_gradients.len(),
        "a gradient for each action"
    );
    assert_eq!(actions.len(), gradients.len(), "a gradient for each output");
    let pairs = actions.iter().zip(action_gradients);
    for (to, (a, da)) in gradients.iter_mut().zip(pairs) {
        *to = da * (scale - a * a / scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    #[test]
    fn bounded_actions_are_the_tangent_and_their_gradient_its_slope() {
        let z: Vec<f32> = numbers(1, 101).iter().map(|z| 3.0 * z).collect();
        let da = numbers(2, 101);
        let scale = 2.5;
        let exact = |z: &[f64]| -> Vec<f64> { z.iter().map(|z| 2.5 * z.tanh()).collect() };
        for level in Level::available() {
            let mut a = vec![0.0; z.len()];
            run(level, scale, &z, &mut a);
            assert_close(&a, &exact(&to_f64(&z)), "actions");
        }
        let mut a = vec![0.0; z.len()];
        forward(scale, &z, &mut a);
        let mut dz = vec![0.0; z.len()];
        backward(scale, &a, &da, &mut dz);
        let slopes = to_f64(&z).into_iter().zip(&da);
        let expected: Vec<f64> = slopes
            .map(|(z, d)| f64::from(*d) * 2.5 * (1.0 - z.tanh().powi(2)))
            .collect();
        assert_close(&dz, &expected, "dz");
        assert_gradient(&to_f64(&z), &expected, |z| {
            exact(z)
                .iter()
                .zip(&da)
                .map(|(a, d)| a * f64::from(*d))
                .sum()
        });
    }
}
