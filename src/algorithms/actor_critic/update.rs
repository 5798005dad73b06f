//! The steps that most updates consist of.

use rtg_datasets::sample::Transitions;

use super::{Method, Work};
use crate::algorithms::Update;
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::{Trained, mean};
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of the critics' step, kept for the next one.
#[derive(Default)]
pub(in crate::algorithms) struct Critics {
    /// Members x rows, the values of an ensemble.
    pub(in crate::algorithms) values: Vec<f32>,
    /// y, the targets.
    pub(in crate::algorithms) targets: Vec<f32>,
    /// The gradients of the critics' outputs.
    pub(in crate::algorithms) gradients: Vec<f32>,
    pub(in crate::algorithms) pass: Pass,
}

/// The minimum of the members' values, row by row.
pub(in crate::algorithms) fn least(values: &[f32], rows: usize, to: &mut Vec<f32>) {
    let (first, others) = values.split_at(rows);
    to.clear();
    to.extend_from_slice(first);
    for member in others.chunks(rows.max(1)) {
        for (to, value) in to.iter_mut().zip(member) {
            *to = to.min(*value);
        }
    }
}

/// The gradient of the members' values, for `weight` times the sum of the minima.
pub(in crate::algorithms) fn least_gradient(
    values: &[f32],
    rows: usize,
    weight: f32,
    to: &mut Vec<f32>,
) {
    to.clear();
    to.resize(values.len(), 0.0);
    for row in 0..rows {
        let mut place = row;
        for other in (row..values.len()).step_by(rows) {
            if values[other] < values[place] {
                place = other;
            }
        }
        to[place] = weight;
    }
}

/// y = r + gamma (1 - terminated) v, from the values v of the next observations.
pub(in crate::algorithms) fn bootstrap(batch: &Transitions, values: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend(values.iter().enumerate().map(|(row, value)| {
        let goes_on = 1.0 - batch.terminated[row];
        batch.rewards[row] + batch.discounts[row] * goes_on * value
    }));
}

impl Critics {
    /// `min_j Q_j'(s, a)` of the target critics, row by row, into `to`.
    pub(in crate::algorithms) fn least_of_targets<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &mut Trained,
        inputs: [&[f32]; 2],
        to: &mut Vec<f32>,
    ) {
        let Some(target) = &mut critics.target else {
            return;
        };
        let rows = work.batch.rows;
        self.values.resize(target.shape().members * rows, 0.0);
        target.infer(work.pool, &inputs, &mut self.values);
        least(&self.values, rows, to);
    }

    /// `min_j Q_j(s, a)` of the current critics, row by row, into `to`.
    pub(in crate::algorithms) fn least<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &Trained,
        inputs: [&[f32]; 2],
        to: &mut Vec<f32>,
    ) {
        let mut network = critics.network.lock();
        let rows = work.batch.rows;
        self.values.resize(network.shape().members * rows, 0.0);
        network.infer(work.pool, &inputs, &mut self.values);
        least(&self.values, rows, to);
    }

    /// The critics at the batch's actions: L = factor `sum_j` mean `(Q_j - y)^2`, and its gradient
    /// with respect to their outputs.
    pub(in crate::algorithms) fn errors<M: Method>(
        &mut self,
        report: Update,
        work: &Work<M>,
        critics: &Trained,
        factor: f32,
    ) -> Update {
        let batch = work.batch;
        let rows = batch.rows as f32;
        let inputs: [&[f32]; 2] = [&batch.observations, &batch.actions];
        let mut network = critics.network.lock();
        network.forward(work.pool, &inputs, &mut self.pass);
        let values = self.pass.outputs();
        self.gradients.clear();
        let mut squares = 0.0_f64;
        for (value, target) in values.iter().zip(self.targets.iter().cycle()) {
            let error = value - target;
            squares += f64::from(error) * f64::from(error);
            self.gradients.push(factor * 2.0 * error / rows);
        }
        report
            .mean("critic_loss", f64::from(factor) * squares / f64::from(rows))
            .mean("q", mean(&values[..batch.rows]))
            .mean("q_target", mean(&self.targets))
    }

    /// The gradient of the critics' parameters.
    pub(in crate::algorithms) fn backward<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &mut Trained,
    ) {
        let want = Want::parameters(&mut critics.gradient);
        let mut network = critics.network.lock();
        network.backward(work.pool, &self.gradients, want, &mut self.pass);
    }

    /// Steps the critics towards the targets.
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        report: Update,
        work: &Work<M>,
        critics: &mut Trained,
        (factor, rate): (f32, f64),
    ) -> Update {
        let report = self.errors(report, work, critics, factor);
        self.backward(work, critics);
        critics.step(work.pool, rate);
        report
    }
}

/// Scratch memory of a value function's step towards an expectile, kept for the next update.
#[derive(Default)]
pub(in crate::algorithms) struct Expectile {
    /// The targets minus V(s), before the step.
    pub(in crate::algorithms) advantages: Vec<f32>,
    gradients: Vec<f32>,
    pass: Pass,
}

impl Expectile {
    /// Steps V: L = mean |t - 1\[A < 0\]| A^2, with t the expectile and A the advantages.
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        work: &Work<M>,
        value: &mut Trained,
        targets: &[f32],
        (expectile, rate): (f64, f64),
    ) -> Update {
        let mut network = value.network.lock();
        network.forward(work.pool, &[&work.batch.observations], &mut self.pass);
        let advantages = self.pass.outputs().iter().zip(targets);
        self.advantages.clear();
        self.advantages
            .extend(advantages.map(|(value, target)| target - value));
        let loss = asymmetric(expectile as f32, &self.advantages, &mut self.gradients);
        let report = Update::default()
            .mean("value_loss", loss)
            .mean("value", mean(self.pass.outputs()));
        let want = Want::parameters(&mut value.gradient);
        network.backward(work.pool, &self.gradients, want, &mut self.pass);
        drop(network);
        value.step(work.pool, rate);
        report
    }
}

/// L = mean |t - 1\[A < 0\]| A^2 of the advantages A = target - value, and its gradient with
/// respect to the values.
fn asymmetric(expectile: f32, advantages: &[f32], gradients: &mut Vec<f32>) -> f64 {
    let rows = advantages.len() as f32;
    let mut loss = 0.0_f64;
    gradients.clear();
    for advantage in advantages {
        let weight = if *advantage < 0.0 {
            1.0 - expectile
        } else {
            expectile
        };
        loss += f64::from(weight * advantage) * f64::from(*advantage);
        gradients.push(-2.0 * weight * advantage / rows);
    }
    loss / f64::from(rows)
}

/// The mean squared error between the actor's greedy actions and the data's, and the first critic's
/// mean values of the data's actions and of the actor's.
pub(in crate::algorithms) fn beside_data<M: Method>(
    work: &Work<M>,
    [actor, critics]: [&Trained; 2],
    decision: &M::Decision,
) -> [f64; 3] {
    let batch = work.batch;
    let mut actor = actor.network.lock();
    let mut outputs = vec![0.0; batch.rows * actor.shape().outputs];
    actor.infer(work.pool, &[&batch.observations], &mut outputs);
    drop(actor);
    let mut actions = vec![0.0; batch.actions.len()];
    decision.greedy(&outputs, &mut actions);
    let mut critics = critics.network.lock();
    let mut q = |actions: &[f32]| {
        let mut values = vec![0.0; critics.shape().members * batch.rows];
        critics.infer(work.pool, &[&batch.observations, actions], &mut values);
        mean(&values[..batch.rows])
    };
    let (q_data, q_policy) = (q(&batch.actions), q(&actions));
    let errors = actions.iter().zip(&batch.actions);
    let squares: f64 = errors.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let error = squares / actions.len().max(1) as f64;
    [error, q_data, q_policy]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expectile_loss_is_the_published_number() {
        let mut gradients = Vec::new();
        let loss = asymmetric(0.7, &[-0.5, 0.2], &mut gradients);
        assert!((loss - 0.0515).abs() < 1e-7, "{loss}");
        // -2 weight advantage / rows
        for (found, expected) in gradients.iter().zip([0.15, -0.14]) {
            assert!((found - expected).abs() < 1e-6, "{gradients:?}");
        }
    }

    #[test]
    fn of_equal_values_the_first_member_has_the_gradient() {
        // Three members, two rows: a tie of the last two, and one of all.
        let values = [3.0, 1.0, 2.0, 1.0, 2.0, 1.0];
        let (mut smallest, mut gradients) = (Vec::new(), Vec::new());
        least(&values, 2, &mut smallest);
        least_gradient(&values, 2, -0.5, &mut gradients);
        assert_eq!(smallest, [2.0, 1.0]);
        assert_eq!(gradients, [0.0, -0.5, -0.5, 0.0, 0.0, 0.0]);
    }
}
