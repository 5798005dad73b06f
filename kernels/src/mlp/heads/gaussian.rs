//! The diagonal Gaussian whose standard deviation is a vector of parameters, independent of the
//! observation.
//!
//! ```text
//! s_i = bound(log_sigma_i),   a_i = mu_i + e^(s_i) e_i,   d_i = (a_i - mu_i) e^(-s_i)
//! log pi = sum_i (-d_i^2 / 2 - s_i - log(2 pi) / 2)
//! entropy = sum_i (s_i + 1/2 + log(2 pi) / 2)
//!
//! dmu_i = dlogpi d_i e^(-s_i)
//! dlog_sigma_i = bound'(log_sigma_i) sum over rows of dlogpi (d_i^2 - 1)
//! ```
//!
//! The bound is a clamp, whose derivative is 0 outside, or `low + (high - low) sigmoid(log_sigma)`.
//!
//! There is no squashing: IQL's mean passes through [tanh](super::tanh) first, AWAC's and PPO's
//! does not.

use super::LOG_ROOT_TAU;

/// The distribution of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Least log sigma: -20 in CORL, -5 in IQL's original, minus infinity in PPO.
    pub low: f32,
    /// Largest log sigma: 2, or infinity in PPO.
    pub high: f32,
    /// How the parameters are kept between the two.
    pub bound: Bound,
}

/// How a parameter becomes a log sigma within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is clamped.
    Clamp,
    /// It is the argument of a sigmoid from `low` to `high`, as in d3rlpy; both are finite.
    Sigmoid,
}

impl Gaussian {
    /// Draws an action for each row of means, with noise from N(0, 1); rows x A each, `log_sigma`
    /// A.
    ///
    /// # Panics
    /// If the arrays do not have these shapes.
    pub fn sample(&self, means: &[f32], log_sigma: &[f32], noise: &[f32], actions: &mut [f32]) {
        check(means, log_sigma, actions);
        assert_eq!(means.len(), noise.len(), "noise for each number");
        let a = log_sigma.len();
        for (at, to) in actions.iter_mut().enumerate() {
            *to = means[at] + self.log_sigma(log_sigma[at % a]).exp() * noise[at];
        }
    }

    /// log pi of each row's action.
    ///
    /// # Panics
    /// If the arrays do not have the shapes of [`Self::sample`], or there is not one result a row.
    pub fn log_probabilities(
        &self,
        means: &[f32],
        log_sigma: &[f32],
        actions: &[f32],
        to: &mut [f32],
    ) {
        check(means, log_sigma, actions);
        let a = log_sigma.len();
        assert_eq!(
            to.len() * a,
            actions.len(),
            "a log-probability for each row"
        );
        for (row, to) in to.iter_mut().enumerate() {
            let terms = log_sigma.iter().enumerate().map(|(i, raw)| {
                let s = self.log_sigma(*raw);
                let at = row * a + i;
                let distance = (actions[at] - means[at]) * (-s).exp();
                -0.5 * distance * distance - s - LOG_ROOT_TAU as f32
            });
            *to = terms.sum();
        }
    }

    /// The gradient at the means (rows x A), and, added to `log_sigma_gradient` (A), at log sigma,
    /// from the gradient at each row's log pi.
    ///
    /// # Panics
    /// If the arrays do not fit [`Self::log_probabilities`]'s.
    pub fn backward(
        &self,
        (means, log_sigma, actions): (&[f32], &[f32], &[f32]),
        log_probability_gradients: &[f32],
        mean_gradients: &mut [f32],
        log_sigma_gradient: &mut [f32],
    ) {
        check(means, log_sigma, actions);
        let a = log_sigma.len();
        assert_eq!(
            log_probability_gradients.len() * a,
            means.len(),
            "a gradient for each row"
        );
        assert_eq!(
            mean_gradients.len(),
            means.len(),
            "a gradient for each mean"
        );
        assert_eq!(log_sigma_gradient.len(), a, "a gradient for each log sigma");
        for (i, (raw, to)) in log_sigma.iter().zip(log_sigma_gradient).enumerate() {
            let inverse = (-self.log_sigma(*raw)).exp();
            let mut sum = 0.0;
            for (row, dlog) in log_probability_gradients.iter().enumerate() {
                let at = row * a + i;
                let distance = (actions[at] - means[at]) * inverse;
                mean_gradients[at] = dlog * distance * inverse;
                sum += dlog * (distance * distance - 1.0);
            }
            *to += self.slope(*raw) * sum;
        }
    }

    /// The entropy, the same for each row. Its gradient at log sigma is the bound's slope.
    pub fn entropy(&self, log_sigma: &[f32]) -> f32 {
        let terms = log_sigma
            .iter()
            .map(|raw| self.log_sigma(*raw) + 0.5 + LOG_ROOT_TAU as f32);
        terms.sum()
    }

    /// The log sigma of a parameter, within the bounds.
    pub fn log_sigma(self, raw: f32) -> f32 {
        match self.bound {
            Bound::Clamp => raw.clamp(self.low, self.high),
            Bound::Sigmoid => self.low + (self.high - self.low) * sigmoid(raw),
        }
    }

    fn slope(self, raw: f32) -> f32 {
        match self.bound {
            Bound::Clamp if (self.low..=self.high).contains(&raw) => 1.0,
            Bound::Clamp => 0.0,
            Bound::Sigmoid => {
                let part = sigmoid(raw);
                (self.high - self.low) * part * (1.0 - part)
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn check(means: &[f32], log_sigma: &[f32], actions: &[f32]) {
    assert_eq!(means.len(), actions.len(), "an action for each mean");
    assert!(
        means.len().is_multiple_of(log_sigma.len()),
        "means are rows x A"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const HEAD: Gaussian = Gaussian {
        low: -20.0,
        high: 2.0,
        bound: Bound::Clamp,
    };
    const SMOOTH: Gaussian = Gaussian {
        low: -5.0,
        high: 2.0,
        bound: Bound::Sigmoid,
    };

    /// The log sigma of a parameter, and the slope there.
    fn bounded(head: Gaussian, raw: f64) -> (f64, f64) {
        let (low, high) = (f64::from(head.low), f64::from(head.high));
        let part = (1.0 + (-raw).exp()).recip();
        match head.bound {
            Bound::Clamp => (raw.clamp(low, high), f64::from(u8::from(raw <= high))),
            Bound::Sigmoid => (
                low + (high - low) * part,
                (high - low) * part * (1.0 - part),
            ),
        }
    }

    fn reference(head: Gaussian, means: &[f64], log_sigma: &[f64], actions: &[f64]) -> Vec<f64> {
        let a = log_sigma.len();
        let rows = means.chunks(a).zip(actions.chunks(a));
        rows.map(|(means, actions)| {
            (0..a)
                .map(|i| {
                    let sigma = bounded(head, log_sigma[i]).0.exp();
                    let distance = (actions[i] - means[i]) / sigma;
                    let density = (-0.5 * distance * distance).exp();
                    (density / (sigma * (2.0 * std::f64::consts::PI).sqrt())).ln()
                })
                .sum()
        })
        .collect()
    }

    #[test]
    fn log_probabilities_and_their_gradients_are_the_reference() {
        check_head(HEAD);
        check_head(SMOOTH);
    }

    fn check_head(head: Gaussian) {
        let (means, log_sigma, noise) = (numbers(1, 30), [-0.7, 2.5, 0.3], numbers(2, 30));
        let mut actions = vec![0.0; 30];
        head.sample(&means, &log_sigma, &noise, &mut actions);
        let moved = (actions[1] - means[1]) / noise[1];
        let sigma = bounded(head, 2.5).0.exp();
        assert!((f64::from(moved) - sigma).abs() < 1e-5 * sigma);

        let mut logs = vec![0.0; 10];
        head.log_probabilities(&means, &log_sigma, &actions, &mut logs);
        let exact = [&means[..], &log_sigma, &actions].map(to_f64);
        let [exact_means, exact_sigma, exact_actions] = &exact;
        assert_close(
            &logs,
            &reference(head, exact_means, exact_sigma, exact_actions),
            "log pi",
        );

        let dlog = numbers(3, 10);
        let loss = |means: &[f64], log_sigma: &[f64]| -> f64 {
            let logs = reference(head, means, log_sigma, exact_actions);
            logs.iter().zip(&dlog).map(|(l, d)| l * f64::from(*d)).sum()
        };
        let (mut dmeans, mut dsigma) = (vec![0.0; 30], vec![0.0; 3]);
        let of = (&means[..], &log_sigma[..], &actions[..]);
        head.backward(of, &dlog, &mut dmeans, &mut dsigma);
        // In f64, the same formulas.
        let mut exact_dmeans = vec![0.0; 30];
        let mut exact_dsigma = vec![0.0; 3];
        for at in 0..30 {
            let (log_sigma, slope) = bounded(head, exact_sigma[at % 3]);
            let sigma = log_sigma.exp();
            let distance = (exact_actions[at] - exact_means[at]) / sigma;
            let dlog = f64::from(dlog[at / 3]);
            exact_dmeans[at] = dlog * distance / sigma;
            exact_dsigma[at % 3] += slope * dlog * (distance * distance - 1.0);
        }
        assert_close(&dmeans, &exact_dmeans, "dmu");
        assert_close(&dsigma, &exact_dsigma, "dlog sigma");
        assert_gradient(exact_means, &exact_dmeans, |means| loss(means, exact_sigma));
        assert_gradient(exact_sigma, &exact_dsigma, |sigma| loss(exact_means, sigma));
    }

    #[test]
    fn the_entropy_is_that_of_the_normal_distribution() {
        let tau_e = 2.0 * std::f32::consts::PI * std::f32::consts::E;
        let expected =
            0.5 * (tau_e * (2.0_f32 * -0.7).exp()).ln() + 0.5 * (tau_e * 4.0_f32.exp()).ln();
        assert!((HEAD.entropy(&[-0.7, 3.0]) - expected).abs() < 1e-5);
    }
}
