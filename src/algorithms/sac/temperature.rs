//! The temperature, alpha: how much an action's entropy counts beside its value.

use super::config::Conventions;
use crate::algorithms::vector::TrainedVector;
use crate::kernels::mlp::Pool;

/// The logarithm of the temperature, and what its learning needs.
///
/// With H the target entropy and log pi of fresh actions,
///
/// ```text
/// cleanrl   L = -alpha     mean (log pi + H)
/// sb3       L = -log alpha mean (log pi + H)
/// ```
///
/// Both rest where the policy's entropy is H; their steps differ.
pub(super) struct Temperature {
    pub(super) log_alpha: TrainedVector,
    /// Optimiser steps done.
    pub(super) steps: u64,
}

/// Its name in files.
pub(super) const LOG_ALPHA: &str = "log_alpha";

impl Temperature {
    pub(super) fn new(alpha: f64) -> Self {
        Self {
            log_alpha: TrainedVector::new(LOG_ALPHA, vec![alpha.ln() as f32]),
            steps: 0,
        }
    }

    pub(super) fn alpha(&self) -> f64 {
        f64::from(self.log_alpha.values[0]).exp()
    }

    /// One step of Adam; `excess` is mean (log pi + H). Gives the loss before it.
    pub(super) fn step(&mut self, pool: &Pool, code: Conventions, rate: f64, excess: f64) -> f64 {
        let (loss, gradient) = match code {
            Conventions::CleanRl => {
                let loss = -self.alpha() * excess;
                (loss, loss)
            }
            Conventions::Sb3 => (-f64::from(self.log_alpha.values[0]) * excess, -excess),
        };
        self.log_alpha.gradient[0] = gradient as f32;
        self.log_alpha.step(pool, rate);
        self.steps += 1;
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_entropy_raises_the_temperature_and_too_much_lowers_it() {
        let pool = Pool::new(1);
        for code in [Conventions::CleanRl, Conventions::Sb3] {
            for (excess, moves) in [(0.7, 1e-3), (-0.7, -1e-3)] {
                let mut temperature = Temperature::new(1.0);
                let loss = temperature.step(&pool, code, 1e-3, excess);
                let expected = match code {
                    Conventions::CleanRl => -excess,
                    // log alpha is 0.
                    Conventions::Sb3 => 0.0,
                };
                assert!((loss - expected).abs() < 1e-12);
                let moved = temperature.alpha().ln();
                assert!((moved - moves).abs() < 1e-6, "{code:?}: {moved}");
            }
        }
    }

    #[test]
    fn without_a_learning_rate_it_stays() {
        let mut temperature = Temperature::new(0.2);
        temperature.step(&Pool::new(1), Conventions::CleanRl, 0.0, 5.0);
        assert!((temperature.alpha() - 0.2).abs() < 1e-7);
    }
}
