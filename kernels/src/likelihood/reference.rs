//! A naive loss.

use super::{Deviation, FREE, LARGEST, Likelihood, LikelihoodScales, Numbers, SQUASHED};
use crate::real::Real;
use std::f64::consts::PI;

/// The parts of the loss of some steps, and the gradients of NLL - alpha H at z and at l.
pub fn loss<R: Real>(
    scales: LikelihoodScales,
    numbers: Numbers<'_, R>,
) -> (Likelihood, Vec<R>, Vec<R>) {
    let (a, n) = (scales.action, scales.count as f64);
    let (largest, alpha) = (f64::from(scales.largest), f64::from(scales.temperature));
    let mut sums = Likelihood::default();
    let mut dmeans = Vec::new();
    let mut draw = vec![0.0; numbers.raw.len()];
    for (at, z) in numbers.means.iter().enumerate() {
        let (z, action) = (z.to_f64(), numbers.actions[at].to_f64());
        match scales.deviation {
            Deviation::Squashed => {
                let [low, high] = SQUASHED.map(f64::from);
                let half = 0.5 * (high - low);
                let raw = numbers.raw[at].to_f64();
                let e = numbers.noise[at].to_f64();
                let s = low + half * (1.0 + raw.tanh());
                let sigma = s.exp();
                let bound = f64::from(LARGEST);
                let squashed = (action / largest).clamp(-bound, bound);
                let d = (squashed.atanh() - z) / sigma;
                let u = z + sigma * e;
                let normal = s + 0.5 * (2.0 * PI).ln();
                sums.negative_log += (0.5 * d * d + normal + (1.0 - squashed.powi(2)).ln()) / n;
                sums.entropy += (0.5 * e * e + normal - 2.0 * u.cosh().ln()) / n;
                dmeans.push((-d / sigma + 2.0 * alpha * u.tanh()) / n);
                let ds = 1.0 - d * d - alpha * (1.0 - 2.0 * sigma * e * u.tanh());
                draw[at] = half * (1.0 - raw.tanh().powi(2)) * ds / n;
            }
            Deviation::Free => {
                let [low, high] = FREE.map(f64::from);
                let raw = numbers.raw[at % a].to_f64();
                let s = raw.clamp(low, high);
                let d = (action - largest * z.tanh()) / s.exp();
                sums.negative_log += (0.5 * d * d + s + 0.5 * (2.0 * PI).ln()) / n;
                sums.entropy += (s + 0.5 * (2.0 * PI * std::f64::consts::E).ln()) / n;
                dmeans.push(-d / s.exp() * largest * (1.0 - z.tanh().powi(2)) / n);
                if low <= raw && raw <= high {
                    draw[at % a] += (1.0 - d * d - alpha) / n;
                }
            }
        }
    }
    let reals = |numbers: Vec<f64>| numbers.into_iter().map(R::from_f64).collect();
    (sums, reals(dmeans), reals(draw))
}
