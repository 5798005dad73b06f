//! The loss of a stochastic policy: the negative log-likelihood of the actions taken, less its
//! entropy times a temperature.
//!
//! From a step's raw mean z (A numbers), with c the largest action, a the action taken, alpha the
//! temperature and N the number of steps, summed over steps and the A numbers of an action:
//!
//! ```text
//! Deviation::Squashed   l: raw deviations, A numbers a step; e from N(0, 1)
//!   k(u) = log(1 - tanh^2 u)
//!   s = -5 + 3.5 (1 + tanh l),  x = atanh(a / c),  d = (x - z) e^-s,  u = z + e^s e
//!   NLL = sum (d^2 / 2 + s + log(2 pi) / 2 + k(x)) / N
//!   H   = sum (e^2 / 2 + s + log(2 pi) / 2 + k(u)) / N
//!   dz  = (-d e^-s + 2 alpha tanh u) / N
//!   ds  = (1 - d^2 - alpha (1 - 2 e^s e tanh u)) / N,          dl = 3.5 (1 - tanh^2 l) ds
//!
//! Deviation::Free       l: A parameters, the same for all steps
//!   s = clamp(l, -20, 2),  m = c tanh z,  d = (a - m) e^-s
//!   NLL = sum (d^2 / 2 + s + log(2 pi) / 2) / N,               H = sum (s + log(2 pi e) / 2) / N
//!   dz  = -d e^-s c (1 - tanh^2 z) / N
//!   dl  = sum over steps (1 - d^2 - alpha) / N, 0 outside the clamp
//!
//! L = NLL - alpha H
//! ```
//!
//! `Squashed` is a normal distribution squashed by tanh (Online Decision Transformer, Zheng et al.
//! 2022: facebookresearch/online-dt, `decision_transformer/models/decision_transformer.py`); its
//! density is that of a / c. Actions are clamped to 1 - 1e-6 before atanh, in f32 as there: x is at
//! most 7.2477. Its entropy has no closed form: H is one sample of it for each step, through which
//! the gradient flows. `Free` is a normal distribution around a squashed mean (Reinformer, Zhuang
//! et al. 2024: `model/net.py`). In both a policy's best action is c tanh z.
//!
//! The noise is a *function* ([`noise`]) of a key, the window, the step and the number, as the
//! masks of [`dropout`](super::dropout) are: it is the same for any number of threads. The rows are
//! A numbers short, so there is nothing to vectorise: `cpu` differs from `reference` in its
//! precision only.

pub(crate) mod cpu;
pub mod reference;

use crate::hash::mix;

/// Bounds of log sigma where it depends on the state.
pub(crate) const SQUASHED: [f32; 2] = [-5.0, 2.0];
/// Bounds of log sigma where it is free.
pub(crate) const FREE: [f32; 2] = [-20.0, 2.0];
/// The largest action whose atanh is taken, in units of the largest action.
pub(crate) const LARGEST: f32 = 1.0 - 1e-6;

/// How the standard deviation of actions is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// A second head gives it, for a normal distribution that is squashed by tanh.
    Squashed,
    /// A parameter for each number of an action, for a normal distribution around a squashed mean.
    Free,
}

/// How much the entropy counts, and what its samples are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entropy {
    /// alpha; 0: the loss is the negative log-likelihood
    pub temperature: f32,
    /// the key of the noise: draw one per batch
    pub key: u64,
}

/// What some steps contribute to the means over a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likelihood {
    /// NLL
    pub negative_log: f64,
    /// H
    pub entropy: f64,
}

impl Likelihood {
    /// L with this temperature.
    pub fn loss(self, temperature: f32) -> f64 {
        self.negative_log - f64::from(temperature) * self.entropy
    }

    /// The sum of two parts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            negative_log: self.negative_log + other.negative_log,
            entropy: self.entropy + other.entropy,
        }
    }
}

/// What the loss depends on besides the numbers.
#[derive(Clone, Copy, Debug)]
pub struct LikelihoodScales {
    /// the distribution
    pub deviation: Deviation,
    /// c
    pub largest: f32,
    /// alpha
    pub temperature: f32,
    /// N
    pub count: usize,
    /// A
    pub action: usize,
}

/// The numbers of some steps.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a, R> {
    /// z, steps x A
    pub means: &'a [R],
    /// l, steps x A or A
    pub raw: &'a [R],
    /// a, steps x A
    pub actions: &'a [R],
    /// e, steps x A; empty for a free deviation
    pub noise: &'a [R],
}

/// The noise of a step of a window, from N(0, 1): Box and Muller's transform of 64 bits for each
/// number, mixed from key, window, step and number by the finaliser of `SplitMix64`.
pub fn noise(key: u64, window: usize, step: usize, to: &mut [f32]) {
    let place = mix(((window as u64) << 32) | step as u64);
    let row = mix(key.wrapping_add(place));
    for (number, to) in to.iter_mut().enumerate() {
        let bits = mix(row.wrapping_add(number as u64));
        // The logarithm's argument is never 0.
        let radius = ((bits >> 32) as f64 + 0.5) / 4_294_967_296.0;
        let angle = (bits & 0xffff_ffff) as f64 / 4_294_967_296.0;
        let angle = 2.0 * std::f64::consts::PI * angle;
        *to = ((-2.0 * radius.ln()).sqrt() * angle.cos()) as f32;
    }
}

#[cfg(test)]
mod tests;
