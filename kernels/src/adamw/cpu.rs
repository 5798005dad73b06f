//! AdamW and the norm by vectors.

use super::{Buffers, Coefficients, Step};
use crate::simd::{Level, Simd, dispatched};

/// The L2 norm.
pub fn norm(x: &[f32]) -> f64 {
    /// Squares that are added in f32 before the sum continues in f64.
    const BLOCK: usize = 4096;
    let level = Level::detect();
    x.chunks(BLOCK)
        .map(|x| f64::from(squares(level, x)))
        .sum::<f64>()
        .sqrt()
}

dispatched! { fn squares(x: &[f32]) -> f32 = squares_with; }

#[inline(always)]
fn squares_with<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    for x in x.chunks(4 * S::LANES) {
        for (sum, x) in sums.iter_mut().zip(x.chunks(S::LANES)) {
            let x = s.load(x);
            *sum = s.mul_add(x, x, *sum);
        }
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// One step of AdamW.
pub fn update(step: &Step, mut buffers: Buffers<'_>) {
    update_at(Level::detect(), step, &mut buffers);
}

pub(crate) fn update_at(level: Level, step: &Step, buffers: &mut Buffers<'_>) {
    let Buffers {
        gradient,
        weights,
        mean,
        square,
    } = buffers;
    run(level, step.coefficients(), gradient, weights, mean, square);
}

dispatched! {
    fn run(
        with: Coefficients,
        gradient: &[f32],
        weights: &mut [f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) = run_with;
}

#[inline(always)]
fn run_with<S: Simd>(
    s: S,
    with: Coefficients,
    gradient: &[f32],
    weights: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let moments = mean.chunks_mut(S::LANES).zip(square.chunks_mut(S::LANES));
    let all = gradient
        .chunks(S::LANES)
        .zip(weights.chunks_mut(S::LANES))
        .zip(moments);
    for ((g, w), (m, v)) in all {
        let g = s.mul(s.load(g), s.splat(with.clip));
        let new_m = s.mul_add(
            s.splat(with.beta_1),
            s.load(m),
            s.mul(s.splat(with.other_1), g),
        );
        let squared = s.mul(s.splat(with.other_2), s.mul(g, g));
        let new_v = s.mul_add(s.splat(with.beta_2), s.load(v), squared);
        let divisor = s.mul_add(s.sqrt(new_v), s.splat(with.root), s.splat(with.epsilon));
        let step = s.div(s.mul(new_m, s.splat(-with.rate)), divisor);
        s.store(s.mul_add(s.load(w), s.splat(with.keep), step), w);
        s.store(new_m, m);
        s.store(new_v, v);
    }
}
