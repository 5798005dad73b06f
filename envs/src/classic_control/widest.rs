//! Loops over columns, compiled for the widest vectors that the CPU has.
//!
//! The loops are plain Rust that the compiler vectorises. Multiplications and additions are not
//! fused on any instruction set, so all of them give the same bits.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a function compiled for more than the baseline may be called after detection only"
    )
)]

/// A loop.
pub(super) trait Work {
    /// Runs it. Implementations are always inlined, with everything that they call.
    fn run(self);
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

impl Vectors {
    /// The instruction sets of this CPU, widest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [Self::Avx512, Self::Avx2, Self::Baseline];
        #[cfg(not(target_arch = "x86_64"))]
        let all = [Self::Baseline];
        all.into_iter().filter(|vectors| vectors.is_available())
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Baseline => true,
        }
    }

    /// The widest of this CPU.
    pub(super) fn widest() -> Self {
        Self::available().next().unwrap_or(Self::Baseline)
    }

    /// Runs a loop, with this instruction set if the CPU has it.
    pub(super) fn run(self, work: impl Work) {
        match self {
            // SAFETY: the features have just been detected.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if self.is_available() => unsafe { avx512(work) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if self.is_available() => unsafe { avx2(work) },
            _ => work.run(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2")]
fn avx512(work: impl Work) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(work: impl Work) {
    work.run();
}
