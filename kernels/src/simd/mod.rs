//! Vectors of f32 and the choice of the instruction set.
//!
//! A kernel's inner loop is written once, generic over `Simd`, and the macro `dispatched!` compiles
//! it for every instruction set of the platform: AVX-512, AVX2 with FMA, and the compiler's
//! baseline ("plain": SSE2 on x86-64, NEON on ARM). Which of them runs is decided at run time by a
//! [`Level`], a proof that the CPU can do it.
//!
//! `Simd::load` and `Simd::store` accept slices shorter than a vector, so loops over odd widths
//! need no tail: missing lanes read as zero and are not written.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod functions;
pub(crate) mod pairs;
mod plain;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use plain::Plain;

use std::ops::Range;
use std::sync::OnceLock;

/// Environment variable that forces an instruction set: `avx512`, `avx2` or `plain`. With any of
/// them, products of bfloat16 pairs do not use AMX.
pub const SIMD_VARIABLE: &str = "RTG_SIMD";

/// A vector instruction set this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Plain,
}

impl Level {
    /// The compiler's baseline.
    pub const PLAIN: Self = Self(Kind::Plain);

    /// The widest instruction set of this CPU, or the one that [`SIMD_VARIABLE`] names. A name that
    /// is unknown or that the CPU lacks is ignored.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Level> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let widest = Self::available()[0];
            Self::forced().unwrap_or(widest)
        })
    }

    /// The instruction set that [`SIMD_VARIABLE`] names, if it names one that this CPU has.
    pub fn forced() -> Option<Self> {
        let name = std::env::var(SIMD_VARIABLE).ok()?;
        Self::available()
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// Every instruction set this CPU can run, widest first.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
            {
                levels.push(Self(Kind::Avx512));
            }
            if has_avx2 {
                levels.push(Self(Kind::Avx2));
            }
        }
        levels.push(Self(Kind::Plain));
        levels
    }

    /// The value of [`SIMD_VARIABLE`].
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Plain => "plain",
        }
    }

    /// Whether it has an instruction for products of bfloat16 pairs.
    pub fn multiplies_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Avx512 {
            return is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
        }
        false
    }

    /// f32 numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::LANES,
            Kind::Plain => Plain::LANES,
        }
    }

    /// Rows of a matrix product's register tile.
    pub(crate) fn tile_rows(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::TILE_ROWS,
            Kind::Plain => Plain::TILE_ROWS,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// 1.5 2^23: a number to which it is added is rounded to a whole one, which is left in the low
/// bits.
const ROUND: f32 = 12_582_912.0;

/// Fetches a range of numbers into the nearest cache, as far as there are any, where the CPU has an
/// instruction for that.
#[inline(always)]
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the addresses lie within the slice")
)]
pub(crate) fn prefetch(numbers: &[f32], range: Range<usize>) {
    /// Numbers in a cache line.
    const LINE: usize = 16;
    #[cfg(target_arch = "x86_64")]
    for number in numbers[range.start.min(numbers.len())..range.end.min(numbers.len())]
        .iter()
        .step_by(LINE)
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(number).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (numbers, range, LINE);
}

/// The vector operations of the kernels. A value of the type is the proof that they may run.
pub(crate) trait Simd: Copy {
    /// A vector of f32.
    type F: Copy;
    /// A vector of u32, of the same length.
    type I: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Rows of a matrix product's register tile, two vectors wide (see `linear`).
    const TILE_ROWS: usize;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, from: &[f32]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a b + c, rounded once where the hardware can.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `yes` in the lanes where `test > 0`, else `no`.
    fn if_positive(self, test: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// x less the whole number nearest to it, |x| below 2^22.
    #[inline(always)]
    fn fraction(self, x: Self::F) -> Self::F {
        let round = self.splat(ROUND);
        self.sub(x, self.sub(self.add(x, round), round))
    }
    /// a 2^n, for whole n from -126 to 127.
    #[inline(always)]
    fn times_power_of_2(self, a: Self::F, n: Self::F) -> Self::F {
        let bits = self.bits(self.add(n, self.splat(ROUND)));
        let power = self.add_bits(self.shift_left::<23>(bits), self.splat_bits(0x3f80_0000));
        self.mul(a, self.to_float(power))
    }
    /// See [`functions::powers_of_2`].
    #[inline(always)]
    fn powers_of_2<const W: usize>(self, x: [Self::F; W]) -> [Self::F; W] {
        functions::powers_by_series(self, x)
    }
    /// `a[0], b[0], a[1], b[1], ...`, in two vectors.
    fn zip(self, a: Self::F, b: Self::F) -> (Self::F, Self::F);
    /// The lanes added up, in a fixed order.
    fn sum(self, a: Self::F) -> f32;
    /// The largest lane.
    fn largest(self, a: Self::F) -> f32;

    fn splat_bits(self, x: u32) -> Self::I;
    /// `start, start + 1, ...`
    fn count_from(self, start: u32) -> Self::I;
    fn bits(self, a: Self::F) -> Self::I;
    fn to_float(self, a: Self::I) -> Self::F;
    /// Wrapping sum.
    fn add_bits(self, a: Self::I, b: Self::I) -> Self::I;
    /// Wrapping product.
    fn mul_bits(self, a: Self::I, b: Self::I) -> Self::I;
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    fn shift_right<const N: u32>(self, a: Self::I) -> Self::I;
    fn shift_left<const N: u32>(self, a: Self::I) -> Self::I;
    /// `value` in the lanes where `a >= least` (unsigned), else zero.
    fn keep_at_least(self, a: Self::I, least: Self::I, value: Self::F) -> Self::F;
}

/// Compiles `$body`, a function generic over [`Simd`] whose first argument is the vector set, for
/// each instruction set, under a function of the given signature whose first argument is the
/// [`Level`].
macro_rules! dispatched {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$generic:ident: $bound:path>)? (
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? = $body:ident;
    ) => {
        $(#[$attribute])*
        $visibility fn $name $(<$generic: $bound>)? (
            level: $crate::simd::Level,
            $($argument: $type),*
        ) $(-> $output)? {
            use $crate::simd::{Kind, Plain};
            #[cfg(target_arch = "x86_64")]
            use $crate::simd::{Avx2, Avx512};

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
            #[expect(unsafe_code, reason = "the attribute above proves the features")]
            fn avx512 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $output)? {
                $body(unsafe { Avx512::new() }, $($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[expect(unsafe_code, reason = "the attribute above proves the features")]
            fn avx2 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $output)? {
                $body(unsafe { Avx2::new() }, $($argument),*)
            }

            #[cfg_attr(
                target_arch = "x86_64",
                expect(unsafe_code, reason = "a Level exists only after detection")
            )]
            match level.kind() {
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => unsafe { avx2($($argument),*) },
                Kind::Plain => $body(Plain, $($argument),*),
            }
        }
    };
}
pub(crate) use dispatched;
