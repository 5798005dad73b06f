//! The temperature of a stochastic model: the weight of its policy's entropy in the loss, whose
//! logarithm is learned so that the entropy stays near a target.
//!
//! ```text
//! L(log alpha) = alpha (H - target)          H: the batch's mean entropy, a constant here
//! ```
//!
//! One step of Adam for each update of the model, as in facebookresearch/online-dt, `trainer.py`.
//! There the logarithm is in no checkpoint; here it is.

use super::Model;
use crate::algorithms::adam::Adam;
use crate::algorithms::{Error, Saved};
use crate::nn::state_dict::Entry;
use crate::random::{derive, mix};
use rtg_kernels::likelihood::Entropy;
use rtg_kernels::mlp::Pool;

/// Its name in checkpoints.
const LOG_ALPHA: &str = "log_alpha";

/// The temperature, and what its updates and the samples of the entropy need.
pub(super) struct Temperature {
    log_alpha: [f32; 1],
    adam: Adam,
    rate: f64,
    target: f64,
    /// From which the key of each batch's noise is derived.
    key: u64,
    pool: Pool,
}

impl Temperature {
    /// The temperature of a new run; none of a deterministic model.
    pub(super) fn of(model: &Model, seed: u64) -> Option<Self> {
        let config = &model.config;
        model.shape.deviation?;
        Some(Self {
            log_alpha: [config.initial_alpha.ln() as f32],
            adam: Adam::new(1),
            rate: config.alpha_learning_rate,
            target: (config.target_entropy).unwrap_or(-(model.shape.action as f64)),
            key: derive(seed, "entropy"),
            pool: Pool::new(1),
        })
    }

    /// The temperature.
    pub(super) fn alpha(&self) -> f64 {
        f64::from(self.log_alpha[0]).exp()
    }

    /// How the entropy counts in a batch, with this many before it.
    pub(super) fn entropy(&self, batches: u64) -> Entropy {
        Entropy {
            temperature: self.alpha() as f32,
            key: mix(self.key.wrapping_add(batches)),
        }
    }

    /// One step, with the mean entropy of an update's batches.
    pub(super) fn step(&mut self, entropy: f64) {
        let gradient = [(self.alpha() * (entropy - self.target)) as f32];
        let rate = self.rate;
        (self.adam).step(&self.pool, rate, &gradient, &mut self.log_alpha);
    }

    /// The state for a checkpoint.
    pub(super) fn state(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::vector(&name(), &self.log_alpha)];
        entries.extend(self.adam.state(LOG_ALPHA));
        entries
    }

    /// Restores the state of a checkpoint, saved after this many steps.
    pub(super) fn restore(&mut self, saved: &Saved, steps: u64) -> Result<(), Error> {
        let values = saved.floats(&name(), 1)?;
        self.log_alpha.copy_from_slice(&values);
        self.adam.restore(LOG_ALPHA, saved, steps)
    }

    /// Draws the noise of the following batches from another seed.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.key = derive(seed, "entropy");
    }
}

/// The name of the logarithm's tensor.
fn name() -> String {
    format!("rtg.{LOG_ALPHA}")
}
