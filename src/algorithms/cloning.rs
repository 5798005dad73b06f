//! The losses of behaviour cloning and return-conditioned cloning, and their gradients with respect
//! to the network's outputs.

use rtg_datasets::sample::Batch;

use super::vector::TrainedVector;
use rtg_kernels::Head;
use rtg_kernels::mlp::heads::gaussian::Gaussian;
use rtg_kernels::mlp::heads::{categorical, tanh};

/// The data's action in each row of a batch.
#[derive(Debug, Default)]
pub(super) struct DataActions {
    /// Actions, rows x A; empty if they are discrete.
    pub(super) actions: Vec<f32>,
    /// Indices of discrete actions.
    pub(super) choices: Vec<usize>,
}

impl DataActions {
    /// Takes the actions at the windows' last steps; an action has `width` numbers.
    pub(super) fn last_of(&mut self, batch: &Batch, width: usize) {
        let last = |row: usize| (row + 1) * batch.context - 1;
        self.actions.clear();
        self.choices.clear();
        for row in 0..batch.rows {
            if let Some(&label) = batch.labels.get(last(row)) {
                self.choices.push(label as usize);
            } else {
                let action = &batch.actions[last(row) * width..][..width];
                self.actions.extend_from_slice(action);
            }
        }
    }
}

/// Scratch memory of the loss, kept for the next update.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// The gradient of the outputs.
    pub(super) gradients: Vec<f32>,
    /// Predicted actions or log-probabilities.
    found: Vec<f32>,
    /// Their gradient.
    inner: Vec<f32>,
}

impl Loss {
    /// The mean loss; writes its gradient to `gradients`. For bounded actions it is the squared
    /// error, averaged over rows and numbers; for logits the cross-entropy, averaged over rows.
    pub(super) fn of(&mut self, head: Head, outputs: &[f32], wanted: &DataActions) -> f64 {
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

    /// The mean over rows of -log pi(a), where the outputs are the means of a Gaussian; writes the
    /// gradients of the means and of the log standard deviations.
    pub(super) fn gaussian(
        &mut self,
        gaussian: Gaussian,
        outputs: &[f32],
        wanted: &DataActions,
        log_sigma: &mut TrainedVector,
    ) -> f64 {
        let sigma = &log_sigma.values;
        let rows = outputs.len() / sigma.len().max(1);
        self.found.resize(rows, 0.0);
        self.gradients.resize(outputs.len(), 0.0);
        gaussian.log_probabilities(outputs, sigma, &wanted.actions, &mut self.found);
        self.inner.clear();
        self.inner.resize(rows, -1.0 / rows.max(1) as f32);
        log_sigma.gradient.fill(0.0);
        gaussian.backward(
            (outputs, sigma, &wanted.actions),
            &self.inner,
            &mut self.gradients,
            &mut log_sigma.gradient,
        );
        let sum: f64 = self.found.iter().map(|&log| -f64::from(log)).sum();
        sum / rows.max(1) as f64
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
