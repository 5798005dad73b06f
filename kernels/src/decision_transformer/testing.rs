//! Batches and parameters for the tests of the model.

use super::layout::Layout;
use super::shape::Shape;
use super::windows::{LossTargets, Side, Windows};
use crate::testing::numbers;

/// A batch that owns its arrays.
pub(crate) struct Batch {
    observations: Vec<f32>,
    actions: Vec<f32>,
    pub(crate) returns_to_go: Vec<f32>,
    timesteps: Vec<u32>,
    lengths: Vec<usize>,
    side: Side,
    context: usize,
    scaled_returns: Vec<f32>,
    next_observations: Vec<f32>,
}

impl Batch {
    /// Windows of the given lengths. Padded steps contain NaN and impossible timesteps, because no
    /// code may read them.
    pub(crate) fn new(shape: &Shape, lengths: &[usize], side: Side) -> Self {
        let rows = lengths.len() * shape.context;
        let mut batch = Self {
            observations: numbers(1, rows * shape.observation),
            actions: numbers(2, rows * shape.action),
            returns_to_go: numbers(3, rows * shape.condition.numbers()),
            timesteps: (0..rows)
                .map(|row| (row * 7 % shape.timesteps) as u32)
                .collect(),
            lengths: lengths.to_vec(),
            side,
            context: shape.context,
            scaled_returns: numbers(4, rows),
            next_observations: numbers(5, lengths.len() * shape.observation),
        };
        for (window, length) in lengths.iter().enumerate() {
            let first = batch.windows().first_step(window);
            for step in (0..shape.context).filter(|step| !(first..first + length).contains(step)) {
                let row = window * shape.context + step;
                batch.observations[row * shape.observation..][..shape.observation].fill(f32::NAN);
                batch.actions[row * shape.action..][..shape.action].fill(f32::NAN);
                let numbers = shape.condition.numbers();
                batch.returns_to_go[row * numbers..][..numbers].fill(f32::NAN);
                batch.scaled_returns[row] = f32::NAN;
                batch.timesteps[row] = u32::MAX;
            }
        }
        batch
    }

    pub(crate) fn windows(&self) -> Windows<'_> {
        Windows {
            observations: &self.observations,
            actions: &self.actions,
            returns_to_go: &self.returns_to_go,
            timesteps: &self.timesteps,
            lengths: &self.lengths,
            side: self.side,
            context: self.context,
            targets: LossTargets {
                returns_to_go: &self.scaled_returns,
                next_observations: &self.next_observations,
            },
        }
    }
}

/// Parameters like those in training: norms near one, the rest small.
pub(crate) fn parameters(layout: &Layout) -> Vec<f32> {
    let mut parameters = numbers(9, layout.len());
    for view in layout.views() {
        let is_gain = view.name.contains("norm") && view.name.ends_with("weight");
        for x in &mut parameters[view.range.clone()] {
            *x = if is_gain { 1.0 + 0.3 * *x } else { 0.3 * *x };
        }
    }
    parameters
}
