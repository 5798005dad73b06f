//! Elementary functions in f32 without the standard library.
//!
//! They are written without branches, so that a loop over them is vectorised. The tests measure
//! their largest errors, in units in the last place of the exact result (ulp).

use core::f32::consts::LOG2_E;

/// e^x, within 1.5 ulp for every x; subnormal and infinite results included.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series, whose first omitted term is below
/// 6e-9 of the result; 2^n as a product of two powers, because n may lie beyond the exponents of
/// normal numbers. Adding 1.5 2^23 rounds x / ln 2 to an integer.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few bits so that n times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let x = x.clamp(-104.0, 89.0);
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let tail = series.iter().fold(1.0 / 5040.0, |sum, term| sum * r + term);
    let value = 1.0 + (r + r * r * tail);
    let n = rounded.to_bits() as i32 - ROUND.to_bits() as i32;
    let half = n >> 1;
    value * power_of_two(half) * power_of_two(n - half)
}

/// 2^n for -126 <= n <= 127.
#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// The hyperbolic tangent, within 2 ulp.
///
/// With t = |x|: 1 - 2 / (e^(2t) + 1) from t = 0.65 on, and before it t + t^3 P(t^2), whose
/// polynomial is a minimax fit of relative error 7e-9, because the first form would cancel.
#[inline]
pub(crate) fn tanh(x: f32) -> f32 {
    const FIT: [f32; 5] = [
        -5.515_163_3e-3,
        2.046_942e-2,
        -5.368_802_3e-2,
        1.333_083e-1,
        -3.333_326e-1,
    ];
    let t = x.abs();
    let square = x * x;
    let near = x + x * (square * polynomial(&FIT, square));
    let far = 1.0 - 2.0 / (exp(t + t) + 1.0);
    // NaN is not below 0.65, and leaves the second form as NaN.
    if t < 0.65 { near } else { far.copysign(x) }
}

/// Phi(x), the standard normal distribution: (1 + erf(x / sqrt 2)) / 2, within 1.5 ulp up to
/// |x| = 1/2 and within 7 beyond, of every result that is a normal number.
///
/// Near zero it is 1/2 + x P(x^2). Beyond, with t = |x|, Phi(-t) = e^(-t^2 / 2) y R(y) with
/// y = 1 / (1 + t / 4), so that the far negative tail keeps its relative precision; t^2 / 2 is
/// taken in two parts for the same reason. Both polynomials interpolate at Chebyshev's points and
/// were computed for this file with 40 digits; their relative errors are below 2e-9.
#[inline]
pub(crate) fn normal_distribution(x: f32) -> f32 {
    const NEAR: [f32; 5] = [
        1.094_190_5e-4,
        -1.185_959_7e-3,
        9.973_429e-3,
        -6.649_037_5e-2,
        3.989_423e-1,
    ];
    /// In y - 1/2.
    const FAR: [f32; 10] = [
        2.286_443_7e-2,
        8.641_538e-3,
        -5.126_304e-2,
        -5.569_608_5e-2,
        6.026_675_6e-2,
        2.415_871e-1,
        3.730_450_3e-1,
        3.871_373_8e-1,
        3.039_483e-1,
        1.888_212_9e-1,
    ];
    let near = 0.5 + x * polynomial(&NEAR, x * x);
    let t = x.abs().min(15.0);
    // Twelve bits of t: their square is exact.
    let high = f32::from_bits(t.to_bits() & 0xffff_f000);
    let bell = exp(-0.5 * high * high) * exp(-0.5 * (t - high) * (t + high));
    let y = 1.0 / (1.0 + 0.25 * t);
    let tail = bell * (y * polynomial(&FAR, y - 0.5));
    let far = if x > 0.0 { 1.0 - tail } else { tail };
    // NaN is not beyond 1/2, and leaves the first form as NaN.
    if x.abs() > 0.5 { far } else { near }
}

/// x Phi(x): the GELU, exactly.
#[inline]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_distribution(x)
}

/// The square root, rounded as IEEE 754 has it but for ties of f64; of negative numbers NaN.
///
/// Newton's steps towards x^(-1/2), from a start that halves the exponent, then one of Heron's in
/// f64.
pub(crate) fn sqrt(x: f32) -> f32 {
    if x < f32::MIN_POSITIVE {
        // 2^24 = 4096^2.
        return match x {
            0.0 => x,
            x if x > 0.0 => sqrt(x * 16_777_216.0) / 4096.0,
            _ => f32::NAN,
        };
    }
    if !x.is_finite() {
        return x;
    }
    let start = f32::from_bits(0x5f37_5a86 - (x.to_bits() >> 1));
    let inverse = (0..3).fold(start, |y, _| y * (1.5 - (0.5 * x * y) * y));
    let (exact, root) = (f64::from(x), f64::from(x) * f64::from(inverse));
    (0.5 * (root + exact / root)) as f32
}

/// Coefficients from the highest power on.
#[inline]
fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    coefficients
        .iter()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exactly these results")]
mod tests {
    use super::*;

    /// Phi(x) in f64, to about 1e-14 of its value: near zero by its series, in the tails by the
    /// continued fraction Phi(-t) = phi(t) / (t + 1/(t + 2/(t + ...))).
    fn exact_distribution(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let t = x.abs();
        if t < 3.0 {
            let terms = (1..80).scan(x, |term, n| {
                *term *= x * x / f64::from(2 * n + 1);
                Some(*term)
            });
            return 0.5 + density * (x + terms.sum::<f64>());
        }
        let fraction = (1..=200).rev().fold(t, |below, n| t + f64::from(n) / below);
        if x > 0.0 {
            1.0 - density / fraction
        } else {
            density / fraction
        }
    }

    /// The distance to the next larger number of the exact result's size.
    fn ulp(exact: f64) -> f64 {
        let near = (exact.abs() as f32).max(f32::MIN_POSITIVE);
        f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near)
    }

    /// The largest error over many numbers of a range, in ulp.
    fn largest(range: [f32; 2], of: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let count = 400_000;
        let points =
            (0..=count).map(|at| range[0] + (range[1] - range[0]) * (at as f32 / count as f32));
        let errors = points.map(|x| {
            let exact = exact(f64::from(x));
            (f64::from(of(x)) - exact).abs() / ulp(exact)
        });
        errors.fold(0.0, f64::max)
    }

    fn assert_within(limit: f64, range: [f32; 2], of: fn(f32) -> f32, exact: fn(f64) -> f64) {
        let error = largest(range, of, exact);
        assert!(error <= limit, "{range:?}: {error} ulp");
    }

    #[test]
    fn the_exponential_is_exact_to_a_unit_and_a_half() {
        for range in [[-1.0, 1.0], [-87.0, 88.7], [-1e-6, 1e-6]] {
            assert_within(1.5, range, exp, f64::exp);
        }
        let edges = [88.8, 1e9, f32::INFINITY].map(exp);
        assert!(edges.iter().all(|value| *value == f32::INFINITY));
        assert_eq!([-104.0, -1e9, f32::NEG_INFINITY].map(exp), [0.0; 3]);
        // Subnormal results have fewer bits.
        let subnormal = f64::from(exp(-95.0)) / (-95.0_f64).exp() - 1.0;
        assert!(subnormal.abs() < 1e-3, "{subnormal}");
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_hyperbolic_tangent_is_exact_to_two_units() {
        for range in [[-1e-3, 1e-3], [-0.7, 0.7], [-3.0, 3.0], [-50.0, 50.0]] {
            assert_within(2.0, range, tanh, f64::tanh);
        }
        assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(tanh), [1.0, -1.0]);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn the_normal_distribution_is_exact_to_seven_units_in_its_far_tail_too() {
        assert_within(1.5, [-0.5, 0.5], normal_distribution, exact_distribution);
        for range in [[-1.0, 1.0], [-3.0, 6.0], [-13.0, -0.5]] {
            assert_within(7.0, range, normal_distribution, exact_distribution);
        }
        assert_eq!(normal_distribution(f32::INFINITY), 1.0);
        assert!(normal_distribution(f32::NEG_INFINITY) < 1e-37);
        assert!(normal_distribution(f32::NAN).is_nan());
    }

    #[test]
    fn the_square_root_is_the_nearest_number() {
        for range in [[0.0, 1.0], [1.0, 1e6], [1e-42, 1e-37], [1e30, 3e38]] {
            assert_within(0.501, range, sqrt, f64::sqrt);
        }
        assert_eq!(
            [0.0, 4.0, f32::INFINITY].map(sqrt),
            [0.0, 2.0, f32::INFINITY]
        );
        assert!(
            [-1.0, f32::NEG_INFINITY, f32::NAN]
                .iter()
                .all(|x| sqrt(*x).is_nan())
        );
    }
}
