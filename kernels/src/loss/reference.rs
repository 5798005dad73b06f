//! Naive heads and losses.

use super::{Head, Objective, largest};
use crate::real::Real;

/// Predictions, loss and gradient at z, from z and the actions taken (rows x `width`), with the
/// mean over `count`.
pub fn loss<R: Real>(
    head: Head,
    objective: Objective,
    z: &[R],
    actions: &[R],
    width: usize,
    count: f64,
) -> (Vec<R>, f64, Vec<R>) {
    let y = predict(head, z);
    let mut loss = 0.0;
    let mut dz = Vec::with_capacity(z.len());
    for (y, actions) in y.chunks(width).zip(actions.chunks(width)) {
        let sum: f64 = y.iter().map(|y| y.to_f64().exp()).sum();
        let taken = largest(actions);
        if objective == Objective::CrossEntropy {
            loss += (sum.ln() - y[taken].to_f64()) / count;
        }
        for (k, (y, a)) in y.iter().zip(actions).enumerate() {
            let (y, a) = (y.to_f64(), a.to_f64());
            let dy = match objective {
                Objective::SquaredError => {
                    loss += (y - a) * (y - a) / count;
                    2.0 * (y - a) / count
                }
                Objective::CrossEntropy => (y.exp() / sum - f64::from(k == taken)) / count,
            };
            dz.push(R::from_f64(match head {
                Head::Tanh { scale } => dy * (f64::from(scale) - y * y / f64::from(scale)),
                Head::Logits => dy,
            }));
        }
    }
    (y, loss, dz)
}

/// The predictions from z.
pub fn predict<R: Real>(head: Head, z: &[R]) -> Vec<R> {
    let one = |z: &R| match head {
        Head::Tanh { scale } => R::from_f64(f64::from(scale) * z.to_f64().tanh()),
        Head::Logits => *z,
    };
    z.iter().map(one).collect()
}
