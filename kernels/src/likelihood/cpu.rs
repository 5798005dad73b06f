//! The loss of rows of a few numbers, and the action that a sample of the noise gives.

use super::{Deviation, FREE, LARGEST, Likelihood, LikelihoodScales, Numbers, SQUASHED};

/// log(2 pi) / 2.
const LOG_ROOT_TAU: f32 = 0.918_938_5;

/// log sigma and its slope at raw, where it depends on the state.
fn squashed(raw: f32) -> (f32, f32) {
    let [low, high] = SQUASHED;
    let (half, t) = (0.5 * (high - low), raw.tanh());
    (low + half * (1.0 + t), half * (1.0 - t * t))
}

/// log sigma and its slope at raw, where it is free.
fn free(raw: f32) -> (f32, f32) {
    let [low, high] = FREE;
    let inside = (low..=high).contains(&raw);
    (raw.clamp(low, high), f32::from(u8::from(inside)))
}

/// log(1 - tanh^2 u), without cancellation.
fn log_slope(u: f32) -> f32 {
    let u = u.abs();
    2.0 * (std::f32::consts::LN_2 - u - (-2.0 * u).exp().ln_1p())
}

/// The part of the loss of these steps; writes the gradients at z (steps x A) and l (as many
/// numbers as it has).
pub(crate) fn loss(
    scales: LikelihoodScales,
    numbers: Numbers<'_, f32>,
    dmeans: &mut [f32],
    draw: &mut [f32],
) -> Likelihood {
    let part = 1.0 / scales.count as f64;
    let sums = match scales.deviation {
        Deviation::Squashed => squashed_loss(scales, part as f32, numbers, dmeans, draw),
        Deviation::Free => free_loss(scales, part as f32, numbers, dmeans, draw),
    };
    Likelihood {
        negative_log: sums.negative_log * part,
        entropy: sums.entropy * part,
    }
}

fn squashed_loss(
    scales: LikelihoodScales,
    part: f32,
    numbers: Numbers<'_, f32>,
    dmeans: &mut [f32],
    draw: &mut [f32],
) -> Likelihood {
    let (alpha, largest) = (scales.temperature, f64::from(LARGEST));
    let mut sums = Likelihood::default();
    let given =
        (numbers.means.iter().zip(numbers.raw)).zip(numbers.actions.iter().zip(numbers.noise));
    for (((z, raw), (action, e)), (dz, draw)) in given.zip(dmeans.iter_mut().zip(draw)) {
        let (s, slope) = squashed(*raw);
        let sigma = s.exp();
        // Near 1, a rounded quotient would have another atanh.
        let a = (f64::from(*action) / f64::from(scales.largest)).clamp(-largest, largest);
        let x = 0.5 * (a.ln_1p() - (-a).ln_1p());
        let d = (x - f64::from(*z)) as f32 / sigma;
        let u = z + sigma * e;
        let t = u.tanh();
        let normal = s + LOG_ROOT_TAU;
        sums.negative_log += f64::from(0.5 * d * d + normal + log_slope(x as f32));
        sums.entropy += f64::from(0.5 * e * e + normal + log_slope(u));
        *dz = (2.0 * alpha * t - d / sigma) * part;
        let ds = 1.0 - d * d - alpha * (1.0 - 2.0 * sigma * e * t);
        *draw = ds * slope * part;
    }
    sums
}

fn free_loss(
    scales: LikelihoodScales,
    part: f32,
    numbers: Numbers<'_, f32>,
    dmeans: &mut [f32],
    draw: &mut [f32],
) -> Likelihood {
    let a = scales.action;
    let mut sums = Likelihood::default();
    draw.fill(0.0);
    let rows = (numbers.means.chunks(a)).zip(numbers.actions.chunks(a));
    for ((means, actions), dmeans) in rows.zip(dmeans.chunks_mut(a)) {
        let all = (means.iter().zip(actions)).zip(numbers.raw.iter().zip(&mut *draw));
        for (((z, action), (raw, draw)), dz) in all.zip(dmeans) {
            let (s, slope) = free(*raw);
            let sigma = s.exp();
            let t = z.tanh();
            let d = (action - scales.largest * t) / sigma;
            let normal = s + LOG_ROOT_TAU;
            sums.negative_log += f64::from(0.5 * d * d + normal);
            sums.entropy += f64::from(0.5 + normal);
            *dz = -d / sigma * scales.largest * (1.0 - t * t) * part;
            *draw += (1.0 - d * d - scales.temperature) * slope * part;
        }
    }
    sums
}

/// The actions, A numbers, that the noise gives of a step's mean and deviation; they are at most
/// the largest.
pub(crate) fn sample(
    (deviation, largest): (Deviation, f32),
    (means, raw): (&[f32], &[f32]),
    noise: &[f32],
    actions: &mut [f32],
) {
    for (((z, raw), e), to) in means.iter().zip(raw).zip(noise).zip(actions) {
        *to = match deviation {
            Deviation::Squashed => largest * (z + squashed(*raw).0.exp() * e).tanh(),
            Deviation::Free => {
                (largest * z.tanh() + free(*raw).0.exp() * e).clamp(-largest, largest)
            }
        };
    }
}
