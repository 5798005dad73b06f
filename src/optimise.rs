//! Shared by all learners that minimise one loss: the optimiser's configuration, its schedule and
//! its moments.

use serde::{Deserialize, Serialize};

use crate::keys::{Range, keys};
use rtg_kernels::adamw::{self, AdamW, Buffers, Step};

/// The learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It is constant.
    Constant,
    /// It decays along half a cosine, to zero at the last step.
    Cosine,
}

impl Schedule {
    /// The factor of the learning rate after this fraction of the run, from 0 to 1.
    pub fn factor(self, progress: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
        }
    }
}

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserMethod {
    /// [`adamw`]: the same rate for all weights.
    #[default]
    Adamw,
    /// [`lamb`](rtg_kernels::lamb): the step of a weight matrix is as long as the rate times the
    /// matrix.
    Lamb,
}

keys! {
    /// The optimiser and its schedule, for algorithms that minimise one loss.
    pub struct OptimiserConfig = "optimiser", _recipe: ();

    /// `adamw`, or `lamb`: as AdamW, with each weight matrix and vector moved by the learning rate
    /// times its length.
    method: OptimiserMethod as serde(default) = OptimiserMethod::Adamw,
        Range::Words(&["adamw", "lamb"]), "",
        "adamw; lamb (online_dt, reinformer)";
    /// Windows in a batch.
    batch_size: usize = 64, Range::ROWS, "windows",
        "64; CORL's locomotion files 4096; behaviour cloning in CORL 256";
    /// Batches whose gradients are averaged for one step.
    accumulation: usize = 1, Range::ROWS, "batches", "1";
    /// Peak learning rate.
    learning_rate: f64 = 1e-4, Range::POSITIVE, "",
        "1e-4; CORL's locomotion files 8e-4; behaviour cloning in CORL 3e-4";
    /// Decoupled weight decay on every trained parameter.
    weight_decay: f64 = 1e-4, Range::NOT_NEGATIVE, "", "1e-4; behaviour cloning in CORL 0";
    /// Decay of the gradient's running mean.
    beta_1: f64 = 0.9, Range::BELOW_ONE, "", "0.9";
    /// Decay of the squared gradient's running mean.
    beta_2: f64 = 0.999, Range::BELOW_ONE, "", "0.999";
    /// Added to the denominator.
    epsilon: f64 = 1e-8, Range::POSITIVE, "", "1e-8";
    /// Steps of linear warm-up. Default: 10,000, or a tenth of the run if the run is shorter than
    /// ten times that.
    warmup_steps: Option<u64> = None, Range::at_least(0), "optimiser steps",
        "10,000; behaviour cloning in CORL 0";
    /// The learning rate after the warm-up: `constant`, or `cosine` to zero at the last step.
    schedule: Schedule = Schedule::Constant, Range::Words(&["constant", "cosine"]), "", "constant";
    /// Largest global L2 norm of the gradient; 0 switches clipping off.
    gradient_clip: f64 = 0.25, Range::NOT_NEGATIVE, "", "0.25; behaviour cloning 0";
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self::of(())
    }
}

impl OptimiserConfig {
    /// The optimiser's constants.
    pub fn adamw(&self) -> AdamW {
        AdamW {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            decay: self.weight_decay,
        }
    }

    /// The step of this number (from 1) and rate, with a gradient of this norm.
    pub fn step(&self, rate: f64, number: u64, norm: f64) -> Step {
        Step {
            constants: self.adamw(),
            rate,
            number,
            clip: self.clip(norm),
        }
    }

    /// The factor that clips a gradient of this norm to `gradient_clip`, if that is above 0.
    pub fn clip(&self, norm: f64) -> f64 {
        if self.gradient_clip > 0.0 {
            adamw::clip(norm, self.gradient_clip)
        } else {
            1.0
        }
    }

    /// Warm-up steps of a run of `steps`.
    pub fn warmup(&self, steps: u64) -> u64 {
        /// `warmup_steps` of both published Decision Transformers.
        const PUBLISHED: u64 = 10_000;
        self.warmup_steps.unwrap_or(PUBLISHED.min(steps / 10))
    }

    /// The learning rate of step `step` (from 0) of `steps` before the schedule: it rises during
    /// the warm-up.
    pub fn warmed_up(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup(steps);
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        self.learning_rate
    }

    /// The learning rate of step `step` (from 0) of `steps`.
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup(steps);
        if step < warmup {
            return self.warmed_up(step, steps);
        }
        let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
        self.learning_rate * self.schedule.factor(progress)
    }
}

/// The optimiser's memory, one number for each trained parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

impl Moments {
    /// What a step with this gradient moves.
    pub fn buffers<'a>(&'a mut self, gradient: &'a [f32], weights: &'a mut [f32]) -> Buffers<'a> {
        Buffers {
            gradient,
            weights,
            mean: &mut self.first,
            square: &mut self.second,
        }
    }

    /// Before the first step of `count` parameters.
    pub fn zeros(count: usize) -> Self {
        Self {
            first: vec![0.0; count],
            second: vec![0.0; count],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_linearly_and_then_stays_or_falls_to_zero() {
        let mut config = OptimiserConfig {
            warmup_steps: Some(10),
            learning_rate: 1.0,
            ..OptimiserConfig::default()
        };
        assert!((config.learning_rate_at(0, 100) - 0.1).abs() < 1e-12);
        assert!((config.learning_rate_at(9, 100) - 1.0).abs() < 1e-12);
        assert!((config.learning_rate_at(99, 100) - 1.0).abs() < 1e-12);
        config.schedule = Schedule::Cosine;
        assert!((config.learning_rate_at(55, 100) - 0.5).abs() < 1e-12);
        assert!(config.learning_rate_at(99, 100) < 1e-3);
    }

    #[test]
    fn a_short_run_warms_up_for_a_tenth_of_its_steps() {
        let config = OptimiserConfig::default();
        assert_eq!(config.warmup(2000), 200);
        assert_eq!(config.warmup(100_000), 10_000);
        assert_eq!(config.warmup(1_000_000), 10_000);
    }
}
