//! Acting as the data do: the last K observations in, the likeliest action out.

use super::Model;
use crate::policy::{Policy, Start};

/// The greedy policy of a [`Model`] for several episodes at once.
pub(super) struct Clone {
    model: Model,
    /// For each row the last K observations as the network sees them, the newest last. Before an
    /// episode's first they are zeros, as in kzl's `get_action`.
    histories: Vec<Vec<f32>>,
}

impl Clone {
    pub(super) fn new(model: &Model, rows: usize) -> Self {
        let width = model.config.context * model.normaliser.width();
        Self {
            model: model.clone(),
            histories: vec![vec![0.0; width]; rows],
        }
    }
}

impl Policy for Clone {
    fn begin(&mut self, row: usize, _: &Start) {
        self.histories[row].fill(0.0);
    }

    fn act(&mut self, active: &[usize], observations: &[f64], _: &[f64], actions: &mut [f64]) {
        let model = &self.model;
        let width = model.normaliser.width();
        let outer = actions.len() / self.histories.len();
        for &row in active {
            let history = &mut self.histories[row];
            history.rotate_left(width);
            let newest = history.len() - width;
            let observation = &observations[row * width..][..width];
            model.normaliser.apply(observation, &mut history[newest..]);
            let output = model.network.forward(&model.parameters, history);
            let action = &mut actions[row * outer..][..outer];
            model.actions.decode(&output, action);
        }
    }
}
