//! Adam of the baselines: one optimiser per network, with neither weight decay nor clipping.

use super::{Error, Saved};
use crate::nn::state_dict::Entry;
use crate::optimise::Moments;
use rtg_kernels::adamw::{AdamW, Step};
use rtg_kernels::mlp::Pool;

/// The optimiser's state for one network or vector.
pub(super) struct Adam {
    moments: Moments,
    /// Steps done.
    steps: u64,
    /// Added to the divisor.
    epsilon: f64,
}

const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";

impl Adam {
    /// A new optimiser of `count` parameters.
    pub(super) fn new(count: usize) -> Self {
        Self {
            moments: Moments::zeros(count),
            steps: 0,
            epsilon: AdamW::default().epsilon,
        }
    }

    /// Steps done.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// With another epsilon.
    pub(super) fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// One step with this gradient.
    pub(super) fn step(
        &mut self,
        pool: &Pool,
        rate: f64,
        gradient: &[f32],
        parameters: &mut [f32],
    ) {
        self.step_scaled(pool, rate, 1.0, gradient, parameters);
    }

    /// One step with `scale` times this gradient.
    pub(super) fn step_scaled(
        &mut self,
        pool: &Pool,
        rate: f64,
        scale: f64,
        gradient: &[f32],
        parameters: &mut [f32],
    ) {
        self.steps += 1;
        let step = Step {
            constants: AdamW {
                decay: 0.0,
                epsilon: self.epsilon,
                ..AdamW::default()
            },
            rate,
            number: self.steps,
            clip: scale,
        };
        let buffers = self.moments.buffers(gradient, parameters);
        pool.adam(&step, buffers);
    }

    /// The moments, under `name`, for a checkpoint.
    pub(super) fn state(&self, name: &str) -> [Entry; 2] {
        let Moments { first, second } = &self.moments;
        [(FIRST, first), (SECOND, second)]
            .map(|(which, values)| Entry::vector(&format!("rtg.{name}.{which}"), values))
    }

    /// Restores the state of a checkpoint, saved after this many steps.
    pub(super) fn restore(&mut self, name: &str, saved: &Saved, steps: u64) -> Result<(), Error> {
        let count = self.moments.first.len();
        let moment = |which: &str| saved.floats(&format!("rtg.{name}.{which}"), count);
        self.moments = Moments {
            first: moment(FIRST)?,
            second: moment(SECOND)?,
        };
        self.steps = steps;
        Ok(())
    }
}
