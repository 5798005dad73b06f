//! The arithmetic of one update.

use rtg_datasets::sample::Transitions;

use super::form::{Form, argmax};
use super::losses;
use super::method::{Loss, Method};
use crate::algorithms::Update;
use crate::algorithms::networks::{Trained, mean};
use rtg_kernels::mlp::{Pass, Pool, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub(super) struct Scratch {
    pass: Pass,
    outputs: Vec<f32>,
    /// Rows x A x N, at s or s'.
    values: Vec<f32>,
    /// Rows x A.
    means: Vec<f32>,
    /// a*, row by row.
    best: Vec<usize>,
    /// y: rows x N.
    targets: Vec<f32>,
    /// Q(s, a): rows x N, and the gradient there.
    taken: Vec<f32>,
    taken_gradients: Vec<f32>,
    /// The gradient of the means, rows x A.
    mean_gradients: Vec<f32>,
    /// The gradient of the values, rows x A x N.
    value_gradients: Vec<f32>,
    gradients: Vec<f32>,
}

/// An update's constants and its batch.
pub(super) struct Work<'a> {
    pub(super) method: &'a Method,
    pub(super) form: Form,
    pub(super) pool: &'a Pool,
    pub(super) batch: &'a Transitions,
}

impl Work<'_> {
    /// Steps the network towards the targets.
    pub(super) fn update(&self, q: &mut Trained, with: &mut Scratch) -> Update {
        let report = self.measure(q, with);
        let want = Want::parameters(&mut q.gradient);
        let mut network = q.network.lock();
        network.backward(self.pool, &with.gradients, want, &mut with.pass);
        drop(network);
        let (rate, limit) = (self.method.learning_rate, self.method.gradient_limit);
        if limit > 0.0 {
            let norm = q.step_limited(self.pool, rate, limit);
            return report.mean("gradient_norm", norm);
        }
        q.step(self.pool, rate);
        report
    }

    /// The loss on the batch and its components; writes its gradient with respect to the outputs.
    pub(super) fn measure(&self, q: &mut Trained, with: &mut Scratch) -> Update {
        self.targets(q, with);
        let (count, n) = (self.form.actions, self.form.quantiles);
        let mut network = q.network.lock();
        network.forward(self.pool, &[&self.batch.observations], &mut with.pass);
        drop(network);
        self.form.values(with.pass.outputs(), &mut with.values);
        self.form.means(&with.values, &mut with.means);

        let place = |(row, label): (usize, &u32)| (row * count + *label as usize) * n;
        let places = || self.batch.labels.iter().enumerate().map(place);
        with.taken.clear();
        for at in places() {
            with.taken.extend_from_slice(&with.values[at..at + n]);
        }
        zeros(&mut with.taken_gradients, with.taken.len());
        let (taken, targets) = (&with.taken, &with.targets);
        let gradients = &mut with.taken_gradients;
        let td_loss = match (n, self.method.loss) {
            (1, Loss::Squared) => losses::squared(taken, targets, gradients),
            (1, Loss::Huber) => losses::huber_mean(taken, targets, gradients),
            _ => losses::quantile(taken, targets, n, gradients),
        };
        let weight = self.method.conservative;
        zeros(&mut with.mean_gradients, with.means.len());
        let gap = (weight > 0.0).then(|| {
            let (means, labels) = (&with.means, &self.batch.labels);
            losses::conservative(means, labels, weight as f32, &mut with.mean_gradients)
        });

        let spread = with.mean_gradients.iter();
        let spread = spread.flat_map(|gradient| std::iter::repeat_n(gradient / n as f32, n));
        with.value_gradients.clear();
        with.value_gradients.extend(spread);
        for (at, gradients) in places().zip(with.taken_gradients.chunks(n)) {
            let to = &mut with.value_gradients[at..at + n];
            to.iter_mut()
                .zip(gradients)
                .for_each(|(to, from)| *to += from);
        }
        self.form
            .backward(&with.value_gradients, &mut with.gradients);

        let loss = td_loss + gap.map_or(0.0, |gap| weight * gap);
        let mut report = Update::default().mean("critic_loss", loss);
        if let Some(gap) = gap {
            report = report
                .mean("td_loss", td_loss)
                .mean("conservative_gap", gap);
        }
        report
            .mean("q", mean(&with.taken))
            .mean("q_target", mean(&with.targets))
    }

    /// y = r + gamma (1 - terminated) Q'(s', a*).
    fn targets(&self, q: &mut Trained, with: &mut Scratch) {
        let batch = self.batch;
        let (count, n) = (self.form.actions, self.form.quantiles);
        let next = [&batch.next_observations[..]];
        with.outputs.resize(batch.rows * self.form.outputs(), 0.0);
        if self.method.double {
            let mut network = q.network.lock();
            network.infer(self.pool, &next, &mut with.outputs);
            drop(network);
            self.choose(with);
        }
        if let Some(target) = &mut q.target {
            target.infer(self.pool, &next, &mut with.outputs);
        }
        if self.method.double {
            self.form.values(&with.outputs, &mut with.values);
        } else {
            self.choose(with);
        }
        with.targets.clear();
        for (row, best) in with.best.iter().enumerate() {
            let goes_on = batch.discounts[row] * (1.0 - batch.terminated[row]);
            let values = &with.values[(row * count + best) * n..][..n];
            let targets = values
                .iter()
                .map(|value| batch.rewards[row] + goes_on * value);
            with.targets.extend(targets);
        }
    }

    /// Chooses the best actions from the current outputs; stores their values.
    fn choose(&self, with: &mut Scratch) {
        self.form.values(&with.outputs, &mut with.values);
        self.form.means(&with.values, &mut with.means);
        with.best.clear();
        with.best
            .extend(with.means.chunks(self.form.actions).map(argmax));
    }
}

/// Sets it to `len` zeros.
fn zeros(numbers: &mut Vec<f32>, len: usize) {
    numbers.clear();
    numbers.resize(len, 0.0);
}
