//! AVX2 with FMA: eight lanes, sixteen registers.
#![expect(
    unsafe_code,
    reason = "vector intrinsics; `new` demands that the CPU has them"
)]

use super::Simd;
use std::arch::x86_64::{
    __m256, __m256i, _CMP_GT_OQ, _mm_add_ps, _mm_add_ss, _mm_cvtsi32_si128, _mm_cvtss_f32,
    _mm_max_ps, _mm_max_ss, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_ps, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castps256_ps128,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpeq_epi32, _mm256_div_ps, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps,
    _mm256_max_epu32, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_mullo_epi32,
    _mm256_permute2f128_ps, _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setzero_ps, _mm256_sll_epi32, _mm256_slli_epi32, _mm256_sqrt_ps,
    _mm256_srl_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    _mm256_xor_si256,
};
use std::f32::consts::LN_2;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

/// All bits set in the first lanes.
#[inline(always)]
fn first(lanes: usize) -> __m256i {
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    unsafe { _mm256_loadu_si256(MASKS[8 - lanes..].as_ptr().cast()) }
}

/// The bits of 2^(j / 8), less j of the bits that [`Avx2::powers_of_2`] adds.
const ROOTS_OF_2: [u32; 8] = [
    0x3f80_0000,
    0x3f7b_95c2,
    0x3f78_37f0,
    0x3f75_fed7,
    0x3f75_04f3,
    0x3f75_672a,
    0x3f77_44fd,
    0x3f7a_c0c7,
];

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        if from.len() >= Self::LANES {
            unsafe { _mm256_loadu_ps(from.as_ptr()) }
        } else {
            unsafe { _mm256_maskload_ps(from.as_ptr(), first(from.len())) }
        }
    }

    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32]) {
        if to.len() >= Self::LANES {
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
        } else {
            unsafe { _mm256_maskstore_ps(to.as_mut_ptr(), first(to.len()), x) }
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn if_positive(self, test: __m256, yes: __m256, no: __m256) -> __m256 {
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(test, _mm256_setzero_ps());
            _mm256_blendv_ps(no, yes, positive)
        }
    }

    /// x = k / 8 + r with |r| <= 1 / 16. An eighth is a bit above bit 20: k of them, added to the
    /// bits of 2^(j / 8) less j of them, with j = k mod 8, give 2^(k / 8). 2^r is a polynomial, a
    /// fit made for this file, of relative error 3e-8.
    #[inline(always)]
    fn powers_of_2<const W: usize>(self, mut x: [__m256; W]) -> [__m256; W] {
        /// A number to which k / 8 is added is left with k in its low bits.
        const ROUND: f32 = super::ROUND / 8.0;
        const FIT: [f32; 3] = [0.055_496_22, 0.240_257_63, LN_2];
        for x in &mut x {
            unsafe {
                let roots = _mm256_loadu_ps(ROOTS_OF_2.as_ptr().cast());
                let least = _mm256_max_ps(_mm256_set1_ps(-126.0), *x);
                let rounded = _mm256_add_ps(least, _mm256_set1_ps(ROUND));
                let r = _mm256_sub_ps(least, _mm256_sub_ps(rounded, _mm256_set1_ps(ROUND)));
                let k = _mm256_castps_si256(rounded);
                let root = _mm256_castps_si256(_mm256_permutevar8x32_ps(roots, k));
                let power = _mm256_add_epi32(root, _mm256_slli_epi32::<20>(k));
                let power = _mm256_castsi256_ps(power);
                let mut fit = _mm256_set1_ps(FIT[0]);
                for coefficient in &FIT[1..] {
                    fit = _mm256_fmadd_ps(fit, r, _mm256_set1_ps(*coefficient));
                }
                *x = _mm256_fmadd_ps(power, _mm256_mul_ps(fit, r), power);
            }
        }
        x
    }

    #[inline(always)]
    fn zip(self, a: __m256, b: __m256) -> (__m256, __m256) {
        unsafe {
            let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let low = _mm256_permute2f128_ps::<0x20>(even, odd);
            (low, _mm256_permute2f128_ps::<0x31>(even, odd))
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn splat_bits(self, x: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn count_from(self, start: u32) -> __m256i {
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_add_epi32(self.splat_bits(start), lane)
        }
    }

    #[inline(always)]
    fn bits(self, a: __m256) -> __m256i {
        unsafe { _mm256_castps_si256(a) }
    }

    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        unsafe { _mm256_castsi256_ps(a) }
    }

    #[inline(always)]
    fn add_bits(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn mul_bits(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self, a: __m256i) -> __m256i {
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }

    #[inline(always)]
    fn shift_left<const N: u32>(self, a: __m256i) -> __m256i {
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }

    #[inline(always)]
    fn keep_at_least(self, a: __m256i, least: __m256i, value: __m256) -> __m256 {
        unsafe {
            let keep = _mm256_cmpeq_epi32(_mm256_max_epu32(a, least), a);
            _mm256_and_ps(_mm256_castsi256_ps(keep), value)
        }
    }
}
