//! The loss of a clone, and its gradient at the network's outputs.

use crate::kernels::Head;
use crate::kernels::mlp::heads::{categorical, tanh};

/// What the data did, in each row of a batch.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Actions, rows x A; of discrete ones nothing.
    pub(super) actions: Vec<f32>,
    /// Which of the discrete actions.
    pub(super) choices: Vec<usize>,
}

/// What the loss needs on the way; its memory stays.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// At the outputs.
    pub(super) gradients: Vec<f32>,
    /// Actions or log-probabilities.
    found: Vec<f32>,
    /// At those.
    inner: Vec<f32>,
}

impl Loss {
    /// The mean loss; leaves its gradient. Of bounded actions it is the squared error, a mean over
    /// rows and numbers; of logits the cross-entropy, a mean over rows.
    pub(super) fn of(&mut self, head: Head, outputs: &[f32], wanted: &Wanted) -> f64 {
        self.found.resize(outputs.len(), 0.0);
        self.gradients.resize(outputs.len(), 0.0);
        match head {
            Head::Tanh { scale } => self.squared_error(scale, outputs, &wanted.actions),
            Head::Logits => self.cross_entropy(outputs, &wanted.choices),
        }
    }

    fn squared_error(&mut self, scale: f32, outputs: &[f32], wanted: &[f32]) -> f64 {
        tanh::forward(scale, outputs, &mut self.found);
        let count = outputs.len() as f32;
        let mut loss = 0.0_f64;
        self.inner.clear();
        for (action, wanted) in self.found.iter().zip(wanted) {
            let error = action - wanted;
            loss += f64::from(error) * f64::from(error);
            self.inner.push(2.0 * error / count);
        }
        tanh::backward(scale, &self.found, &self.inner, &mut self.gradients);
        loss / f64::from(count)
    }

    fn cross_entropy(&mut self, outputs: &[f32], choices: &[usize]) -> f64 {
        let rows = choices.len();
        let width = outputs.len() / rows.max(1);
        categorical::log_softmax(width, outputs, &mut self.found);
        let logs = self.found.chunks(width.max(1)).zip(choices);
        let loss: f64 = logs.map(|(logs, choice)| f64::from(-logs[*choice])).sum();
        self.inner.clear();
        self.inner.resize(2 * rows, 0.0);
        let (of_logs, of_entropies) = self.inner.split_at_mut(rows);
        of_logs.fill(-1.0 / rows as f32);
        categorical::backward(
            &self.found,
            choices,
            of_logs,
            of_entropies,
            &mut self.gradients,
        );
        loss / rows.max(1) as f64
    }
}
