//! The temperature, alpha: the weight of the policy's entropy relative to values. Its logarithm is
//! learned.

use crate::algorithms::vector::TrainedVector;
use rtg_kernels::mlp::Pool;

/// The temperature's loss. With H the target entropy and log pi that of newly sampled actions,
///
/// ```text
/// Alpha      L = -alpha     mean (log pi + H)
/// LogAlpha   L = -log alpha mean (log pi + H)
/// ```
///
/// Both are stationary where the policy's entropy is H; their steps differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::algorithms) enum Loss {
    /// `CleanRL`.
    Alpha,
    /// Stable-Baselines3, CORL.
    LogAlpha,
}

/// Its name in files.
const LOG_ALPHA: &str = "log_alpha";

/// The temperature's logarithm, before its first step.
pub(in crate::algorithms) fn new(alpha: f64) -> TrainedVector {
    TrainedVector::new(LOG_ALPHA, vec![alpha.ln() as f32])
}

/// The temperature.
pub(in crate::algorithms) fn alpha(log_alpha: &TrainedVector) -> f64 {
    f64::from(log_alpha.values[0]).exp()
}

/// One step of Adam; `excess` is mean (log pi + H). Returns the loss before the step.
pub(in crate::algorithms) fn step(
    log_alpha: &mut TrainedVector,
    pool: &Pool,
    kind: Loss,
    (rate, excess): (f64, f64),
) -> f64 {
    let (loss, gradient) = match kind {
        Loss::Alpha => {
            let loss = -alpha(log_alpha) * excess;
            (loss, loss)
        }
        Loss::LogAlpha => (-f64::from(log_alpha.values[0]) * excess, -excess),
    };
    log_alpha.gradient[0] = gradient as f32;
    log_alpha.step(pool, rate);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_entropy_raises_the_temperature_and_too_much_lowers_it() {
        let pool = Pool::new(1);
        for kind in [Loss::Alpha, Loss::LogAlpha] {
            for (excess, moves) in [(0.7, 1e-3), (-0.7, -1e-3)] {
                let mut log_alpha = new(1.0);
                let loss = step(&mut log_alpha, &pool, kind, (1e-3, excess));
                let expected = match kind {
                    Loss::Alpha => -excess,
                    // log alpha is 0.
                    Loss::LogAlpha => 0.0,
                };
                assert!((loss - expected).abs() < 1e-12);
                let moved = alpha(&log_alpha).ln();
                assert!((moved - moves).abs() < 1e-6, "{kind:?}: {moved}");
            }
        }
    }

    #[test]
    fn without_a_learning_rate_it_stays() {
        let mut log_alpha = new(0.2);
        step(&mut log_alpha, &Pool::new(1), Loss::Alpha, (0.0, 5.0));
        assert!((alpha(&log_alpha) - 0.2).abs() < 1e-7);
    }
}
