//! Python's square.

#![expect(
    clippy::inline_always,
    reason = "loops over columns must end up in the function that is compiled for the CPU's \
        features"
)]

use super::sine;
use std::hint::black_box;

/// Python's `x ** 2`. It calls the C library's `pow`, which differs from `x * x` in the last bit
/// for one number in a thousand.
///
/// `pow` takes ten times as long, so it is called only where it may differ. glibc's is right to
/// 0.511 units in the last place and `6.4e-5 |log2 x|` more; what rounding cuts off the exact
/// square of the 53 bits is nearly always further from half a unit than that.
#[inline]
pub(crate) fn pow2(x: f64) -> f64 {
    let (square, is_certain) = pow2_guess(x);
    if is_certain { square } else { pow2_in_full(x) }
}

/// [`pow2`], and whether it is.
#[inline(always)]
pub(super) fn pow2_guess(x: f64) -> (f64, bool) {
    let square = x * x;
    // What rounding cut off, exactly: of the product of two halves of 26 bits nothing is lost.
    let split = x * 134_217_729.0; // 2^27 + 1
    let high = split - (split - x);
    let low = x - high;
    let cut_off = ((high * high - square) + 2.0 * high * low) + low * low;
    // 0.0127 units away from the middle, enough down to 2^-16 and up to 2^16.
    let is_far = cut_off.abs() < 0.487 * sine::unit_below(square);
    let (is_large, is_small) = (square > 1e-9, square < 1e9);
    (square, is_far & is_large & is_small)
}

#[cold]
#[inline(never)]
fn pow2_in_full(x: f64) -> f64 {
    // The exponent is hidden from the compiler, which would make a product of it.
    x.powf(black_box(2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::NumpyRng;

    #[test]
    fn pow2_is_the_c_librarys_pow() {
        let mut rng = NumpyRng::from_seed(0);
        let mut products = 0;
        for _ in 0..1_000_000 {
            let x = rng.uniform(-10.0, 10.0) * 10_f64.powf(rng.uniform(-3.0, 3.0));
            let pow = x.powf(black_box(2.0));
            assert_eq!(pow2(x).to_bits(), pow.to_bits(), "{x}");
            products += u32::from((x * x).to_bits() != pow.to_bits());
        }
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            assert!(products > 0, "x * x would do");
        }
        for x in [0.0, -0.0, 1e-200, 1e200, f64::INFINITY] {
            assert_eq!(pow2(x).to_bits(), x.powf(black_box(2.0)).to_bits(), "{x}");
        }
    }
}
