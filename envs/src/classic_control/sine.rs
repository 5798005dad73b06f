//! The C library's sine and cosine in half the time.
//!
//! glibc's sine is right to 0.55 units in the last place, so it rounds the true value correctly
//! except where that lies within 0.05 units of the middle between two numbers. Here the true value
//! is computed to a few hundredths of a unit, without branches, from a table of angles; only where it
//! comes too near to such a middle the C library is asked. In this way every bit is the library's.

/// Angles in one turn.
const ANGLES: usize = 512;
/// The step between them, in three parts; products of the first two with small integers are exact.
const STEP: [f64; 3] = parts(divided(PI, ANGLES as f64 / 2.0));
/// Adding this rounds a number to an integer, which its last bits then hold.
const ROUNDER: f64 = 1.5 * (1_u64 << 52) as f64;
/// Beyond this angle products with the step's parts are not exact.
const LARGEST: f64 = 100.0;
/// The absolute error of what is added to a value of the table, and somewhat more. It is below 2^-7,
/// so that its product and its last sum are each right to 2^-61; the rest is far smaller.
const ERROR: f64 = 1.125 / (1_u64 << 60) as f64;

/// An unevaluated sum of two numbers, the second one far smaller.
type Pair = (f64, f64);

const PI: Pair = (std::f64::consts::PI, 1.224_646_799_147_353_2e-16);

/// Sine and cosine of each angle.
static TABLE: [(Pair, Pair); ANGLES] = table();

/// The sine, as the C library has it, and the cosine, as the C library has it, as a float32.
#[inline]
pub(super) fn sin_cos(angle_rad: f64) -> (f64, f32) {
    let shifted = angle_rad * (1.0 / STEP[0]) + ROUNDER;
    let steps = shifted - ROUNDER;
    let (sin, cos) = TABLE[shifted.to_bits() as usize % ANGLES];
    // What is left of the angle, at most half a step, as a pair.
    let first = angle_rad - steps * STEP[0];
    let second = steps * STEP[1];
    let rest = first - second;
    let rest_low = ((first - rest) - second) - steps * STEP[2];
    let square = rest * rest;
    let sin_less_rest = rest * square * (-1.0 / 6.0 + square * (1.0 / 120.0));
    let cos_less_one = square * (-0.5 + square * (1.0 / 24.0 - square * (1.0 / 720.0)));
    let low = sin.1 + cos.1 * rest + cos.0 * rest_low;
    let added = cos.0 * rest + (low + cos.0 * sin_less_rest + sin.0 * cos_less_one);
    let sine = sin.0 + added;
    let left_out = added - (sine - sin.0);
    let cosine = cos.0 + (cos.0 * cos_less_one - sin.0 * (rest + sin_less_rest));
    // One branch, not three.
    if (angle_rad.abs() < LARGEST) & is_certain(sine, left_out) & is_certain_single(cosine) {
        (sine, cosine as f32)
    } else {
        in_full(angle_rad)
    }
}

#[cold]
#[inline(never)]
fn in_full(angle_rad: f64) -> (f64, f32) {
    let (sine, cosine) = angle_rad.sin_cos();
    (sine, cosine as f32)
}

/// Whether a sum is surely what glibc gives; `left_out` is what rounding left out of it.
#[inline]
fn is_certain(sum: f64, left_out: f64) -> bool {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    let unit = f64::from_bits(sum.to_bits() & EXPONENT) * f64::EPSILON;
    (left_out.abs() - 0.5 * unit).abs() > 0.06 * unit + ERROR
}

/// Whether a number that is right to `ERROR` surely rounds to the float32 that the exact one does.
#[inline]
fn is_certain_single(number: f64) -> bool {
    /// The bits of a float64 that a float32 has not, and their middle.
    const BITS: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    ((number.to_bits() & BITS).abs_diff(MIDDLE) > 1 << 20) & (number.abs() > 1e-6)
}

const fn table() -> [(Pair, Pair); ANGLES] {
    let step = divided(PI, ANGLES as f64 / 2.0);
    let square = product(step, step);
    // Taylor's series of one step, from the smallest term.
    let (mut sin, mut cos) = ((1.0, 0.0), (1.0, 0.0));
    let mut n = 20;
    while n > 0 {
        let factor = (n * (n + 1)) as f64;
        sin = sum((1.0, 0.0), negated(divided(product(sin, square), factor)));
        let factor = (n * (n - 1)) as f64;
        if n > 1 {
            cos = sum((1.0, 0.0), negated(divided(product(cos, square), factor)));
        }
        n -= 2;
    }
    sin = product(sin, step);
    let mut table = [((0.0, 0.0), (1.0, 0.0)); ANGLES];
    let mut i = 1;
    while i < ANGLES {
        let (before_sin, before_cos) = table[i - 1];
        table[i] = (
            sum(product(before_sin, cos), product(before_cos, sin)),
            sum(product(before_cos, cos), negated(product(before_sin, sin))),
        );
        i += 1;
    }
    table
}

/// Cuts a pair into numbers of 38 bits, 38 bits, and the rest.
const fn parts(pair: Pair) -> [f64; 3] {
    const KEPT: u64 = !((1 << 15) - 1);
    let first = f64::from_bits(pair.0.to_bits() & KEPT);
    let rest = sum((pair.0 - first, 0.0), (pair.1, 0.0));
    let second = f64::from_bits(rest.0.to_bits() & KEPT);
    [first, second, (rest.0 - second) + rest.1]
}

const fn negated(a: Pair) -> Pair {
    (-a.0, -a.1)
}

const fn sum(a: Pair, b: Pair) -> Pair {
    let high = a.0 + b.0;
    let back = high - a.0;
    let low = (a.0 - (high - back)) + (b.0 - back) + a.1 + b.1;
    (high + low, low - ((high + low) - high))
}

const fn product(a: Pair, b: Pair) -> Pair {
    let (high, error) = exact_product(a.0, b.0);
    let low = error + (a.0 * b.1 + a.1 * b.0);
    (high + low, low - ((high + low) - high))
}

const fn divided(a: Pair, by: f64) -> Pair {
    let high = a.0 / by;
    let (back, error) = exact_product(high, by);
    let low = (((a.0 - back) - error) + a.1) / by;
    (high + low, low - ((high + low) - high))
}

/// Dekker's product: rounded, and what rounding left out.
const fn exact_product(a: f64, b: f64) -> Pair {
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let high = a * b;
    let error = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low;
    (high, error)
}

const fn halves(a: f64) -> Pair {
    const SPLIT: f64 = 134_217_729.0; // 2^27 + 1
    let high = a * SPLIT - (a * SPLIT - a);
    (high, a - high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::NumpyRng;
    use std::hint::black_box;

    fn check(angle: f64) {
        let (sin, cos) = black_box(angle).sin_cos();
        let ours = sin_cos(angle);
        assert_eq!(ours.0.to_bits(), sin.to_bits(), "sine of {angle}");
        assert_eq!(
            ours.1.to_bits(),
            (cos as f32).to_bits(),
            "cosine of {angle}"
        );
    }

    #[test]
    fn sine_and_cosine_are_the_c_librarys() {
        let mut rng = NumpyRng::from_seed(0);
        for reach in [0.01, 1.0, 4.0, 20.0, 200.0] {
            for _ in 0..400_000 {
                check(rng.uniform(-reach, reach));
            }
        }
        for turns in -900..900 {
            let angle = f64::from(turns) * (std::f64::consts::PI / 256.0);
            for angle in [angle.next_down(), angle, angle.next_up(), angle * 0.5] {
                check(angle);
            }
        }
        for angle in [0.0, -0.0, 1e-300, 1e300, f64::INFINITY, 99.999, 100.0] {
            check(angle);
        }
    }

    #[test]
    fn the_table_holds_sines_and_cosines_to_twice_the_precision() {
        for (i, &(sin, cos)) in TABLE.iter().enumerate() {
            let angle = i as f64 * std::f64::consts::TAU / ANGLES as f64;
            assert!((sin.0 - angle.sin()).abs() < 1e-15, "angle {i}");
            let squares = sum(product(sin, sin), product(cos, cos));
            assert!(((squares.0 - 1.0) + squares.1).abs() < 1e-29, "angle {i}");
        }
    }
}
