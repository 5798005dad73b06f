//! The tile of bfloat16 pairs in AMX's matrix registers, of Intel's Xeons since 2023.
//!
//! A register holds 16 rows of 64 bytes. One instruction adds the product of 16 rows of 16 pairs and
//! 16 lines of 16 columns of pairs to 16 x 16 sums: 16 times as many operations as one on vectors.
//! Four registers have the sums of 32 rows and two vectors of columns. The right factor's panels
//! ([`Panels`](super::cpu::Panels)) have the order of such registers already; the left factor is copied into rows of pairs.
//!
//! Sums are f32 in the order of the depth; numbers below the least normal one are zero (Intel's
//! manual, TDPBF16PS).

use super::cpu::Left;
use super::tile::{Operands, Sums};
use crate::buffer::Buffer;
use crate::simd::pairs::{MOST_LANES, Pairs, dispatched_pairs};
use crate::simd::{Level, Simd};

/// Rows of sums.
pub(super) const ROWS: usize = 32;

/// Rows of a register, and the pairs in one of them.
const SIDE: usize = 16;

/// Whether products of this level use AMX: the CPU has it and AVX512-BF16, the system lets this
/// process use it, and no instruction set is forced.
pub(super) fn is_available(level: Level) -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        use std::sync::OnceLock;

        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        level.multiplies_pairs()
            && *AVAILABLE.get_or_init(|| {
                Level::forced().is_none() && registers::cpu_has() && registers::request()
            })
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        let _ = level;
        false
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use registers::Registers;

/// There are none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(super) struct Registers;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Registers {
    pub(super) fn new(_lines: usize) -> Self {
        Self
    }
}

/// Copies a left factor of this depth into `memory`: rows of pairs, up to a whole number of
/// [`ROWS`], of which those beyond the last have any numbers.
pub(super) fn pack_left<'a>(
    level: Level,
    left: Left<'_>,
    depth: usize,
    memory: &'a mut Buffer,
) -> Left<'a> {
    // An odd number of cache lines, so that the rows of a register do not map to one set of the
    // cache.
    let stride = (depth.div_ceil(2).div_ceil(SIDE) | 1) * SIDE;
    memory.resize(left.rows.next_multiple_of(ROWS) * stride);
    if left.depth_stride == 1 {
        let rows = &mut memory[..left.rows * stride];
        super::pairs::pack_rows(level, left, depth, stride, rows);
    } else {
        pack_columns(level, left, depth, stride, memory);
    }
    Left {
        data: memory,
        row_stride: stride,
        depth_stride: 1,
        ..left
    }
}

dispatched_pairs! {
    /// Columns as rows of pairs, `stride` apart.
    fn pack_columns(left: Left<'_>, depth: usize, stride: usize, to: &mut [f32]) = pack_columns_of;
}

#[inline(always)]
fn pack_columns_of<P: Pairs>(p: P, left: Left<'_>, depth: usize, stride: usize, to: &mut [f32]) {
    let (s, lanes) = (p.simd(), P::S::LANES);
    for row in (0..left.rows).step_by(lanes) {
        let from = &left.data[row..];
        let columns = 0..lanes.min(left.rows - row);
        for line in (0..depth.div_ceil(2)).step_by(lanes) {
            let lines = line..depth.div_ceil(2).min(line + lanes);
            let mut square = [s.splat(0.0); MOST_LANES];
            for (line, pairs) in lines.zip(&mut square) {
                let stride = left.depth_stride;
                let (first, second) =
                    super::pairs::two_lines(p, from, stride, depth, line, columns.clone());
                *pairs = p.pair(first, second);
            }
            super::cpu::transpose(s, &mut square);
            for (r, pairs) in square[..lanes].iter().enumerate().take(columns.end) {
                let start = (row + r) * stride + line;
                s.store(*pairs, &mut to[start..start + lanes]);
            }
        }
    }
}

/// The [`SumTile`](super::tile::SumTile) of pairs in AMX's [`Registers`], which are set up.
pub(super) fn sum_tile(_: Level, operands: Operands<'_>, sums: &mut Sums) -> usize {
    let Operands {
        left, row, panel, ..
    } = operands;
    let start = row * left.row_stride;
    let lines = panel.len() / (2 * SIDE);
    assert!(
        start + ROWS * left.row_stride <= left.data.len()
            && lines <= left.row_stride
            && left.depth_stride == 1,
        "the left factor has whole registers of rows"
    );
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    registers::sum(&left.data[start..], left.row_stride, panel, lines, sums);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = sums;
    ROWS.min(left.rows - row)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(
    unsafe_code,
    reason = "instructions and a system call that the standard library lacks"
)]
mod registers {
    use super::{SIDE, Sums};
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    use std::marker::PhantomData;

    /// AMX-TILE and AMX-BF16, and that the system saves the registers (Intel's manual, CPUID).
    pub(super) fn cpu_has() -> bool {
        const OSXSAVE: u32 = 1 << 27;
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
            return false;
        }
        __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE
    }

    /// Asks Linux for the registers' memory in each thread's state: `arch_prctl` with
    /// `ARCH_REQ_XCOMP_PERM`. It refuses where the system does not save them.
    pub(super) fn request() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let result: i64;
        // SAFETY: the call reads and writes no memory of this process.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    /// The operand of LDTILECFG.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    impl Shapes {
        /// Six registers of whole size; then one of left and one of right factors for the last
        /// lines, fewer than [`SIDE`].
        fn new(last: usize) -> Self {
            let mut shapes = Self {
                palette: 1,
                start_row: 0,
                reserved: [0; 14],
                row_bytes: [0; 16],
                rows: [0; 16],
            };
            shapes.row_bytes[..8].fill(4 * SIDE as u16);
            shapes.rows[..8].fill(SIDE as u8);
            if last > 0 {
                shapes.row_bytes[6] = 4 * last as u16;
                shapes.rows[7] = last as u8;
            }
            shapes
        }
    }

    /// The registers of this thread, as [`sum`] expects them, until this is dropped.
    pub(in super::super) struct Registers(PhantomData<*const ()>);

    impl Registers {
        /// For factors of that many lines of pairs, where [`super::is_available`].
        pub(in super::super) fn new(lines: usize) -> Self {
            let shapes = Shapes::new(lines % SIDE);
            // SAFETY: the CPU has the registers, and the operand is valid.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly));
            }
            Self(PhantomData)
        }
    }

    impl Drop for Registers {
        fn drop(&mut self) {
            // SAFETY: gives back what `new` has set up. Without it, the system would save eight
            // kilobytes whenever it stops the thread.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }

    /// The sums of 32 rows of pairs, `stride` apart, and a panel of `lines` lines.
    pub(super) fn sum(left: &[f32], stride: usize, panel: &[f32], lines: usize, sums: &mut Sums) {
        let last = lines % SIDE;
        // SAFETY: `sum_tile` has checked that there are 32 rows of at least `lines` pairs; the panel
        // has lines of two vectors; `Sums` has room for 32 rows of two vectors.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "test {whole}, {whole}",
                "jz 3f",
                "2:",
                "tileloadd tmm4, [{a}+{a_stride}*1]",
                "tileloadd tmm5, [{b}+{b_stride}*1]",
                "tdpbf16ps tmm0, tmm4, tmm5",
                "tileloadd tmm5, [{b}+{b_stride}*1+64]",
                "tdpbf16ps tmm1, tmm4, tmm5",
                "tileloadd tmm4, [{c}+{a_stride}*1]",
                "tdpbf16ps tmm3, tmm4, tmm5",
                "tileloadd tmm5, [{b}+{b_stride}*1]",
                "tdpbf16ps tmm2, tmm4, tmm5",
                "add {a}, 64",
                "add {c}, 64",
                "add {b}, 2048",
                "dec {whole}",
                "jnz 2b",
                "3:",
                "test {last}, {last}",
                "jz 4f",
                "tileloadd tmm6, [{a}+{a_stride}*1]",
                "tileloadd tmm7, [{b}+{b_stride}*1]",
                "tdpbf16ps tmm0, tmm6, tmm7",
                "tileloadd tmm7, [{b}+{b_stride}*1+64]",
                "tdpbf16ps tmm1, tmm6, tmm7",
                "tileloadd tmm6, [{c}+{a_stride}*1]",
                "tdpbf16ps tmm3, tmm6, tmm7",
                "tileloadd tmm7, [{b}+{b_stride}*1]",
                "tdpbf16ps tmm2, tmm6, tmm7",
                "4:",
                "tilestored [{to}+{b_stride}*1], tmm0",
                "tilestored [{to}+{b_stride}*1+64], tmm1",
                "tilestored [{to}+{b_stride}*1+2048], tmm2",
                "tilestored [{to}+{b_stride}*1+2112], tmm3",
                whole = inout(reg) lines / SIDE => _,
                last = in(reg) last,
                a = inout(reg) left.as_ptr() => _,
                c = inout(reg) left[SIDE * stride..].as_ptr() => _,
                a_stride = in(reg) 4 * stride,
                b = inout(reg) panel.as_ptr() => _,
                b_stride = in(reg) 8 * SIDE,
                to = in(reg) sums.as_mut_ptr(),
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }
}
