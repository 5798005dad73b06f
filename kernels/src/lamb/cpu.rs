//! LAMB by vectors.

use super::Parameter;
use crate::adamw::{self, Buffers, Coefficients};
use crate::simd::{Level, Simd, dispatched};
use std::ops::Range;

/// Numbers whose squares are added in f32 before the sum continues in f64.
const BLOCK: usize = 4096;

/// The numbers of one update, the same for every element: AdamW's, with its rate 1, and the decay.
#[derive(Clone, Copy)]
struct Step {
    adamw: Coefficients,
    decay: f32,
}

/// One step of a parameter.
pub(crate) fn update_at(
    level: Level,
    step: &adamw::Step,
    parameter: Parameter,
    buffers: &mut Buffers<'_>,
) {
    let (row, width) = if parameter.width < parameter.columns {
        (parameter.columns, parameter.width)
    } else {
        (BLOCK, BLOCK)
    };
    for start in (0..row).step_by(width) {
        let columns = start..row.min(start + width);
        update_columns(level, step, (row, columns), buffers);
    }
}

/// One step of a tensor: these columns of rows of this length, of which the last may be shorter.
fn update_columns(
    level: Level,
    step: &adamw::Step,
    (row, columns): (usize, Range<usize>),
    buffers: &mut Buffers<'_>,
) {
    let Buffers {
        gradient,
        weights,
        mean,
        square,
    } = buffers;
    let of = |numbers: usize| columns.start..columns.end.min(numbers);
    let constants = step.constants;
    let with = Step {
        adamw: constants.coefficients(1.0, step.number, step.clip),
        decay: constants.decay as f32,
    };
    let (mut of_weights, mut of_steps) = (0.0, 0.0);
    let moments = mean.chunks_mut(row).zip(square.chunks_mut(row));
    let rows = gradient.chunks(row).zip(weights.chunks(row)).zip(moments);
    for ((gradient, weights), (mean, square)) in rows {
        let at = of(weights.len());
        let (gradient, weights) = (&gradient[at.clone()], &weights[at.clone()]);
        let (mean, square) = (&mut mean[at.clone()], &mut square[at]);
        let [weights, steps] = moments_at(level, with, gradient, weights, mean, square);
        of_weights += f64::from(weights);
        of_steps += f64::from(steps);
    }
    let ratio = if of_weights > 0.0 && of_steps > 0.0 {
        (of_weights / of_steps).sqrt()
    } else {
        1.0
    };
    let rate = (step.rate * ratio) as f32;
    let moments = mean.chunks(row).zip(square.chunks(row));
    for (weights, (mean, square)) in weights.chunks_mut(row).zip(moments) {
        let at = of(weights.len());
        let (mean, square) = (&mean[at.clone()], &square[at.clone()]);
        move_at(level, with, rate, &mut weights[at], mean, square);
    }
}

dispatched! {
    fn moments_at(
        with: Step,
        gradient: &[f32],
        weights: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) -> [f32; 2] = moments_with;
}

/// u of some weights, from their new moments.
#[inline(always)]
fn direction<S: Simd>(s: S, with: Step, w: S::F, m: S::F, v: S::F) -> S::F {
    let Coefficients {
        root,
        epsilon,
        rate,
        ..
    } = with.adamw;
    let divisor = s.mul_add(s.sqrt(v), s.splat(root), s.splat(epsilon));
    let adam = s.div(s.mul(m, s.splat(rate)), divisor);
    s.mul_add(w, s.splat(with.decay), adam)
}

/// Updates the moments; the squares of w and of u.
#[inline(always)]
fn moments_with<S: Simd>(
    s: S,
    with: Step,
    gradient: &[f32],
    weights: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
) -> [f32; 2] {
    let at = with.adamw;
    let mut sums = [s.splat(0.0); 2];
    let moments = mean.chunks_mut(S::LANES).zip(square.chunks_mut(S::LANES));
    let all = gradient
        .chunks(S::LANES)
        .zip(weights.chunks(S::LANES))
        .zip(moments);
    for ((g, w), (m, v)) in all {
        let g = s.mul(s.load(g), s.splat(at.clip));
        let w = s.load(w);
        let new_m = s.mul_add(s.splat(at.beta_1), s.load(m), s.mul(s.splat(at.other_1), g));
        let squared = s.mul(s.splat(at.other_2), s.mul(g, g));
        let new_v = s.mul_add(s.splat(at.beta_2), s.load(v), squared);
        let u = direction(s, with, w, new_m, new_v);
        sums = [s.mul_add(w, w, sums[0]), s.mul_add(u, u, sums[1])];
        s.store(new_m, m);
        s.store(new_v, v);
    }
    sums.map(|sum| s.sum(sum))
}

dispatched! {
    fn move_at(with: Step, rate: f32, weights: &mut [f32], mean: &[f32], square: &[f32])
        = move_with;
}

#[inline(always)]
fn move_with<S: Simd>(
    s: S,
    with: Step,
    rate: f32,
    weights: &mut [f32],
    mean: &[f32],
    square: &[f32],
) {
    let moments = mean.chunks(S::LANES).zip(square.chunks(S::LANES));
    for (to, (m, v)) in weights.chunks_mut(S::LANES).zip(moments) {
        let w = s.load(to);
        let u = direction(s, with, w, s.load(m), s.load(v));
        s.store(s.mul_add(s.splat(-rate), u, w), to);
    }
}
