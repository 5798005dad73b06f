//! Naive activations.

use super::Activation;
use crate::real::{Real, normal_distribution};

/// f of each number.
pub fn forward<R: Real>(activation: Activation, x: &[R]) -> Vec<R> {
    let one = |x: &R| match activation {
        Activation::Relu if *x > R::zero() => *x,
        Activation::Relu => R::zero(),
        Activation::Gelu => *x * R::from_f64(normal_distribution(x.to_f64())),
    };
    x.iter().map(one).collect()
}

/// dx = f'(x) dy.
pub fn backward<R: Real>(activation: Activation, x: &[R], dy: &[R]) -> Vec<R> {
    let slope = |x: f64| match activation {
        Activation::Relu => f64::from(x > 0.0),
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            normal_distribution(x) + x * density
        }
    };
    x.iter()
        .zip(dy)
        .map(|(x, d)| R::from_f64(slope(x.to_f64())) * *d)
        .collect()
}
