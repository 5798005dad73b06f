//! The arithmetic of one update.

use rtg_datasets::sample::Transitions;

use super::config::Config;
use super::model::{Constrained, RULED_OUT};
use crate::algorithms::Update;
use crate::algorithms::networks::{Trained, mean};
use crate::algorithms::q_learning::{argmax, losses};
use rtg_kernels::mlp::heads::categorical;
use rtg_kernels::mlp::{Pass, Pool, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub(super) struct Scratch {
    pass: Pass,
    outputs: Vec<f32>,
    /// Rows x A.
    allowed: Vec<f32>,
    /// a*, row by row.
    best: Vec<usize>,
    targets: Vec<f32>,
    taken: Vec<f32>,
    taken_gradients: Vec<f32>,
    logs: Vec<f32>,
    /// The gradient of the outputs: values, then logits.
    gradients: Vec<f32>,
}

/// An update's constants and its batch.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) decision: Constrained,
    pub(super) pool: &'a Pool,
    pub(super) batch: &'a Transitions,
}

impl Work<'_> {
    /// Steps both networks.
    pub(super) fn update(&self, both: &mut Trained, with: &mut Scratch) -> Update {
        let report = self.measure(both, with);
        let want = Want::parameters(&mut both.gradient);
        let mut network = both.network.lock();
        network.backward(self.pool, &with.gradients, want, &mut with.pass);
        drop(network);
        both.step(self.pool, self.config.learning_rate);
        report
    }

    /// The losses on the batch; writes their gradient with respect to the outputs.
    pub(super) fn measure(&self, both: &mut Trained, with: &mut Scratch) -> Update {
        let shares = self.targets(both, with);
        let mut network = both.network.lock();
        network.forward(self.pool, &[&self.batch.observations], &mut with.pass);
        drop(network);
        let (rows, count) = (self.batch.rows, self.decision.actions);
        let (values, logits) = with.pass.outputs().split_at(rows * count);
        with.gradients.clear();
        with.gradients.resize(2 * rows * count, 0.0);
        let (at_values, at_logits) = with.gradients.split_at_mut(rows * count);

        let place = |(row, label): (usize, &u32)| row * count + *label as usize;
        let places = || self.batch.labels.iter().enumerate().map(place);
        with.taken.clear();
        with.taken.extend(places().map(|at| values[at]));
        with.taken_gradients.clear();
        with.taken_gradients.resize(rows, 0.0);
        let td_loss = losses::huber_mean(&with.taken, &with.targets, &mut with.taken_gradients);
        for (at, gradient) in places().zip(&with.taken_gradients) {
            at_values[at] = *gradient;
        }

        // Cross-entropy and squared logits.
        with.logs.resize(rows * count, 0.0);
        categorical::log_softmax(count, logits, &mut with.logs);
        let weight = self.config.logit_weight as f32;
        let share = 1.0 / rows as f32;
        let mut squares = 0.0_f64;
        for ((to, log), logit) in at_logits.iter_mut().zip(&with.logs).zip(logits) {
            squares += f64::from(logit * logit);
            *to = share * (log.exp() + 2.0 * weight * logit / count as f32);
        }
        let mut cloning = 0.0_f64;
        for at in places() {
            cloning -= f64::from(with.logs[at]);
            at_logits[at] -= share;
        }
        let cloning = cloning / rows as f64;
        let penalty = self.config.logit_weight * squares / (rows * count) as f64;
        Update::default()
            .mean("critic_loss", td_loss + cloning + penalty)
            .mean("td_loss", td_loss)
            .mean("cloning_loss", cloning)
            .mean("q", mean(&with.taken))
            .mean("q_target", mean(&with.targets))
            .mean("actions_allowed", shares)
    }

    /// Computes y; returns the share of allowed actions.
    fn targets(&self, both: &mut Trained, with: &mut Scratch) -> f64 {
        let batch = self.batch;
        let (rows, count) = (batch.rows, self.decision.actions);
        let next = [&batch.next_observations[..]];
        with.outputs.resize(2 * rows * count, 0.0);
        let mut network = both.network.lock();
        network.infer(self.pool, &next, &mut with.outputs);
        drop(network);
        with.allowed.resize(rows * count, 0.0);
        let (values, logits) = with.outputs.split_at(rows * count);
        let of = values.chunks(count).zip(logits.chunks(count));
        for ((values, logits), to) in of.zip(with.allowed.chunks_mut(count)) {
            self.decision.allowed(values, logits, to);
        }
        with.best.clear();
        with.best.extend(with.allowed.chunks(count).map(argmax));
        let kept = with.allowed.iter().filter(|value| **value > RULED_OUT);
        let share = kept.count() as f64 / (rows * count).max(1) as f64;

        if let Some(target) = &mut both.target {
            target.infer(self.pool, &next, &mut with.outputs);
        }
        with.targets.clear();
        let best = with.best.iter().enumerate();
        with.targets.extend(best.map(|(row, best)| {
            let goes_on = batch.discounts[row] * (1.0 - batch.terminated[row]);
            batch.rewards[row] + goes_on * with.outputs[row * count + best]
        }));
        share
    }
}
