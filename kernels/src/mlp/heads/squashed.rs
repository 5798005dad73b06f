//! The squashed Gaussian: a sample of a normal distribution, squashed by tanh.
//!
//! A row of outputs z is the mean mu (A numbers), then the raw logarithm of the standard deviation
//! (A numbers). With noise e from N(0, 1), summed over the A numbers of an action:
//!
//! ```text
//! s = log sigma(raw),   u = mu + e^s e,   a = tanh u
//! log pi = sum (-e^2 / 2 - s - log(2 pi) / 2 - c(u))
//!
//! LogProbability::Exact     c = log(1 - tanh^2 u) = 2 (log 2 - |u| - log(1 + e^(-2 |u|)))
//! LogProbability::Floored   c = log(1 - a^2 + 1e-6)
//! LogProbability::Scaled    c = log(scale_i (1 - a^2) + 1e-6)
//!
//! du    = da (1 - a^2) - dlogpi c'(u)
//! c'    = -2 a for Exact, else -2 a f / (f + 1e-6) with f = scale_i (1 - a^2)
//! dmu   = du
//! draw  = (du e^s e - dlogpi) s'(raw)
//! ```
//!
//! The variants differ by more than rounding where |u| is large, so a comparison needs that of the
//! code one compares with: `Exact` is PyTorch's `TanhTransform` (CORL's CQL) and d3rlpy, `Floored`
//! Stable-Baselines3 and CORL's SAC-N and EDAC, `Scaled` `CleanRL`. Actions are in -1..1; code that
//! maps them onto a wider box must scale the gradient too. u is kept, never recovered from a. 1 -
//! a^2 is computed as 4 q / (1 + q)^2 with q = e^(-2 |u|), which does not cancel.

use super::LOG_ROOT_TAU;

/// How the raw output becomes the logarithm of the standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogSigma {
    /// Clamped; outside the bounds the gradient is zero, at them it is not (PyTorch's `clamp`).
    Clamp {
        /// for instance -20
        low: f32,
        /// for instance 2
        high: f32,
    },
    /// low + (high - low) / 2 (tanh raw + 1) (`CleanRL`: -5, 2)
    Tanh {
        /// for instance -5
        low: f32,
        /// for instance 2
        high: f32,
    },
}

/// The formula for the logarithm of the density.
#[derive(Clone, Debug, PartialEq)]
pub enum LogProbability {
    /// without a floor
    Exact,
    /// 1e-6 is added to the slope of the squashing
    Floored,
    /// as `Floored`, for actions whose A numbers are multiplied by these scales
    Scaled(Vec<f32>),
}

/// The distribution of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Squashed {
    /// A, numbers in an action
    pub action: usize,
    /// of the raw outputs
    pub log_sigma: LogSigma,
    /// of the samples
    pub log_probability: LogProbability,
}

/// Samples, and what their gradient needs. Reuse it to keep its memory.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// a, rows x A, in -1..1
    pub actions: Vec<f32>,
    /// log pi of each row
    pub log_probabilities: Vec<f32>,
    /// rows x A: e^s e, how far the noise moved u
    moved: Vec<f32>,
    /// rows x A: 1 - a^2
    slopes: Vec<f32>,
}

const FLOOR: f32 = 1e-6;

impl LogSigma {
    fn value(self, raw: f32) -> f32 {
        match self {
            Self::Clamp { low, high } => raw.clamp(low, high),
            Self::Tanh { low, high } => low + 0.5 * (high - low) * (raw.tanh() + 1.0),
        }
    }

    fn slope(self, raw: f32) -> f32 {
        match self {
            Self::Clamp { low, high } if raw < low || raw > high => 0.0,
            Self::Clamp { .. } => 1.0,
            Self::Tanh { low, high } => 0.5 * (high - low) * (1.0 - raw.tanh().powi(2)),
        }
    }
}

impl LogProbability {
    /// c(u) of the action's number `i`, from u, q = e^(-2 |u|) and 1 - a^2.
    fn correction(&self, i: usize, u: f32, q: f32, slope: f32) -> f32 {
        match self {
            Self::Exact => 2.0 * (std::f32::consts::LN_2 - u.abs() - q.ln_1p()),
            Self::Floored => (slope + FLOOR).ln(),
            Self::Scaled(scales) => (scales[i] * slope + FLOOR).ln(),
        }
    }

    /// c'(u) of the action's number `i`.
    fn gradient(&self, i: usize, action: f32, slope: f32) -> f32 {
        let scale = match self {
            Self::Exact => return -2.0 * action,
            Self::Floored => 1.0,
            Self::Scaled(scales) => scales[i],
        };
        -2.0 * action * (scale * slope / (scale * slope + FLOOR))
    }
}

impl Squashed {
    /// Draws an action for each row of z (rows x 2 A), with noise from N(0, 1), rows x A.
    ///
    /// # Panics
    /// If the arrays do not have these shapes.
    pub fn sample(&self, z: &[f32], noise: &[f32], to: &mut Samples) {
        let a = self.action;
        assert_eq!(z.len(), 2 * noise.len(), "z is rows x 2 A, noise rows x A");
        to.clear();
        for (z, noise) in z.chunks(2 * a).zip(noise.chunks(a)) {
            let (mean, raw) = z.split_at(a);
            let mut sum = 0.0;
            for (i, ((mean, raw), noise)) in mean.iter().zip(raw).zip(noise).enumerate() {
                let s = self.log_sigma.value(*raw);
                let moved = s.exp() * noise;
                let u = mean + moved;
                let q = (-2.0 * u.abs()).exp();
                let slope = 4.0 * q / ((1.0 + q) * (1.0 + q));
                let normal = -0.5 * noise * noise - s - LOG_ROOT_TAU as f32;
                sum += normal - self.log_probability.correction(i, u, q, slope);
                to.actions.push(u.tanh());
                to.moved.push(moved);
                to.slopes.push(slope);
            }
            to.log_probabilities.push(sum);
        }
    }

    /// The gradient at z from those at the samples' actions (rows x A) and log-probabilities
    /// (rows).
    ///
    /// # Panics
    /// If the arrays do not fit the samples.
    pub fn backward(
        &self,
        z: &[f32],
        samples: &Samples,
        action_gradients: &[f32],
        log_probability_gradients: &[f32],
        gradients: &mut [f32],
    ) {
        let a = self.action;
        let len = samples.actions.len();
        let fits = [z.len(), gradients.len(), 2 * action_gradients.len()] == [2 * len; 3];
        assert!(
            fits,
            "z and its gradient are rows x 2 A, actions' gradients rows x A"
        );
        let rows = samples.log_probabilities.len();
        assert_eq!(
            log_probability_gradients.len(),
            rows,
            "a gradient for each log-probability"
        );
        for (row, (z, to)) in z.chunks(2 * a).zip(gradients.chunks_mut(2 * a)).enumerate() {
            let dlog = log_probability_gradients[row];
            for i in 0..a {
                let at = row * a + i;
                let (action, slope) = (samples.actions[at], samples.slopes[at]);
                let correction = self.log_probability.gradient(i, action, slope);
                let du = action_gradients[at] * slope - dlog * correction;
                to[i] = du;
                let ds = du * samples.moved[at] - dlog;
                to[a + i] = ds * self.log_sigma.slope(z[a + i]);
            }
        }
    }

    /// The actions of [`Self::sample`] alone, for acting.
    ///
    /// # Panics
    /// If the arrays do not have the shapes of [`Self::sample`], or there is not one action for
    /// each number of noise.
    pub fn act(&self, z: &[f32], noise: &[f32], actions: &mut [f32]) {
        let a = self.action;
        assert_eq!(z.len(), 2 * noise.len(), "z is rows x 2 A, noise rows x A");
        assert_eq!(noise.len(), actions.len(), "an action for each noise");
        let rows = z.chunks(2 * a).zip(noise.chunks(a));
        for ((z, noise), actions) in rows.zip(actions.chunks_mut(a)) {
            let (mean, raw) = z.split_at(a);
            let numbers = mean.iter().zip(raw).zip(noise).zip(actions);
            for (((mean, raw), noise), action) in numbers {
                let moved = self.log_sigma.value(*raw).exp() * noise;
                *action = (mean + moved).tanh();
            }
        }
    }

    /// The most likely u of each row, squashed: tanh mu, rows x A.
    ///
    /// # Panics
    /// If z is not rows x 2 A.
    pub fn mode(&self, z: &[f32], actions: &mut [f32]) {
        let a = self.action;
        assert_eq!(
            z.len(),
            2 * actions.len(),
            "z is rows x 2 A, actions rows x A"
        );
        for (z, actions) in z.chunks(2 * a).zip(actions.chunks_mut(a)) {
            super::tanh::forward(1.0, &z[..a], actions);
        }
    }
}

impl Samples {
    fn clear(&mut self) {
        self.actions.clear();
        self.log_probabilities.clear();
        self.moved.clear();
        self.slopes.clear();
    }
}

#[cfg(test)]
mod tests;
