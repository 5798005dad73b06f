//! The CPU engine.
#![expect(clippy::inline_always, reason = "vector code must be inlined into the function that has the CPU's features")]

pub(crate) mod buffer;
pub mod linear;
pub mod real;
pub mod simd;
#[cfg(test)]
pub(crate) mod testing;

/// Temporary probe.
#[expect(clippy::print_stdout, clippy::missing_panics_doc, missing_docs)]
pub fn probe() {
    use linear::cpu::*; use linear::finish::*; use simd::Level; use buffer::Buffer;
    for level in Level::available() {
        for (rows, k, n) in [(236, 128, 384), (236, 128, 512), (236, 512, 128), (236, 128, 128), (80,128,512), (118, 512, 2048), (118, 2048, 512), (59,128,512)] {
            let mut x = Buffer::zeros(rows * k); x.fill(0.5);
            let mut w = Buffer::zeros(n * k); w.fill(0.5);
            let mut y = Buffer::zeros(rows * n);
            let mut p = Panels::default();
            p.pack(level, &w, n, k, n, None);
            let mut best = [f64::MAX; 3];
            let mut q = Panels::default();
            for _ in 0..30 {
                let t = std::time::Instant::now();
                product(level, Left::rows(&x, rows, k), p.all(), Store { to: &mut y, stride: n });
                best[0] = best[0].min(t.elapsed().as_secs_f64());
                let t = std::time::Instant::now();
                q.pack(level, &y, n, rows, n, None);
                best[2] = best[2].min(t.elapsed().as_secs_f64());
                let t = std::time::Instant::now();
                product(level, Left::columns(&x, rows, k), q.all(), Accumulate { to: &mut w, stride: n });
                best[1] = best[1].min(t.elapsed().as_secs_f64());
                w.fill(0.5);
            }
            let flop = 2.0 * (rows * k * n) as f64 / 1e9;
            println!("{level:?} {rows}x{k}x{n}: forward {:.1}  weight {:.1} GFLOP/s (pack {:.1}%)", flop / best[0], flop / best[1], 100.0*best[2]/best[1]);
        }
    }
}
