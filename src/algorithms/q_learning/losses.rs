//! Losses of discrete actions' values, with their gradients, over a batch of B rows.
//!
//! ```text
//! square:        mean (q - y)^2
//! Huber:         mean h(q - y),   h(x) = x^2 / 2 where |x| < 1, else |x| - 1/2
//! quantiles:     mean sum_i mean_j |tau_i - 1[y_j < theta_i]| h(y_j - theta_i),
//!                tau_i = (i + 1/2) / N
//! conservative:  mean (log sum_b e^Q_b - Q_a)
//! ```
//!
//! Each function adds to the gradient and returns the loss.

/// h(x): Huber's loss with threshold 1, `PyTorch`'s `smooth_l1_loss`.
pub fn huber(x: f32) -> f32 {
    if x.abs() < 1.0 {
        0.5 * x * x
    } else {
        x.abs() - 0.5
    }
}

/// The square of `values` - `targets`, one number a row: the mean, and its gradient.
pub fn squared(values: &[f32], targets: &[f32], gradients: &mut [f32]) -> f64 {
    let rows = values.len() as f32;
    sum(values, targets, gradients, |error| {
        (error * error, 2.0 * error / rows)
    })
}

/// Huber's loss of `values` - `targets`, one number a row: the mean, and its gradient.
pub fn huber_mean(values: &[f32], targets: &[f32], gradients: &mut [f32]) -> f64 {
    let rows = values.len() as f32;
    sum(values, targets, gradients, |error| {
        (huber(error), error.clamp(-1.0, 1.0) / rows)
    })
}

fn sum(
    values: &[f32],
    targets: &[f32],
    gradients: &mut [f32],
    of: impl Fn(f32) -> (f32, f32),
) -> f64 {
    let mut total = 0.0;
    for ((value, target), gradient) in values.iter().zip(targets).zip(gradients) {
        let (loss, slope) = of(value - target);
        total += f64::from(loss);
        *gradient += slope;
    }
    total / values.len().max(1) as f64
}

/// The quantile loss: `quantiles` (theta) and `targets` (y) are rows x N.
pub fn quantile(quantiles: &[f32], targets: &[f32], count: usize, gradients: &mut [f32]) -> f64 {
    let rows = quantiles.len() / count;
    let share = 1.0 / (count * rows) as f32;
    let mut total = 0.0_f64;
    let all = quantiles.chunks(count).zip(targets.chunks(count));
    for ((thetas, targets), gradients) in all.zip(gradients.chunks_mut(count)) {
        for (index, (theta, gradient)) in thetas.iter().zip(gradients).enumerate() {
            let tau = (index as f32 + 0.5) / count as f32;
            let (mut loss, mut slope) = (0.0, 0.0);
            for target in targets {
                let error = theta - target;
                let weight = if error > 0.0 { 1.0 - tau } else { tau };
                loss += weight * huber(error);
                slope += weight * error.clamp(-1.0, 1.0);
            }
            total += f64::from(loss);
            *gradient += slope * share;
        }
    }
    total * f64::from(share)
}

/// The conservative gap: `values` are rows x A, `labels` the data's actions. Its gradient times
/// `weight` is added; the gap itself is returned.
pub fn conservative(values: &[f32], labels: &[u32], weight: f32, gradients: &mut [f32]) -> f64 {
    let rows = labels.len();
    let actions = values.len() / rows.max(1);
    let share = weight / rows as f32;
    let mut total = 0.0_f64;
    let all = values.chunks(actions).zip(gradients.chunks_mut(actions));
    for ((values, gradients), &label) in all.zip(labels) {
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = values.iter().map(|value| (value - largest).exp()).sum();
        total += f64::from(largest + sum.ln() - values[label as usize]);
        for (value, gradient) in values.iter().zip(&mut *gradients) {
            *gradient += share * (value - largest).exp() / sum;
        }
        gradients[label as usize] -= share;
    }
    total / rows.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::{assert_gradient, numbers, to_f64};

    const CLOSE: f64 = 1e-6;

    #[test]
    fn known_values_come_out() {
        let mut gradients = [0.0; 3];
        let gap = conservative(&[1.0, 2.0, 0.5], &[0], 1.0, &mut gradients);
        assert!((gap - 1.464_368_78).abs() < CLOSE, "{gap}");
        let mut gradients = [0.0; 2];
        let loss = quantile(&[0.0, 1.0], &[0.5, 2.0], 2, &mut gradients);
        assert!((loss - 0.406_25).abs() < CLOSE, "{loss}");
        // Both sides of 1, and 1 itself.
        for (x, expected) in [(0.5, 0.125), (-0.5, 0.125), (1.0, 0.5), (-3.0, 2.5)] {
            assert!((huber(x) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn a_quantile_on_its_target_has_neither_loss_nor_gradient() {
        let mut gradients = [0.0; 2];
        let loss = quantile(&[3.0, 3.0], &[3.0, 3.0], 2, &mut gradients);
        assert!(loss.abs() < CLOSE);
        assert!(gradients.iter().all(|gradient| gradient.abs() < 1e-9));
    }

    #[test]
    fn gradients_are_those_of_the_losses() {
        let values: Vec<f32> = numbers(1, 12).iter().map(|x| 3.0 * x).collect();
        let targets = numbers(2, 12);
        let h = |x: f64| {
            if x.abs() < 1.0 {
                0.5 * x * x
            } else {
                x.abs() - 0.5
            }
        };
        let exact = to_f64(&targets);
        let of = |f: &dyn Fn(&mut [f32]) -> f64| {
            let mut gradients = [0.0; 12];
            f(&mut gradients);
            to_f64(&gradients)
        };
        let mean = |f: &dyn Fn(f64) -> f64, q: &[f64]| {
            let terms = q.iter().zip(&exact).map(|(q, y)| f(q - y));
            terms.sum::<f64>() / 12.0
        };
        let found = of(&|to| squared(&values, &targets, to));
        assert_gradient(&to_f64(&values), &found, |q| mean(&|x| x * x, q));
        let found = of(&|to| huber_mean(&values, &targets, to));
        assert_gradient(&to_f64(&values), &found, |q| mean(&h, q));

        let found = of(&|to| quantile(&values, &targets, 4, to));
        let loss = |theta: &[f64]| -> f64 {
            let rows = theta.chunks(4).zip(exact.chunks(4));
            let rows = rows.map(|(theta, y)| -> f64 {
                let pairs = (0..4).flat_map(|i| (0..4).map(move |j| (i, j)));
                let term = |(i, j): (usize, usize)| {
                    let below = f64::from(u8::from(y[j] < theta[i]));
                    ((i as f64 + 0.5) / 4.0 - below).abs() * h(y[j] - theta[i]) / 4.0
                };
                pairs.map(term).sum()
            });
            rows.sum::<f64>() / 3.0
        };
        assert_gradient(&to_f64(&values), &found, loss);

        let labels = [0, 3, 2];
        let found = of(&|to| conservative(&values, &labels, 2.0, to));
        let loss = |q: &[f64]| -> f64 {
            let rows = q.chunks(4).zip(labels);
            let rows =
                rows.map(|(q, a)| q.iter().map(|q| q.exp()).sum::<f64>().ln() - q[a as usize]);
            2.0 * rows.sum::<f64>() / 3.0
        };
        assert_gradient(&to_f64(&values), &found, loss);
    }
}
