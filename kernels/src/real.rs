//! The number type of the naive references: f64 for exactness, f32 to measure the effect of
//! rounding alone.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// f32 or f64.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// The exact value.
    fn to_f64(self) -> f64;

    /// The number zero.
    fn zero() -> Self {
        Self::from_f64(0.0)
    }

    /// e^x.
    #[must_use]
    fn exp(self) -> Self {
        Self::from_f64(self.to_f64().exp())
    }

    /// The natural logarithm.
    #[must_use]
    fn ln(self) -> Self {
        Self::from_f64(self.to_f64().ln())
    }

    /// The hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self {
        Self::from_f64(self.to_f64().tanh())
    }

    /// The square root.
    #[must_use]
    fn sqrt(self) -> Self {
        Self::from_f64(self.to_f64().sqrt())
    }
}

impl Real for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// Phi(x), the standard normal distribution: (1 + erf(x / sqrt 2)) / 2, to about 1e-14 of its
/// value.
///
/// Near zero by the series Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...); in the tails by the
/// continued fraction Phi(-t) = phi(t) / (t + 1/(t + 2/(t + 3/(t + ...)))).
pub fn normal_distribution(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let t = x.abs();
    if t < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..80 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..=200).rev().fold(t, |below, n| t + f64::from(n) / below);
    let tail = density / fraction;
    if x > 0.0 { 1.0 - tail } else { tail }
}
