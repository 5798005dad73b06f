//! The categorical distribution over A discrete actions, from logits z.
//!
//! ```text
//! log p_k = z_k - log sum_j e^(z_j)
//! entropy H = -sum_k p_k log p_k
//!
//! at z, from the gradient dlog at log p_a of a taken action a, and dH at the entropy:
//! dz_k = dlog ([k = a] - p_k) - dH p_k (log p_k + H)
//! ```
//!
//! The largest logit is subtracted before the exponentials, so that they neither overflow nor all
//! vanish.

/// log p of every action: rows x A, from logits of the same shape.
///
/// # Panics
/// If the arrays differ in length.
pub fn log_softmax(action: usize, logits: &[f32], to: &mut [f32]) {
    assert_eq!(logits.len(), to.len(), "a log-probability for each logit");
    for (z, to) in logits.chunks(action).zip(to.chunks_mut(action)) {
        let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = z.iter().map(|z| (z - most).exp()).sum();
        let log = most + sum.ln();
        to.iter_mut().zip(z).for_each(|(to, z)| *to = z - log);
    }
}

/// The entropy of one row of [`log_softmax`].
pub fn entropy(log_probabilities: &[f32]) -> f32 {
    let terms = log_probabilities.iter().filter(|log| log.is_finite());
    -terms.map(|log| log.exp() * log).sum::<f32>()
}

/// The action that a number drawn from U\[0, 1) picks, by one row of [`log_softmax`].
pub fn pick(log_probabilities: &[f32], uniform: f32) -> usize {
    let mut sum = 0.0;
    let below = |log: &f32| {
        sum += log.exp();
        uniform < sum
    };
    // Rounding may leave the sum of all below the number.
    let last = log_probabilities.iter().rposition(|log| log.exp() > 0.0);
    log_probabilities
        .iter()
        .position(below)
        .or(last)
        .unwrap_or(0)
}

/// The gradient at the logits from [`log_softmax`]'s result, the actions taken, and the gradients
/// at each row's log-probability of its action and at its entropy.
///
/// # Panics
/// If the arrays do not fit, or an action is not below A.
pub fn backward(
    log_probabilities: &[f32],
    actions: &[usize],
    log_probability_gradients: &[f32],
    entropy_gradients: &[f32],
    gradients: &mut [f32],
) {
    let rows = actions.len();
    assert_eq!(
        log_probability_gradients.len(),
        rows,
        "a gradient for each row"
    );
    assert_eq!(
        entropy_gradients.len(),
        rows,
        "an entropy's gradient for each row"
    );
    assert_eq!(
        gradients.len(),
        log_probabilities.len(),
        "a gradient for each logit"
    );
    if rows == 0 {
        return;
    }
    let a = log_probabilities.len() / rows;
    let all = log_probabilities.chunks(a).zip(gradients.chunks_mut(a));
    for (row, (logs, to)) in all.enumerate() {
        let (dlog, dentropy) = (log_probability_gradients[row], entropy_gradients[row]);
        let entropy = entropy(logs);
        for (to, log) in to.iter_mut().zip(logs) {
            let p = log.exp();
            let of_entropy = if p > 0.0 { p * (log + entropy) } else { 0.0 };
            *to = -dlog * p - dentropy * of_entropy;
        }
        to[actions[row]] += dlog;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    fn reference(z: &[f64], a: usize) -> Vec<f64> {
        let rows = z.chunks(a).flat_map(|z| {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(move |z| (z.exp() / sum).ln())
        });
        rows.collect()
    }

    #[test]
    fn log_probabilities_entropy_and_gradients_are_the_reference() {
        let a = 4;
        let z: Vec<f32> = numbers(1, 20).iter().map(|z| 5.0 * z).collect();
        let exact = to_f64(&z);
        let mut logs = vec![0.0; 20];
        log_softmax(a, &z, &mut logs);
        assert_close(&logs, &reference(&exact, a), "log p");

        let actions = [0, 3, 1, 2, 2];
        let (dlog, dentropy) = (numbers(2, 5), numbers(3, 5));
        let loss = |z: &[f64]| -> f64 {
            let logs = reference(z, a);
            let rows = logs.chunks(a).enumerate().map(|(row, logs)| {
                let entropy = -logs.iter().map(|l| l.exp() * l).sum::<f64>();
                f64::from(dlog[row]) * logs[actions[row]] + f64::from(dentropy[row]) * entropy
            });
            rows.sum()
        };
        let mut dz = vec![0.0; 20];
        backward(&logs, &actions, &dlog, &dentropy, &mut dz);
        let exact_dz: Vec<f64> = (reference(&exact, a).chunks(a).enumerate())
            .flat_map(|(row, logs)| {
                let entropy = -logs.iter().map(|l| l.exp() * l).sum::<f64>();
                let of = (f64::from(dlog[row]), f64::from(dentropy[row]), actions[row]);
                let one = move |(k, l): (usize, &f64)| {
                    of.0 * (f64::from(k == of.2) - l.exp()) - of.1 * l.exp() * (l + entropy)
                };
                logs.iter().enumerate().map(one).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&dz, &exact_dz, "dz");
        assert_gradient(&exact, &exact_dz, loss);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these sums are exact")]
    fn extreme_logits_neither_overflow_nor_give_nan() {
        let mut logs = [0.0; 3];
        log_softmax(3, &[1000.0, -1000.0, 0.0], &mut logs);
        assert_eq!(logs, [0.0, -2000.0, -1000.0]);
        assert!(entropy(&logs).abs() < f32::EPSILON);
        log_softmax(3, &[0.0, f32::NEG_INFINITY, 0.0], &mut logs);
        assert!((entropy(&logs) - std::f32::consts::LN_2).abs() < 1e-6);
        let mut dz = [0.0; 3];
        backward(&logs, &[0], &[1.0], &[1.0], &mut dz);
        assert_close(&dz, &[0.5, 0.0, -0.5], "dz");
    }

    #[test]
    fn a_pick_follows_the_cumulative_probabilities() {
        let mut logs = [0.0; 4];
        log_softmax(
            4,
            &[0.0, f32::NEG_INFINITY, 3.0_f32.ln(), f32::NEG_INFINITY],
            &mut logs,
        );
        let picks = [0.0, 0.24, 0.26, 0.999_999_94].map(|uniform| pick(&logs, uniform));
        assert_eq!(picks, [0, 0, 2, 2]);
    }
}
