//! The learner on a GPU: the same steps as [`Learner::accumulate`] and [`Learner::apply`], several
//! at a time.
//!
//! The learner remains the owner: it supplies windows, dropout keys and learning rates from its own
//! counters, and fetches weights and moments when they are needed. So a checkpoint has the same
//! form whichever device computed it, and a run can resume on another.

use rtg_datasets::sample::{Columns, WindowSampler};

use super::Learner;
use super::learner::is_on;
use crate::algorithms::Update;
use crate::random::Stream;
use rtg_kernels::decision_transformer::Side;
use rtg_kernels::decision_transformer::cuda::{StepQueue, Trainer, TrainerSetup};
use rtg_kernels::decision_transformer::gather::{self, Actions};
use rtg_kernels::device::{Backend, Error};

/// What a learner needs to compute on a device.
#[derive(Debug)]
pub struct DeviceLearner {
    trainer: Trainer,
    most_steps: usize,
}

impl DeviceLearner {
    /// Moves a learner's state and the data to a device, ready for up to `most_steps` steps at a
    /// time.
    ///
    /// # Errors
    /// Too little memory, or an error of the driver.
    pub fn new(
        backend: Box<dyn Backend>,
        learner: &Learner,
        sampler: &WindowSampler,
        most_steps: usize,
    ) -> Result<Self, Error> {
        let model = &learner.model;
        let config = &learner.config;
        let columns = sampler.columns();
        let columns = on_device(&columns, sampler, model.shape.timesteps);
        let setup = TrainerSetup {
            shape: model.shape,
            windows: config.batch_size,
            accumulation: config.accumulation,
            most_steps,
            precision: model.config.precision,
            dropout: Some(learner.dropout).filter(is_on),
            objective: learner.objective,
            denominator: model.recipe.denominator(),
            adamw: learner.config.adamw(),
            largest_norm: config.gradient_clip,
            dataset_bytes: columns.bytes(),
        };
        let mut trainer = Trainer::new(backend, setup)?;
        let moments = &learner.moments;
        trainer.load(&model.parameters, &moments.first, &moments.second)?;
        trainer.set_dataset(&columns)?;
        Ok(Self {
            trainer,
            most_steps,
        })
    }

    /// The device's name, for messages.
    pub fn name(&self) -> String {
        self.trainer.device()
    }

    /// The most steps of one call.
    pub fn most_steps(&self) -> usize {
        self.most_steps
    }

    /// `count` optimiser steps on windows drawn as [`WindowSampler::sample`] would draw them.
    pub fn steps(
        &mut self,
        learner: &mut Learner,
        sampler: &WindowSampler,
        rng: &mut Stream,
        count: usize,
    ) -> Result<Vec<Update>, Error> {
        let config = &learner.config;
        let (mut starts, mut keys, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for step in learner.step..learner.step + count as u64 {
            for part in 0..config.accumulation as u64 {
                sampler.draw_starts(rng, config.batch_size, &mut starts);
                keys.push(learner.key(step, part));
            }
            rates.push(config.learning_rate_at(step, learner.steps));
        }
        let queue = StepQueue {
            starts: &starts,
            keys: &keys,
            rates: &rates,
            done: learner.step,
        };
        self.trainer.steps(&queue)?;
        learner.step += count as u64;
        let metrics = self.trainer.metrics()?.into_iter().zip(rates);
        Ok(metrics
            .map(|(outcome, rate)| super::learner::report(outcome.loss, outcome.norm, rate))
            .collect())
    }

    /// Brings weights, moments and the last gradient back into the learner.
    pub fn fetch(&mut self, learner: &mut Learner) -> Result<(), Error> {
        let parameters = &mut learner.model.parameters;
        let moments = &mut learner.moments;
        let (first, second) = (&mut moments.first, &mut moments.second);
        self.trainer.store(parameters, first, second)?;
        learner.gradient.resize(parameters.len(), 0.0);
        self.trainer.gradient(&mut learner.gradient)?;
        Ok(())
    }
}

/// A sampler's columns as the kernels take them. Timesteps that the recipe does not bound are
/// clamped to the last row of the timestep table.
fn on_device<'a>(
    columns: &'a Columns,
    sampler: &WindowSampler,
    timesteps: usize,
) -> gather::Columns<'a> {
    let last = timesteps.saturating_sub(1);
    gather::Columns {
        observations: &columns.observations,
        actions: if columns.labels.is_empty() {
            Actions::Numbers(&columns.actions)
        } else {
            Actions::Labels(&columns.labels)
        },
        returns_to_go: &columns.returns_to_go,
        starts: &columns.starts,
        max_timestep: sampler.config().max_timestep.unwrap_or(last).min(last) as u32,
        side: match sampler.config().side {
            rtg_datasets::sample::Side::Left => Side::Left,
            rtg_datasets::sample::Side::Right => Side::Right,
        },
    }
}
