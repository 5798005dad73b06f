//! The compiler's baseline: short arrays, which it turns into the vectors that every CPU of the
//! platform has.

use super::Simd;
use std::array::from_fn;

const LANES: usize = 4;

/// The vectors of the compiler's baseline.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

type F = [f32; LANES];
type I = [u32; LANES];

impl Simd for Plain {
    type F = F;
    type I = I;
    const LANES: usize = LANES;
    const TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> F {
        if let Some(full) = from.first_chunk::<LANES>() {
            *full
        } else {
            from_fn(|lane| from.get(lane).copied().unwrap_or(0.0))
        }
    }

    #[inline(always)]
    fn store(self, x: F, to: &mut [f32]) {
        if let Some(full) = to.first_chunk_mut::<LANES>() {
            *full = x;
        } else {
            for (to, x) in to.iter_mut().zip(x) {
                *to = x;
            }
        }
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        from_fn(|lane| a[lane] / b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        // Without the instruction, `f32::mul_add` is a slow library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
        } else {
            from_fn(|lane| a[lane] * b[lane] + c[lane])
        }
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn sqrt(self, a: F) -> F {
        from_fn(|lane| a[lane].sqrt())
    }

    #[inline(always)]
    fn if_positive(self, test: F, yes: F, no: F) -> F {
        from_fn(|lane| {
            if test[lane] > 0.0 {
                yes[lane]
            } else {
                no[lane]
            }
        })
    }

    #[inline(always)]
    fn zip(self, a: F, b: F) -> (F, F) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }

    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }

    #[inline(always)]
    fn largest(self, a: F) -> f32 {
        a[0].max(a[2]).max(a[1].max(a[3]))
    }

    #[inline(always)]
    fn splat_bits(self, x: u32) -> I {
        [x; LANES]
    }

    #[inline(always)]
    fn count_from(self, start: u32) -> I {
        from_fn(|lane| start.wrapping_add(lane as u32))
    }

    #[inline(always)]
    fn bits(self, a: F) -> I {
        a.map(f32::to_bits)
    }

    #[inline(always)]
    fn to_float(self, a: I) -> F {
        a.map(f32::from_bits)
    }

    #[inline(always)]
    fn add_bits(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn mul_bits(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane].wrapping_mul(b[lane]))
    }

    #[inline(always)]
    fn xor(self, a: I, b: I) -> I {
        from_fn(|lane| a[lane] ^ b[lane])
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self, a: I) -> I {
        a.map(|x| x >> N)
    }

    #[inline(always)]
    fn shift_left<const N: u32>(self, a: I) -> I {
        a.map(|x| x << N)
    }

    #[inline(always)]
    fn keep_at_least(self, a: I, least: I, value: F) -> F {
        from_fn(|lane| {
            if a[lane] >= least[lane] {
                value[lane]
            } else {
                0.0
            }
        })
    }
}
