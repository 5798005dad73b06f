//! The C library's sine and cosine in half the time.
//!
//! glibc's sine is accurate to 0.55 units in the last place, so it rounds the true value correctly
//! except where that is within 0.05 units of the middle between two numbers. Here the true value is
//! computed to a few hundredths of a unit, without branches, from a table of angles; the C library
//! is called only where it is too near to such a middle. So every bit equals the library's.
#![expect(
    clippy::inline_always,
    reason = "loops over columns must end up in the function that is compiled for the CPU's \
        features"
)]

use crate::vector::{Column, LANES};

/// Angles in one turn.
const ANGLES: usize = 512;
/// The step between them, in three parts; products of the first two with small integers are exact.
const STEP: [f64; 3] = parts(divided(PI, ANGLES as f64 / 2.0));
/// Adding this rounds a number to an integer, which its last bits then hold.
const ROUNDER: f64 = 1.5 * (1_u64 << 52) as f64;
/// Beyond this angle products with the step's parts are not exact.
const LARGEST: f64 = 100.0;
/// The absolute error of what is added to a value of the table, and somewhat more. It is below
/// 2^-7, so that its product and its last sum are each accurate to 2^-61; the rest is far smaller.
const ERROR: f64 = 1.125 / (1_u64 << 60) as f64;

/// An unevaluated sum of two numbers, the second one far smaller.
type Pair = (f64, f64);

const PI: Pair = (std::f64::consts::PI, 1.224_646_799_147_353_2e-16);

/// Sine and cosine of each angle.
static TABLE: [(Pair, Pair); ANGLES] = table();

/// The C library's sine, and its cosine as a float32.
#[inline]
pub(super) fn sin_cos(angle_rad: f64) -> (f64, f32) {
    let (steps, place) = nearest(angle_rad);
    let guess = guess(angle_rad, steps, TABLE[place]);
    // One branch, not three.
    if guess.is_sine & guess.is_cosine {
        (guess.sine, guess.cosine)
    } else {
        (sine_in_full(angle_rad), cosine_in_full(angle_rad))
    }
}

#[cold]
#[inline(never)]
fn sine_in_full(angle_rad: f64) -> f64 {
    angle_rad.sin()
}

#[cold]
#[inline(never)]
fn cosine_in_full(angle_rad: f64) -> f32 {
    angle_rad.cos() as f32
}

/// A sine and a cosine, and whether each certainly equals the library's result.
struct Guess {
    sine: f64,
    cosine: f32,
    is_sine: bool,
    is_cosine: bool,
}

/// The nearest angle of the table: its distance from zero in steps, and its index.
#[inline(always)]
fn nearest(angle_rad: f64) -> (f64, usize) {
    let shifted = angle_rad * (1.0 / STEP[0]) + ROUNDER;
    (shifted - ROUNDER, shifted.to_bits() as usize % ANGLES)
}

/// Computes them from an angle and the table's entry of the nearest one.
#[inline(always)]
fn guess(angle_rad: f64, steps: f64, (sin, cos): (Pair, Pair)) -> Guess {
    // The remainder of the angle, at most half a step, as a pair.
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
    let is_small = angle_rad.abs() < LARGEST;
    Guess {
        sine,
        cosine: cosine as f32,
        is_sine: is_certain(sine, left_out, ERROR) & is_small,
        is_cosine: is_certain_single(cosine) & is_small,
    }
}

/// A block of angles, and their sines and cosines.
#[derive(Default)]
pub(super) struct Angles {
    pub(super) rad: Column,
    steps: Column,
    places: Column<usize>,
    /// The table's entries there: sine and rest, cosine and rest.
    known: [Column; 4],
    sines: Column,
    cosines: Column<f32>,
    is_sine: Column<bool>,
    is_cosine: Column<bool>,
}

impl Angles {
    /// First, in a loop over columns: where the angles are in the table.
    #[inline(always)]
    pub(super) fn place(&mut self) {
        for lane in 0..LANES {
            (self.steps[lane], self.places[lane]) = nearest(self.rad[lane]);
        }
    }

    /// Then, one by one.
    pub(super) fn look_up(&mut self) {
        for lane in 0..LANES {
            let (sin, cos) = TABLE[self.places[lane] % ANGLES];
            for (known, number) in self.known.iter_mut().zip([sin.0, sin.1, cos.0, cos.1]) {
                known[lane] = number;
            }
        }
    }

    /// Then, in a loop over columns again.
    #[inline(always)]
    pub(super) fn compute(&mut self) {
        // Copies, which the compiler knows not to overlap.
        let (rad, steps, [sin, sin_rest, cos, cos_rest]) = (self.rad, self.steps, self.known);
        let (mut sines, mut cosines) = ([0.0; LANES], [0.0; LANES]);
        let (mut is_sine, mut is_cosine) = ([false; LANES], [false; LANES]);
        for lane in 0..LANES {
            let known = ((sin[lane], sin_rest[lane]), (cos[lane], cos_rest[lane]));
            let guess = guess(rad[lane], steps[lane], known);
            (sines[lane], cosines[lane]) = (guess.sine, guess.cosine);
            (is_sine[lane], is_cosine[lane]) = (guess.is_sine, guess.is_cosine);
        }
        (self.sines, self.cosines) = (sines, cosines);
        (self.is_sine, self.is_cosine) = (is_sine, is_cosine);
    }

    /// Finally: the results of [`sin_cos`].
    #[inline]
    pub(super) fn sin_cos(&self, lane: usize) -> (f64, f32) {
        let sine = if self.is_sine[lane] {
            self.sines[lane]
        } else {
            sine_in_full(self.rad[lane])
        };
        let cosine = if self.is_cosine[lane] {
            self.cosines[lane]
        } else {
            cosine_in_full(self.rad[lane])
        };
        (sine, cosine)
    }
}

/// A block of angles near zero, and their sines and cosines: without a table, both as f64.
#[derive(Default)]
pub(super) struct SmallAngles {
    pub(super) rad: Column,
    pub(super) sines: Column,
    pub(super) cosines: Column,
    is_sine: Column<bool>,
    is_cosine: Column<bool>,
}

impl SmallAngles {
    /// First, in a loop over columns.
    #[inline(always)]
    pub(super) fn compute(&mut self) {
        // Copies, which the compiler knows not to overlap.
        let (rad, mut sines, mut cosines) = (self.rad, [0.0; LANES], [0.0; LANES]);
        let (mut is_sine, mut is_cosine) = ([false; LANES], [false; LANES]);
        for lane in 0..LANES {
            (
                (sines[lane], is_sine[lane]),
                (cosines[lane], is_cosine[lane]),
            ) = small_guess(rad[lane]);
        }
        (self.sines, self.cosines) = (sines, cosines);
        (self.is_sine, self.is_cosine) = (is_sine, is_cosine);
    }

    /// Then, one by one: calls the library where it must be called.
    pub(super) fn settle(&mut self) {
        for lane in 0..LANES {
            if !self.is_sine[lane] {
                self.sines[lane] = sine_in_full(self.rad[lane]);
            }
            if !self.is_cosine[lane] {
                self.cosines[lane] = self.rad[lane].cos();
            }
        }
    }
}

/// Sine and cosine of a small angle, and whether each certainly equals the library's result.
#[inline(always)]
fn small_guess(angle_rad: f64) -> ((f64, bool), (f64, bool)) {
    /// Below it, the terms that the series lack are smaller than 2^-58.
    const SMALL: f64 = 0.25;
    let square = angle_rad * angle_rad;
    let tail = 1.0 / 362_880.0 - square * (1.0 / 39_916_800.0 - square * (1.0 / 6_227_020_800.0));
    let series = -1.0 / 6.0 + square * (1.0 / 120.0 - square * (1.0 / 5_040.0 - square * tail));
    let added = angle_rad * square * series;
    let sine = angle_rad + added;
    let tail = 1.0 / 40_320.0 - square * (1.0 / 3_628_800.0 - square * (1.0 / 479_001_600.0));
    let series = 1.0 / 24.0 - square * (1.0 / 720.0 - square * tail);
    let less = square * (-0.5 + square * series);
    let cosine = 1.0 + less;
    // Each of a few operations on the addends may have lost 2^-53.
    let error = |added: f64| added.abs() * (1.0 / (1_u64 << 50) as f64);
    let is_sine = is_certain(sine, added - (sine - angle_rad), error(added));
    let is_cosine = is_certain(cosine, less - (cosine - 1.0), error(less));
    let is_small = angle_rad.abs() < SMALL;
    ((sine, is_sine & is_small), (cosine, is_cosine & is_small))
}

/// Whether a sum certainly equals glibc's result; `left_out` is its rounding error, known to
/// `error`.
#[inline(always)]
fn is_certain(sum: f64, left_out: f64, error: f64) -> bool {
    let unit = unit_below(sum);
    (left_out.abs() - 0.5 * unit).abs() > 0.06 * unit + error
}

/// The distance to the next number towards zero. Infinite for zero.
#[inline(always)]
pub(super) fn unit_below(number: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    f64::from_bits(number.to_bits().wrapping_sub(1) & EXPONENT) * f64::EPSILON
}

/// Whether a number that is accurate to `ERROR` certainly rounds to the same float32 as the exact
/// one.
#[inline(always)]
fn is_certain_single(number: f64) -> bool {
    /// The bits of a float64 that a float32 does not have, and their middle.
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

/// Splits a pair into numbers of 38 bits, 38 bits, and the rest.
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

/// Dekker's product: rounded, and the rounding error.
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
    use crate::classic_control::widest::{Vectors, Work};
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

    /// The bits that columns compute for each angle: sine and cosine of any, and of small ones.
    fn in_columns(vectors: Vectors, rad: Column) -> Column<[u64; 4]> {
        struct Place<'a>(&'a mut Angles);
        impl Work for Place<'_> {
            #[inline(always)]
            fn run(self) {
                self.0.place();
            }
        }
        struct Compute<'a>(&'a mut Angles, &'a mut SmallAngles);
        impl Work for Compute<'_> {
            #[inline(always)]
            fn run(self) {
                self.0.compute();
                self.1.compute();
            }
        }
        let mut angles = Angles {
            rad,
            ..Angles::default()
        };
        let mut small = SmallAngles {
            rad,
            ..SmallAngles::default()
        };
        vectors.run(Place(&mut angles));
        angles.look_up();
        vectors.run(Compute(&mut angles, &mut small));
        small.settle();
        std::array::from_fn(|lane| {
            let (sin, cos) = angles.sin_cos(lane);
            let small = [small.sines[lane], small.cosines[lane]].map(f64::to_bits);
            [sin.to_bits(), cos.to_bits().into(), small[0], small[1]]
        })
    }

    #[test]
    fn columns_give_the_c_librarys_bits_on_every_instruction_set() {
        let mut rng = NumpyRng::from_seed(1);
        let edges = [
            0.0,
            -0.0,
            1e-300,
            -1e-9,
            1e300,
            f64::INFINITY,
            f64::NAN,
            99.999,
            100.0,
            0.25,
            -0.25,
            std::f64::consts::FRAC_PI_2,
            std::f64::consts::PI,
            -std::f64::consts::TAU,
            f64::MIN_POSITIVE,
            -0.209_439_510_239_319_53,
        ];
        let mut angles = edges.to_vec();
        for reach in [1e-6, 0.01, 0.1, 0.21, 0.26, 1.0, 4.0, 90.0, 200.0] {
            angles.extend((0..LANES * 5000).map(|_| rng.uniform(-reach, reach)));
        }
        for vectors in Vectors::available() {
            for rad in angles.as_chunks().0 {
                for (angle, got) in rad.iter().zip(in_columns(vectors, *rad)) {
                    let (sin, cos) = black_box(*angle).sin_cos();
                    let single = (cos as f32).to_bits().into();
                    let expected = [sin.to_bits(), single, sin.to_bits(), cos.to_bits()];
                    assert_eq!(got, expected, "{vectors:?}, angle {angle}");
                }
            }
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
