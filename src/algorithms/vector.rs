//! Learned vectors that belong to no layer: log standard deviations, a temperature.

use super::adam::Adam;
use super::networks::decayed;
use super::{Error, Saved};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile, read_linear};
use rtg_kernels::mlp::Pool;

/// A vector of parameters with its training state.
pub struct TrainedVector {
    /// Its name in files.
    name: &'static str,
    pub(super) values: Vec<f32>,
    /// The last gradient.
    pub(super) gradient: Vec<f32>,
    adam: Adam,
}

impl TrainedVector {
    /// A vector before its first step.
    pub(super) fn new(name: &'static str, values: Vec<f32>) -> Self {
        let count = values.len();
        Self {
            name,
            values,
            gradient: vec![0.0; count],
            adam: Adam::new(count),
        }
    }

    /// One step of Adam with the current gradient.
    pub(super) fn step(&mut self, pool: &Pool, rate: f64) {
        self.adam.step(pool, rate, &self.gradient, &mut self.values);
    }

    /// Optimiser steps done.
    pub(super) fn steps(&self) -> u64 {
        self.adam.steps()
    }

    /// The values under their name in files.
    pub(super) fn weights(&self) -> Entry {
        Entry::vector(self.name, &self.values)
    }

    /// One step of Adam with `scale` times the present gradient.
    pub(super) fn step_scaled(&mut self, pool: &Pool, rate: f64, scale: f64) {
        self.adam
            .step_scaled(pool, rate, scale, &self.gradient, &mut self.values);
    }

    /// One step of Adam with the current gradient plus `decay` times the values. `sum` is scratch
    /// memory.
    pub(super) fn step_decayed(&mut self, pool: &Pool, rate: f64, decay: f64, sum: &mut Vec<f32>) {
        decayed(decay, &self.gradient, &self.values, sum);
        self.adam.step(pool, rate, sum, &mut self.values);
    }

    /// Replaces Adam's epsilon, 1e-8.
    pub(super) fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.adam = self.adam.with_epsilon(epsilon);
        self
    }

    /// The state for a checkpoint, besides the values.
    pub(super) fn state(&self) -> [Entry; 2] {
        self.adam.state(self.name)
    }

    /// Replaces the values by those of a file.
    pub(super) fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.values = read_linear(self.name, &[self.values.len()], file)?;
        Ok(())
    }

    /// Restores the state of a checkpoint, saved after this many steps.
    pub(super) fn restore(&mut self, saved: &Saved, steps: u64) -> Result<(), Error> {
        self.load_weights(saved.tensors)?;
        self.adam.restore(self.name, saved, steps)
    }

    /// The values and their last gradient, by name.
    pub(super) fn histogram(&self) -> (String, &[f32], &[f32]) {
        (self.name.to_owned(), &self.values, &self.gradient)
    }
}
