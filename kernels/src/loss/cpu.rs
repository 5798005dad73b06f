//! Head and loss for rows of a few numbers.

use super::{Head, Objective, largest};

/// Turns the head's numbers into predictions, in place.
pub(crate) fn predict(head: Head, z: &mut [f32]) {
    if let Head::Tanh { scale } = head {
        for z in z {
            *z = scale * z.tanh();
        }
    }
}

/// The part of the loss of these predictions y (rows x `width`), and the gradient at z.
pub(crate) fn loss(
    head: Head,
    objective: Objective,
    y: &[f32],
    actions: &[f32],
    width: usize,
    count: usize,
    dz: &mut [f32],
) -> f64 {
    let part = 1.0 / count as f64;
    let mut total = 0.0;
    let rows = y
        .chunks(width)
        .zip(actions.chunks(width))
        .zip(dz.chunks_mut(width));
    for ((y, actions), dz) in rows {
        total += match objective {
            Objective::SquaredError => squared_error(y, actions, part as f32, dz),
            Objective::CrossEntropy => cross_entropy(y, largest(actions), part as f32, dz),
        };
        for (dz, y) in dz.iter_mut().zip(y) {
            *dz *= head.slope(*y);
        }
    }
    total * part
}

fn squared_error(y: &[f32], actions: &[f32], part: f32, dy: &mut [f32]) -> f64 {
    let mut total = 0.0;
    for ((y, a), dy) in y.iter().zip(actions).zip(dy) {
        let difference = y - a;
        total += f64::from(difference) * f64::from(difference);
        *dy = 2.0 * difference * part;
    }
    total
}

fn cross_entropy(y: &[f32], taken: usize, part: f32, dy: &mut [f32]) -> f64 {
    let most = y[largest(y)];
    let mut sum = 0.0;
    for (y, dy) in y.iter().zip(dy.iter_mut()) {
        *dy = (y - most).exp();
        sum += *dy;
    }
    for dy in dy.iter_mut() {
        *dy *= part / sum;
    }
    dy[taken] -= part;
    f64::from(sum.ln() - (y[taken] - most))
}
