//! AVX-512: sixteen lanes, thirty-two registers.
#![expect(
    unsafe_code,
    reason = "vector intrinsics; `new` demands that the CPU has them"
)]

use super::Simd;
use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _CMP_GT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT,
    _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cmpge_epu32_mask, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_permutex2var_ps,
    _mm512_permutexvar_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_reduce_ps,
    _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_ps,
    _mm512_slli_epi32, _mm512_sqrt_ps, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_xor_si512,
};
use std::f32::consts::{LN_2, SQRT_2};

/// Proof that the CPU has AVX-512 F and DQ.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU must have AVX-512 F and DQ, AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    ((1_u32 << lanes) - 1) as __mmask16
}

/// 2^(k / 16)
const ROOTS_OF_2: [f32; 16] = [
    1.0,
    1.044_273_7,
    1.090_507_7,
    1.138_788_6,
    1.189_207_1,
    1.241_857_8,
    1.296_839_6,
    1.354_255_6,
    SQRT_2,
    1.476_826_2,
    1.542_210_8,
    1.610_490_3,
    1.681_792_9,
    1.756_252_2,
    1.834_008_1,
    1.915_206_6,
];

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        if from.len() >= Self::LANES {
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        } else {
            unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
        }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32]) {
        if to.len() >= Self::LANES {
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
        } else {
            unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), x) }
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn if_positive(self, test: __m512, yes: __m512, no: __m512) -> __m512 {
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(test, _mm512_setzero_ps());
            _mm512_mask_blend_ps(positive, no, yes)
        }
    }

    #[inline(always)]
    fn fraction(self, x: __m512) -> __m512 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe { _mm512_reduce_ps::<NEAREST>(x) }
    }

    #[inline(always)]
    fn times_power_of_2(self, a: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, n) }
    }

    /// x = k / 16 + r with |r| <= 1 / 32; 2^(k / 16) from a table of 16 and 2^r by a polynomial, a
    /// fit made for this file, of relative error 3e-9: three multiplications fewer than the series
    /// for |r| <= 1 / 2.
    #[inline(always)]
    fn powers_of_2<const W: usize>(self, mut x: [__m512; W]) -> [__m512; W] {
        /// Rounds to 4 bits behind the point.
        const SIXTEENTHS: i32 = (4 << 4) | _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        /// A number to which k / 16 is added is left with k in its low bits.
        const ROUND: f32 = super::ROUND / 16.0;
        const FIT: [f32; 3] = [0.055_505_086, 0.240_233_56, LN_2];
        for x in &mut x {
            unsafe {
                let roots = _mm512_loadu_ps(ROOTS_OF_2.as_ptr());
                let r = _mm512_reduce_ps::<SIXTEENTHS>(*x);
                let rest = _mm512_sub_ps(*x, r);
                let k = _mm512_castps_si512(_mm512_add_ps(rest, _mm512_set1_ps(ROUND)));
                let root = _mm512_permutexvar_ps(k, roots);
                let mut fit = _mm512_set1_ps(FIT[0]);
                for coefficient in &FIT[1..] {
                    fit = _mm512_fmadd_ps(fit, r, _mm512_set1_ps(*coefficient));
                }
                let power = _mm512_fmadd_ps(root, _mm512_mul_ps(fit, r), root);
                *x = _mm512_scalef_ps(power, rest);
            }
        }
        x
    }

    #[inline(always)]
    fn zip(self, a: __m512, b: __m512) -> (__m512, __m512) {
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high =
                _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (
                _mm512_permutex2var_ps(a, low, b),
                _mm512_permutex2var_ps(a, high, b),
            )
        }
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }

    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    fn splat_bits(self, x: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn count_from(self, start: u32) -> __m512i {
        unsafe {
            let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            _mm512_add_epi32(self.splat_bits(start), lane)
        }
    }

    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        unsafe { _mm512_castps_si512(a) }
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        unsafe { _mm512_castsi512_ps(a) }
    }

    #[inline(always)]
    fn add_bits(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn mul_bits(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self, a: __m512i) -> __m512i {
        unsafe { _mm512_srli_epi32::<N>(a) }
    }

    #[inline(always)]
    fn shift_left<const N: u32>(self, a: __m512i) -> __m512i {
        unsafe { _mm512_slli_epi32::<N>(a) }
    }

    #[inline(always)]
    fn keep_at_least(self, a: __m512i, least: __m512i, value: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(a, least), value) }
    }
}
