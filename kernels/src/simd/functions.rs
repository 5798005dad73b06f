//! exp, tanh and the normal distribution, by vectors, to a few units in the last place.

use super::Simd;

/// e^x, for x clamped to -87..=88 (the normal numbers); NaN stays NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series, whose first omitted term is below
/// 6e-9; 2^n by adding n to the exponent bits. Adding 1.5 2^23 rounds x / ln 2 to an integer and
/// leaves it in the low bits.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let (series, r, power) = exp_parts(s, x);
    s.mul(s.mul_add(series, r, s.splat(1.0)), power)
}

/// e^x - 1, to a few units in the last place near zero too; x clamped to -87..=88.
#[inline(always)]
pub(crate) fn exp_minus_1<S: Simd>(s: S, x: S::F) -> S::F {
    let (series, r, power) = exp_parts(s, x);
    s.mul_add(s.mul(series, r), power, s.sub(power, s.splat(1.0)))
}

/// (e^r - 1) / r, r and 2^n.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few bits so that n times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const TAYLOR: [f32; 6] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];

    let x = s.min(s.splat(88.0), s.max(s.splat(-87.0), x));
    let rounded = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(rounded, s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-LN_2_HIGH), x);
    let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
    let mut series = s.splat(1.0 / 5040.0);
    for term in TAYLOR {
        series = s.mul_add(series, r, s.splat(term));
    }
    let power = s.shift_left::<23>(s.bits(rounded));
    let power = s.add_bits(power, s.splat_bits(0x3f80_0000));
    (series, r, s.to_float(power))
}

/// 2^x of W vectors, for x of at most 127; below -126 at most 2^-126; NaN stays NaN. For many
/// powers of products whose one factor may hold log2 e.
#[inline(always)]
pub(crate) fn powers_of_2<S: Simd, const W: usize>(s: S, x: [S::F; W]) -> [S::F; W] {
    s.powers_of_2(x)
}

/// [`powers_of_2`] as [`exp`], without the reduction by ln 2; the polynomial is a minimax fit made
/// for this file, of relative error 2e-9 on -1/2..1/2. The vectors go through the series side by
/// side: none waits for its own last step.
#[inline(always)]
pub(super) fn powers_by_series<S: Simd, const W: usize>(s: S, mut x: [S::F; W]) -> [S::F; W] {
    const FIT: [f32; 7] = [
        1.534_581_2e-4,
        1.339_993_1e-3,
        9.618_489e-3,
        5.550_328_6e-2,
        2.402_264_6e-1,
        6.931_472e-1,
        1.0,
    ];

    let mut r = x;
    for (x, r) in x.iter_mut().zip(&mut r) {
        *x = s.max(s.splat(-126.0), *x);
        *r = s.fraction(*x);
    }
    let mut series = [s.splat(FIT[0]); W];
    for coefficient in &FIT[1..] {
        for (series, r) in series.iter_mut().zip(&r) {
            *series = s.mul_add(*series, *r, s.splat(*coefficient));
        }
    }
    for ((series, x), r) in series.iter_mut().zip(&x).zip(&r) {
        *series = s.times_power_of_2(*series, s.sub(*x, *r));
    }
    series
}

/// [`powers_of_2`] of one vector.
#[inline(always)]
pub(crate) fn power_of_2<S: Simd>(s: S, x: S::F) -> S::F {
    let [power] = powers_of_2(s, [x]);
    power
}

/// (Phi(x), phi(x)): the standard normal distribution, Phi(x) = (1 + erf(x / sqrt 2)) / 2, and its
/// density.
///
/// Phi(-t) = e^(-t^2 / 2) R(y) with y = 1 / (1 + t / 4), t >= 0. R is smooth on 0 < y <= 1 and
/// vanishes with y; the polynomial is a minimax fit made for this file against 50-digit values, of
/// relative error 5e-8 for t <= 13.3, so the far negative tail keeps its relative precision.
/// Density and distribution share the exponential.
#[inline(always)]
pub(crate) fn normal<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    const FIT: [f32; 9] = [
        2.653_111e-2,
        -1.568_054e-1,
        3.045_481_8e-1,
        -2.156_531_6e-1,
        2.087_674_1e-1,
        2.984_401_5e-2,
        1.045_661e-1,
        9.839_682e-2,
        9.980_489e-2,
    ];
    /// 1 / sqrt(2 pi)
    const DENSITY_AT_ZERO: f32 = 0.398_942_3;

    let t = s.max(x, s.sub(s.splat(0.0), x));
    let bell = exp(s, s.mul(s.mul(x, x), s.splat(-0.5)));
    let y = s.div(s.splat(1.0), s.mul_add(t, s.splat(0.25), s.splat(1.0)));
    let mut fit = s.splat(FIT[0]);
    for coefficient in &FIT[1..] {
        fit = s.mul_add(fit, y, s.splat(*coefficient));
    }
    let tail = s.mul(bell, s.mul(fit, y));
    let distribution = s.if_positive(x, s.sub(s.splat(1.0), tail), tail);
    (distribution, s.mul(bell, s.splat(DENSITY_AT_ZERO)))
}

/// The hyperbolic tangent; NaN stays NaN.
///
/// With t = |x|: 1 - 2 / (e^(2t) + 1) from t = 0.65 on, and before it t + t^3 P(t^2), whose
/// polynomial is a minimax fit made for this file, of relative error 7e-9, because the first form
/// would cancel.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    const FIT: [f32; 5] = [
        -5.515_163_3e-3,
        2.046_942e-2,
        -5.368_802_3e-2,
        1.333_083e-1,
        -3.333_326e-1,
    ];
    const MIDDLE: f32 = 0.65;

    let negative = s.sub(s.splat(0.0), x);
    let t = s.max(x, negative);
    let square = s.mul(x, x);
    let mut fit = s.splat(FIT[0]);
    for coefficient in &FIT[1..] {
        fit = s.mul_add(fit, square, s.splat(*coefficient));
    }
    let near = s.mul_add(x, s.mul(square, fit), x);
    let power = exp(s, s.add(t, t));
    let rest = s.div(s.splat(2.0), s.add(power, s.splat(1.0)));
    let far = s.sub(s.splat(1.0), rest);
    let far = s.if_positive(x, far, s.sub(s.splat(0.0), far));
    s.if_positive(s.sub(s.splat(MIDDLE), t), near, far)
}

/// 1 / (1 + e^-x); NaN stays NaN.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// ln(1 + e^x), to a few units in the last place; NaN stays NaN.
///
/// max(x, 0) + ln(1 + w) with w = e^-|x| in (0, 1], and ln(1 + w) = 2 artanh(q) with q = w / (2 +
/// w) of at most 1/3, by its Taylor series, whose first omitted term is below 2e-9 of the first.
#[inline(always)]
pub(crate) fn ln_1_plus_exp<S: Simd>(s: S, x: S::F) -> S::F {
    const TAYLOR: [f32; 8] = [
        1.0 / 17.0,
        1.0 / 15.0,
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
    ];
    let (zero, two) = (s.splat(0.0), s.splat(2.0));
    let w = exp(s, s.min(x, s.sub(zero, x)));
    let q = s.div(w, s.add(two, w));
    let square = s.mul(q, q);
    let mut series = s.splat(TAYLOR[0]);
    for term in &TAYLOR[1..] {
        series = s.mul_add(series, square, s.splat(*term));
    }
    let series = s.mul_add(s.mul(series, square), q, q);
    s.mul_add(two, series, s.max(x, zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::{Real, normal_distribution};
    use crate::simd::{Level, dispatched};

    dispatched! { fn all_exp(x: &[f32], y: &mut [f32]) = all_exp_with; }

    #[inline(always)]
    fn all_exp_with<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            s.store(exp(s, s.load(x)), y);
        }
    }

    dispatched! {
        fn all_normal(x: &[f32], distribution: &mut [f32], density: &mut [f32]) = all_normal_with;
    }

    #[inline(always)]
    fn all_normal_with<S: Simd>(s: S, x: &[f32], distribution: &mut [f32], density: &mut [f32]) {
        let outputs = distribution
            .chunks_mut(S::LANES)
            .zip(density.chunks_mut(S::LANES));
        for (x, (distribution, density)) in x.chunks(S::LANES).zip(outputs) {
            let (big, small) = normal(s, s.load(x));
            s.store(big, distribution);
            s.store(small, density);
        }
    }

    dispatched! { fn all_tanh(x: &[f32], y: &mut [f32]) = all_tanh_with; }

    #[inline(always)]
    fn all_tanh_with<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            s.store(tanh(s, s.load(x)), y);
        }
    }

    #[test]
    fn tanh_has_two_units_in_the_last_place_near_zero_too() {
        for level in Level::available() {
            for range in [1e-3, 0.7, 3.0, 100.0] {
                let x = points(-range, range);
                let mut y = vec![0.0; x.len()];
                all_tanh(level, &x, &mut y);
                for (x, y) in x.iter().zip(y) {
                    let exact = f64::from(*x).tanh();
                    let error = (f64::from(y) - exact).abs();
                    assert!(
                        error <= 2.4e-7 * exact.abs(),
                        "tanh({x}) = {y} on {level:?}"
                    );
                }
            }
            let mut y = [0.0];
            all_tanh(level, &[f32::NAN], &mut y);
            assert!(y[0].is_nan(), "{level:?}");
        }
    }

    fn points(low: f32, high: f32) -> Vec<f32> {
        (0..=4001)
            .map(|i| low + (high - low) * i as f32 / 4001.0)
            .collect()
    }

    #[test]
    fn exp_has_two_units_in_the_last_place() {
        for level in Level::available() {
            let x = points(-86.9, 87.9);
            let mut y = vec![0.0; x.len()];
            all_exp(level, &x, &mut y);
            for (x, y) in x.iter().zip(y) {
                let exact = f64::from(*x).exp();
                assert!(
                    (f64::from(y) / exact - 1.0).abs() < 2.4e-7,
                    "exp({x}) = {y} on {level:?}"
                );
            }
        }
    }

    dispatched! { fn all_exp_minus_1(x: &[f32], y: &mut [f32]) = all_exp_minus_1_with; }

    #[inline(always)]
    fn all_exp_minus_1_with<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            s.store(exp_minus_1(s, s.load(x)), y);
        }
    }

    #[test]
    fn exp_minus_1_has_three_units_in_the_last_place_near_zero_too() {
        for level in Level::available() {
            for range in [1e-6, 1e-3, 0.4, 3.0, 80.0] {
                let x = points(-range, range);
                let mut y = vec![0.0; x.len()];
                all_exp_minus_1(level, &x, &mut y);
                for (x, y) in x.iter().zip(y) {
                    let exact = f64::from(*x).exp_m1();
                    let error = (f64::from(y) - exact).abs();
                    let allowed = 3.6e-7 * exact.abs();
                    assert!(error <= allowed, "e^{x} - 1 = {y} on {level:?}");
                }
            }
        }
    }

    dispatched! { fn all_powers(x: &[f32], y: &mut [f32]) = all_powers_with; }

    #[inline(always)]
    fn all_powers_with<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            s.store(power_of_2(s, s.load(x)), y);
        }
    }

    #[test]
    fn a_power_of_2_has_two_units_in_the_last_place() {
        for level in Level::available() {
            let x = points(-125.9, 126.9);
            let mut y = vec![0.0; x.len()];
            all_powers(level, &x, &mut y);
            for (x, y) in x.iter().zip(y) {
                let exact = f64::from(*x).exp2();
                assert!(
                    (f64::from(y) / exact - 1.0).abs() < 1.2e-7,
                    "2^{x} = {y} on {level:?}"
                );
            }
            let mut y = [0.0; 2];
            all_powers(level, &[f32::NAN, -1e9], &mut y);
            assert!(y[0].is_nan() && (0.0..1e-37).contains(&y[1]), "{y:?}");
        }
    }

    #[test]
    fn the_normal_distribution_is_accurate_far_into_its_tail() {
        for level in Level::available() {
            let x = points(-12.0, 12.0);
            let mut distribution = vec![0.0; x.len()];
            let mut density = vec![0.0; x.len()];
            all_normal(level, &x, &mut distribution, &mut density);
            for (i, x) in x.iter().enumerate() {
                let x = f64::from(*x);
                let exact = normal_distribution(x);
                let error = (f64::from(distribution[i]) / exact - 1.0).abs();
                // The argument of the exponential, x^2 / 2, is itself rounded.
                let allowed = 5e-7 + 1e-7 * x * x;
                assert!(error < allowed, "Phi({x}) off by {error} on {level:?}");
                let exact = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let error = (f64::from(density[i]) / exact - 1.0).abs();
                assert!(error < allowed, "phi({x}) off by {error} on {level:?}");
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for level in Level::available() {
            let mut y = [0.0];
            all_exp(level, &[f32::NAN], &mut y);
            assert!(y[0].is_nan(), "{level:?}");
            assert!(f64::NAN.exp().to_f64().is_nan());
        }
    }
}
