//! The precision of the factors of the large products.

use super::real::Real;
use super::simd::Level;
use super::simd::pairs;

/// The type of the factors in the large products of training: queries, keys, values, projection and
/// MLP, forward and backward.
///
/// Everything else is f32 in either case: the sums of these products, the residual stream, norms,
/// softmax, the parameters and their gradients, `AdamW`, and acting. With `Bf16` a GPU rounds what
/// attention multiplies, too, in heads of at most 128 channels, a multiple of 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32 factors.
    #[default]
    F32,
    /// TF32 factors, f32 rounded to 11 significant bits, on the tensor cores of a GPU; f32 sums.
    /// Not on CPUs.
    Tf32,
    /// bfloat16 factors, f32 rounded to the nearest of 8 significant bits, ties to even; f32 sums.
    /// Products take half the time on AMD's CPUs with AVX512-BF16, and less on Intel's, with AMX.
    Bf16,
}

impl Precision {
    /// Whether an [`Engine`](super::decision_transformer::Engine) can have this precision here.
    /// `Bf16` needs a CPU with AVX512-BF16. It is emulated, slowly, where
    /// [`SIMD_VARIABLE`](super::simd::SIMD_VARIABLE) is `plain`.
    pub fn is_available(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Tf32 => false,
            Self::Bf16 => {
                Level::detect().multiplies_pairs() || Level::forced() == Some(Level::PLAIN)
            }
        }
    }

    /// The factors of a product in this precision, for a naive reference.
    pub(crate) fn round<R: Real>(self, x: &[R]) -> Vec<R> {
        let round = |x: &R| match self {
            Self::F32 => *x,
            // Ties go away from zero.
            Self::Tf32 => {
                let bits = (x.to_f64() as f32).to_bits();
                R::from_f64(f32::from_bits((bits + 0x1000) & !0x1fff).into())
            }
            Self::Bf16 => R::from_f64(pairs::rounded(x.to_f64() as f32).into()),
        };
        x.iter().map(round).collect()
    }
}
