//! The registers of AMX: their set-up, and a product in them.
#![expect(
    unsafe_code,
    reason = "instructions and a system call that the standard library lacks"
)]

use super::amx::SIDE;
use super::tile::Sums;
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
pub(super) struct Registers(PhantomData<*const ()>);

impl Registers {
    /// For factors of that many lines of pairs, where [AMX is available](super::amx::is_available).
    pub(super) fn new(lines: usize) -> Self {
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
    // SAFETY: `sum_tile` has checked that there are 32 rows of at least `lines` pairs. The panel
    // has lines of two vectors, and `Sums` has room for 32 rows of two vectors.
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
            to = in(reg) sums.0.as_mut_ptr(),
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
