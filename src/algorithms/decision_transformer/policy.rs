//! The policy, conditioned on a target return.
//!
//! The return-to-go starts at the target, and each reward is subtracted from it, unless the target
//! is an advantage; a model that predicts it uses neither. The model sees the last K steps only.
//! Rows act together: one forward pass per step for all of them.

use super::Model;
use super::preprocessing::Preprocessing;
use crate::kernels::decision_transformer::{self as kernels, Memory, StepInputs};
use crate::policy::{ActingMode, Policy, Start};

/// The greedy policy of a [`Model`] for several episodes at once.
pub(super) struct TargetReturn {
    acting: kernels::Acting,
    preprocessing: Preprocessing,
    timestep_limit: u32,
    /// Return-to-go of each row, in the units of the environment.
    returns_to_go: Vec<f64>,
    timesteps: Vec<u32>,
    /// The action of each row's last step, in the network's units.
    last_actions: Vec<f32>,
    observations: Vec<f32>,
    scaled_returns: Vec<f32>,
    outputs: Vec<f32>,
    began: Vec<bool>,
    /// Whether the model predicts its returns-to-go.
    predicts: bool,
}

impl TargetReturn {
    pub(super) fn new(model: &Model, acting: ActingMode, rows: usize, threads: usize) -> Self {
        let shape = &model.shape;
        let memory = match acting {
            ActingMode::Exact => Memory::Exact,
            ActingMode::Streaming => Memory::Streaming,
        };
        Self {
            acting: kernels::Acting::with(memory, *shape, &model.parameters, rows, threads),
            preprocessing: model.preprocessing.clone(),
            timestep_limit: model.preprocessing.episode_length.saturating_sub(1) as u32,
            returns_to_go: vec![0.0; rows],
            timesteps: vec![0; rows],
            last_actions: vec![0.0; rows * shape.action],
            observations: vec![0.0; rows * shape.observation],
            scaled_returns: vec![0.0; rows],
            outputs: vec![0.0; rows * shape.action],
            began: vec![false; rows],
            predicts: shape.condition.expectile().is_some(),
        }
    }
}

impl Policy for TargetReturn {
    fn takes_target(&self) -> bool {
        !self.predicts
    }

    fn begin(&mut self, row: usize, start: &Start) {
        self.acting.begin(row);
        self.returns_to_go[row] = start.target.unwrap_or_default();
        self.timesteps[row] = 0;
        self.began[row] = true;
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        let codec = &self.preprocessing.actions;
        let width = self.preprocessing.normaliser.mean.len();
        let inner = codec.width();
        let outer = actions.len() / self.began.len();
        for &row in active {
            if !std::mem::take(&mut self.began[row]) {
                if !self.preprocessing.constant_target {
                    self.returns_to_go[row] -= last_rewards[row];
                }
                self.timesteps[row] = (self.timesteps[row] + 1).min(self.timestep_limit);
                codec.encode(
                    &actions[row * outer..(row + 1) * outer],
                    &mut self.last_actions[row * inner..(row + 1) * inner],
                );
            }
            let columns = row * width..(row + 1) * width;
            self.preprocessing.normaliser.apply(
                &observations[columns.clone()],
                &mut self.observations[columns],
            );
            self.scaled_returns[row] =
                (self.returns_to_go[row] / self.preprocessing.return_scale) as f32;
        }
        let inputs = StepInputs {
            observations: &self.observations,
            returns_to_go: &self.scaled_returns,
            timesteps: &self.timesteps,
            previous_actions: &self.last_actions,
        };
        self.acting.act(active, &inputs, &mut self.outputs);
        for &row in active {
            let inside = row * inner..(row + 1) * inner;
            let action = &mut actions[row * outer..(row + 1) * outer];
            codec.decode(&self.outputs[inside], action);
        }
    }
}
