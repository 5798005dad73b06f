//! Pairs of bfloat16, the operands of matrix products in half precision.
//!
//! A bfloat16 is the upper half of an f32. Two of them fill a lane, the first in the lower bits, so
//! a vector of LANES f32 holds LANES pairs, and one instruction adds a0 b0 + a1 b1 to each lane of
//! f32 sums. Pairs are stored in vectors and buffers of f32, whose bits only this file interprets.

#[cfg(target_arch = "x86_64")]
use super::Avx512;
use super::Simd;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, __m512bh, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtne2ps_pbh,
    _mm512_dpbf16_ps, _mm512_permutexvar_epi16, _mm512_set_epi16,
};

/// Most lanes of any vector.
pub(crate) const MOST_LANES: usize = 16;

/// The operations on pairs over a set of vectors. Numbers are rounded to the nearest bfloat16, ties
/// to even; NaN stays NaN.
pub(crate) trait Pairs: Copy {
    /// The vectors that hold pairs.
    type S: Simd;

    fn simd(self) -> Self::S;
    /// The pairs (first\[i\], second\[i\]).
    fn pair(self, first: Vector<Self>, second: Vector<Self>) -> Vector<Self>;
    /// The pairs (x\[2 i\], x\[2 i + 1\]) of the numbers x in two vectors.
    fn neighbours(self, first: Vector<Self>, second: Vector<Self>) -> Vector<Self>;
    /// sum + a0 b0 + a1 b1
    fn dot(self, a: Vector<Self>, b: Vector<Self>, sum: Vector<Self>) -> Vector<Self>;
}

/// The vectors of f32 that hold pairs.
pub(crate) type Vector<P> = <<P as Pairs>::S as Simd>::F;

/// Pairs on any vectors, for tests: same numbers, no speed.
#[derive(Clone, Copy)]
pub(crate) struct Imitated<S>(pub(crate) S);

impl<S: Simd> Imitated<S> {
    #[inline(always)]
    fn first(self, pair: S::F) -> S::F {
        let s = self.0;
        s.to_float(s.shift_left::<16>(s.bits(pair)))
    }

    #[inline(always)]
    fn second(self, pair: S::F) -> S::F {
        let s = self.0;
        s.to_float(s.shift_left::<16>(s.shift_right::<16>(s.bits(pair))))
    }
}

impl<S: Simd> Pairs for Imitated<S> {
    type S = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn pair(self, first: S::F, second: S::F) -> S::F {
        let s = self.0;
        let (mut low, mut high) = ([0.0; MOST_LANES], [0.0; MOST_LANES]);
        s.store(first, &mut low);
        s.store(second, &mut high);
        for (low, high) in low.iter_mut().zip(high) {
            let second = rounded(high).to_bits();
            *low = f32::from_bits(rounded(*low).to_bits() >> 16 | second);
        }
        s.load(&low)
    }

    #[inline(always)]
    fn neighbours(self, first: S::F, second: S::F) -> S::F {
        let s = self.0;
        let mut x = [0.0; 2 * MOST_LANES];
        s.store(first, &mut x[..S::LANES]);
        s.store(second, &mut x[S::LANES..2 * S::LANES]);
        let (mut even, mut odd) = ([0.0; MOST_LANES], [0.0; MOST_LANES]);
        for (i, pair) in x.chunks_exact(2).enumerate() {
            (even[i], odd[i]) = (pair[0], pair[1]);
        }
        self.pair(s.load(&even), s.load(&odd))
    }

    #[inline(always)]
    fn dot(self, a: S::F, b: S::F, sum: S::F) -> S::F {
        let s = self.0;
        let sum = s.mul_add(self.second(a), self.second(b), sum);
        s.mul_add(self.first(a), self.first(b), sum)
    }
}

/// The nearest bfloat16, ties to even, as f32.
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    let to_even = bits >> 16 & 1;
    let nearest = if x.is_nan() {
        bits | 1 << 22
    } else {
        bits + 0x7fff + to_even
    };
    f32::from_bits(nearest & 0xffff_0000)
}

/// Proof that the CPU has AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(Avx512);

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector intrinsics; `new` demands that the CPU has them"
)]
impl Avx512Bf16 {
    /// # Safety
    /// The CPU must have AVX-512 F, DQ, BW and BF16, AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(unsafe { Avx512::new() })
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    unsafe_code,
    reason = "both are 64 bytes without a meaning of their own"
)]
fn as_pairs(x: __m512) -> __m512bh {
    unsafe { std::mem::transmute(x) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    unsafe_code,
    reason = "both are 64 bytes without a meaning of their own"
)]
fn as_floats(x: __m512bh) -> __m512 {
    unsafe { std::mem::transmute(x) }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector intrinsics; `new` demands that the CPU has them"
)]
impl Pairs for Avx512Bf16 {
    type S = Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn pair(self, first: __m512, second: __m512) -> __m512 {
        let halves = self.neighbours(first, second);
        unsafe {
            let interleave = _mm512_set_epi16(
                31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                20, 4, 19, 3, 18, 2, 17, 1, 16, 0,
            );
            _mm512_castsi512_ps(_mm512_permutexvar_epi16(
                interleave,
                _mm512_castps_si512(halves),
            ))
        }
    }

    #[inline(always)]
    fn neighbours(self, first: __m512, second: __m512) -> __m512 {
        as_floats(unsafe { _mm512_cvtne2ps_pbh(second, first) })
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        unsafe { _mm512_dpbf16_ps(sum, as_pairs(a), as_pairs(b)) }
    }
}

/// Compiles `$body`, a function whose first argument is of the type [`Pairs`], like `dispatched!`:
/// for CPUs that multiply pairs, and as an imitation for each instruction set.
macro_rules! dispatched_pairs {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident(
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? = $body:ident;
    ) => {
        $(#[$attribute])*
        $visibility fn $name(
            level: $crate::simd::Level,
            $($argument: $type),*
        ) $(-> $output)? {
            use $crate::simd::{Simd, dispatched, pairs::Imitated};

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512bf16,avx2,fma")]
            #[expect(unsafe_code, reason = "the attribute above proves the features")]
            fn avx512_bf16($($argument: $type),*) $(-> $output)? {
                use $crate::simd::pairs::Avx512Bf16;

                $body(unsafe { Avx512Bf16::new() }, $($argument),*)
            }

            #[inline(always)]
            fn imitated_with<S: Simd>(
                s: S,
                $($argument: $type),*
            ) $(-> $output)? {
                $body(Imitated(s), $($argument),*)
            }

            dispatched! {
                fn imitated(
                    $($argument: $type),*
                ) $(-> $output)? = imitated_with;
            }

            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "just detected")]
            if level.multiplies_pairs() {
                return unsafe { avx512_bf16($($argument),*) };
            }
            imitated(level, $($argument),*)
        }
    };
}
pub(crate) use dispatched_pairs;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use crate::testing::numbers;

    dispatched_pairs! {
        fn all_pairs(x: &[f32], y: &[f32], pairs: &mut [f32], zipped: &mut [f32]) = all_pairs_of;
    }

    #[inline(always)]
    fn all_pairs_of<P: Pairs>(
        p: P,
        x: &[f32],
        y: &[f32],
        pairs: &mut [f32],
        neighbours: &mut [f32],
    ) {
        let (s, lanes) = (p.simd(), P::S::LANES);
        for (i, (x, y)) in x.chunks(lanes).zip(y.chunks(lanes)).enumerate() {
            s.store(p.pair(s.load(x), s.load(y)), &mut pairs[i * lanes..]);
        }
        for (i, x) in x.chunks(2 * lanes).enumerate() {
            let (first, second) = x.split_at(lanes);
            let all = p.neighbours(s.load(first), s.load(second));
            s.store(all, &mut neighbours[i * lanes..]);
        }
    }

    dispatched_pairs! {
        fn all_dots(a: &[f32], b: &[f32], sums: &mut [f32]) = all_dots_of;
    }

    #[inline(always)]
    fn all_dots_of<P: Pairs>(p: P, a: &[f32], b: &[f32], sums: &mut [f32]) {
        let (s, lanes) = (p.simd(), P::S::LANES);
        for (i, sums) in sums.chunks_mut(lanes).enumerate() {
            let (a, b) = (s.load(&a[i * lanes..]), s.load(&b[i * lanes..]));
            s.store(p.dot(a, b, s.load(sums)), sums);
        }
    }

    fn halves(pair: f32) -> [f32; 2] {
        let bits = pair.to_bits();
        [
            f32::from_bits(bits << 16),
            f32::from_bits(bits & 0xffff_0000),
        ]
    }

    /// Numbers of every kind, ties in both directions among them; a multiple of every vector's
    /// length.
    fn samples() -> Vec<f32> {
        let mut x = numbers(1, 1008);
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::from_bits(0x7fff_ffff),
            f32::MAX,
            f32::MIN_POSITIVE,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            -1.0 - 1.0 / 256.0,
            -1.0 - 3.0 / 256.0,
            1.0 + 1.001 / 256.0,
            1.0 + 0.999 / 256.0,
            1.0,
            1e-30,
        ];
        x.extend(special);
        x
    }

    #[test]
    fn rounding_goes_to_the_nearest_and_ties_to_even() {
        let expected = [
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (-1.0 - 3.0 / 256.0, -1.0 - 4.0 / 256.0),
            (1.0 + 1.001 / 256.0, 1.0 + 2.0 / 256.0),
            (1.0 + 0.999 / 256.0, 1.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ];
        for (x, y) in expected {
            assert_eq!(rounded(x).to_bits(), f32::to_bits(y), "{x} becomes {y}");
        }
        assert!(rounded(f32::NAN).is_nan());
        assert!(rounded(f32::from_bits(0x7fff_ffff)).is_nan());
        for x in numbers(1, 1000) {
            assert!((rounded(x) - x).abs() <= x.abs() / 256.0);
            assert_eq!(rounded(x).to_bits() & 0xffff, 0);
        }
    }

    #[test]
    fn every_instruction_set_makes_the_same_pairs() {
        let x = samples();
        let y: Vec<f32> = x.iter().rev().copied().collect();
        let same = |found: f32, x: f32, what: &str| {
            let nan = found.is_nan() && x.is_nan();
            assert!(
                nan || found.to_bits() == rounded(x).to_bits(),
                "{what} of {x}: {found}"
            );
        };
        for level in Level::available() {
            let mut pairs = vec![0.0; x.len()];
            let mut neighbours = vec![0.0; x.len() / 2];
            all_pairs(level, &x, &y, &mut pairs, &mut neighbours);
            for (pair, (x, y)) in pairs.iter().zip(x.iter().zip(&y)) {
                let [first, second] = halves(*pair);
                same(first, *x, "first");
                same(second, *y, "second");
            }
            for (pair, x) in neighbours.iter().zip(x.chunks(2)) {
                let [first, second] = halves(*pair);
                same(first, x[0], "even");
                same(second, x[1], "odd");
            }
        }
    }

    #[test]
    fn a_dot_adds_both_products() {
        let (x, y, start) = (numbers(1, 512), numbers(2, 512), numbers(3, 256));
        for level in Level::available() {
            let (mut a, mut b) = (vec![0.0; 256], vec![0.0; 256]);
            let mut unused = vec![0.0; 512];
            all_pairs(level, &x, &x, &mut unused, &mut a);
            all_pairs(level, &y, &y, &mut unused, &mut b);
            let mut sums = start.clone();
            all_dots(level, &a, &b, &mut sums);
            for i in 0..256 {
                let term = |j: usize| f64::from(rounded(x[j])) * f64::from(rounded(y[j]));
                let exact = f64::from(start[i]) + term(2 * i) + term(2 * i + 1);
                assert!((f64::from(sums[i]) - exact).abs() < 4e-7, "{level:?}");
            }
        }
    }
}
