//! Fitted Q evaluation: the values of a fixed policy, learned from the transitions of any other.
//!
//! ```text
//! y = r + gamma (1 - d) Q'(s', pi(s')),   L = mean (Q(s, a) - y)^2
//! ```
//!
//! For discrete actions the network has an output for each, and Huber's loss replaces the square.
//! Q' is a copy of Q, renewed behind updates 1, 101, 201, ... After `takuseno/d3rlpy`,
//! `d3rlpy/ope/torch/fqe_impl.py` (Le, Voloshin and Yue 2019). The actions of the policy come with
//! the batch, so that a policy of the history gives those of the recorded history.

use rtg_datasets::sample::Transitions;

use super::ActionCodec;
use super::networks::Trained;
use super::q_learning::losses;
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{StateDictError, TensorFile};
use crate::random::Stream;
use rtg_kernels::mlp::{Pass, Pool, Shape, Want};

/// d3rlpy's network and optimiser.
const HIDDEN: [usize; 2] = [256, 256];
const LEARNING_RATE: f64 = 1e-4;
/// Updates between copies to the target network.
const COPY_EVERY: u64 = 100;

/// The values of a policy while they are learned.
pub struct FittedQ {
    trained: Trained,
    /// Discrete actions, which are one-hot rows.
    discrete: bool,
    actions: usize,
    rate: f64,
    copy_every: u64,
    updates: u64,
    pass: Pass,
    scratch: Scratch,
}

/// Memory of an update, kept for the next one.
#[derive(Default)]
struct Scratch {
    outputs: Vec<f32>,
    targets: Vec<f32>,
    values: Vec<f32>,
    value_gradients: Vec<f32>,
    gradients: Vec<f32>,
}

impl FittedQ {
    /// Rows of a batch.
    pub const BATCH: usize = 100;

    /// New values for inputs of `observation` numbers, with d3rlpy's network.
    pub fn new(observation: usize, actions: &ActionCodec, stream: &mut Stream) -> Self {
        Self::of(observation, actions, &HIDDEN, stream)
    }

    /// The same with hidden layers of other widths.
    pub fn of(
        observation: usize,
        actions: &ActionCodec,
        hidden: &[usize],
        stream: &mut Stream,
    ) -> Self {
        let discrete = matches!(actions, ActionCodec::Discrete { .. });
        let width = actions.width();
        let shape = if discrete {
            Shape::new(&[observation], hidden, width)
        } else {
            Shape::new(&[observation, width], hidden, 1)
        };
        let fill = LayerFill::DEFAULT;
        let parameters = initialise_mlp(&shape, fill, fill, stream);
        Self {
            trained: Trained::new("q", &shape, parameters, true),
            discrete,
            actions: width,
            rate: LEARNING_RATE,
            copy_every: COPY_EVERY,
            updates: 0,
            pass: Pass::new(),
            scratch: Scratch::default(),
        }
    }

    /// With another rate and other intervals between copies.
    #[must_use]
    pub fn with(self, rate: f64, copy_every: u64) -> Self {
        Self {
            rate,
            copy_every,
            ..self
        }
    }

    /// Replaces the weights, and those of the target if the file has them.
    ///
    /// # Errors
    /// Weights of another network.
    pub fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.trained.load_weights(file)
    }

    /// Weights, target and moments under their names, for tests.
    pub fn state(&self) -> Vec<crate::nn::state_dict::Entry> {
        let mut entries = self.trained.weights();
        entries.extend(self.trained.state());
        entries
    }

    /// Learns from a batch whose `next_actions` are the policy's; actions are in the codec's units.
    /// Returns the loss.
    pub fn update(&mut self, pool: &Pool, batch: &Transitions) -> f64 {
        self.find_targets(pool, batch);
        let inputs: [&[f32]; 2] = [&batch.observations, &batch.actions];
        let inputs = &inputs[..self.parts()];
        self.trained
            .network
            .lock()
            .forward(pool, inputs, &mut self.pass);
        let Scratch {
            targets,
            values,
            value_gradients,
            gradients,
            ..
        } = &mut self.scratch;
        taken(
            self.discrete,
            self.actions,
            self.pass.outputs(),
            &batch.actions,
            values,
        );
        value_gradients.clear();
        value_gradients.resize(values.len(), 0.0);
        let loss = if self.discrete {
            losses::huber_mean(values, targets, value_gradients)
        } else {
            losses::squared(values, targets, value_gradients)
        };
        gradients.clear();
        if self.discrete {
            let rows = batch.actions.chunks(self.actions).zip(&*value_gradients);
            gradients.extend(rows.flat_map(|(row, slope)| row.iter().map(move |one| one * slope)));
        } else {
            gradients.extend_from_slice(value_gradients);
        }
        let want = Want::parameters(&mut self.trained.gradient);
        let mut network = self.trained.network.lock();
        network.backward(pool, gradients, want, &mut self.pass);
        drop(network);
        self.trained.step(pool, self.rate);
        if self.updates.is_multiple_of(self.copy_every) {
            self.trained.follow(pool, 1.0);
        }
        self.updates += 1;
        loss
    }

    /// The targets of the last update's batch.
    pub fn targets(&self) -> &[f32] {
        &self.scratch.targets
    }

    /// Q(s, a) of the last update's batch, before the step.
    pub fn predictions(&self) -> &[f32] {
        &self.scratch.values
    }

    /// Q(s, a) of rows of inputs and actions, in units of the rewards that it learned from.
    pub fn values(&self, pool: &Pool, observations: &[f32], actions: &[f32]) -> Vec<f32> {
        let rows = actions.len() / self.actions;
        let columns = if self.discrete { self.actions } else { 1 };
        let mut outputs = vec![0.0; rows * columns];
        let inputs = &[observations, actions][..self.parts()];
        self.trained.infer(pool, inputs, &mut outputs);
        let mut values = Vec::new();
        taken(self.discrete, self.actions, &outputs, actions, &mut values);
        values
    }

    /// How many of observation and action the network takes.
    fn parts(&self) -> usize {
        2 - usize::from(self.discrete)
    }

    fn find_targets(&mut self, pool: &Pool, batch: &Transitions) {
        let parts = self.parts();
        let columns = if self.discrete { self.actions } else { 1 };
        let Scratch {
            outputs, targets, ..
        } = &mut self.scratch;
        outputs.resize(batch.rows * columns, 0.0);
        let inputs: [&[f32]; 2] = [&batch.next_observations, &batch.next_actions];
        let inputs = &inputs[..parts];
        if let Some(target) = &mut self.trained.target {
            target.infer(pool, inputs, outputs);
        }
        taken(
            self.discrete,
            self.actions,
            outputs,
            &batch.next_actions,
            targets,
        );
        for (row, target) in targets.iter_mut().enumerate() {
            let goes_on = batch.discounts[row] * (1.0 - batch.terminated[row]);
            *target = batch.rewards[row] + goes_on * *target;
        }
    }
}

/// The value of each row's action: the output, or the one of several that its one-hot row names.
fn taken(discrete: bool, width: usize, outputs: &[f32], actions: &[f32], values: &mut Vec<f32>) {
    values.clear();
    if !discrete {
        values.extend_from_slice(outputs);
        return;
    }
    let rows = outputs.chunks(width).zip(actions.chunks(width));
    values.extend(rows.map(|(outputs, one_hot)| {
        let numbers = outputs.iter().zip(one_hot);
        numbers.map(|(output, one)| output * one).sum::<f32>()
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain s = 0 -> 1 -> 2 -> end: action 1 advances for a reward of 1, action 0 stays for
    /// none. The data's actions are random, the policy's is always 1: Q(0, 1) = 1 + g + g^2.
    #[test]
    fn the_values_of_a_policy_come_out_of_the_data_of_another() {
        let mut stream = Stream::new(5, "chain");
        let codec = ActionCodec::Discrete { n: 2, start: 0 };
        let pool = Pool::new(1);
        let discount = 0.5_f32;
        let mut fitted = FittedQ::of(3, &codec, &[32], &mut stream).with(3e-3, 20);
        let one_hot = |place: usize, count: usize| (0..count).map(move |at| f32::from(at == place));
        for _ in 0..1500 {
            let mut batch = Transitions {
                rows: 32,
                ..Transitions::default()
            };
            for _ in 0..batch.rows {
                let (state, action) = (stream.index(3), stream.index(2));
                let next = state + action;
                batch.observations.extend(one_hot(state, 3));
                batch.actions.extend(one_hot(action, 2));
                batch.rewards.push(action as f32);
                batch.next_observations.extend(one_hot(next.min(2), 3));
                batch.next_actions.extend(one_hot(1, 2));
                batch.terminated.push(f32::from(next == 3));
                batch.discounts.push(discount);
            }
            fitted.update(&pool, &batch);
        }
        for (state, action, expected) in [(0, 1, 1.75), (1, 1, 1.5), (2, 1, 1.0), (0, 0, 0.875)] {
            let observation: Vec<f32> = one_hot(state, 3).collect();
            let action: Vec<f32> = one_hot(action, 2).collect();
            let found = fitted.values(&pool, &observation, &action)[0];
            assert!((found - expected).abs() < 0.02, "{state}: {found}");
        }
    }
}
