//! One update of IQL, part by part.

use rtg_datasets::sample::Transitions;

use super::config::Conventions;
use super::{Iql, gaussian};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::gaussian::Regression;
use crate::algorithms::actor_critic::update::{Critics, Expectile, bootstrap};
use crate::algorithms::actor_critic::{Parts, Work};
use crate::algorithms::networks::{Trained, mean};
use rtg_kernels::mlp::heads::tanh;
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    actor_pass: Pass,
    critics: Critics,
    /// `min_j Q_j'(s, a)`.
    target_values: Vec<f32>,
    /// V(s').
    next_values: Vec<f32>,
    /// Its advantages are `target_values` minus V(s).
    value: Expectile,
    /// The gradient of the actor's outputs.
    gradients: Vec<f32>,
    regression: Regression,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    pub(super) work: &'a Work<'b, Iql>,
    /// The actor's learning rate.
    pub(super) rate: f64,
    /// The key of the actor's dropout, if it has any.
    pub(super) dropout_key: Option<u64>,
}

impl Step<'_, '_> {
    /// Computes the whole update.
    pub(super) fn run(&self, parts: &mut Parts<Iql>, with: &mut Scratch) -> Update {
        let batch = self.work.batch;
        let [_, critics, value] = &mut parts.networks;
        let inputs: [&[f32]; 2] = [&batch.observations, &batch.actions];
        let values = &mut with.target_values;
        let work = self.work;
        with.critics.least_of_targets(work, critics, inputs, values);
        match work.config().conventions {
            Conventions::Corl => {
                self.next_values(value, with);
                let report = self.step_value(value, with);
                let report = self.step_critics(report, critics, with);
                critics.follow(work.pool, work.config().tau);
                self.step_actor(report, parts, with)
            }
            // One step for V and Q there: with Adam the same as one for each.
            Conventions::D3rlpy => {
                self.next_values(value, with);
                let report = self.step_value(value, with);
                let report = self.step_critics(report, critics, with);
                self.advantages(value, with);
                critics.follow(work.pool, work.config().tau);
                self.step_actor(report, parts, with)
            }
            Conventions::Paper => {
                let report = self.step_value(value, with);
                self.advantages(value, with);
                self.next_values(value, with);
                let report = self.step_actor(report, parts, with);
                let [_, critics, _] = &mut parts.networks;
                let report = self.step_critics(report, critics, with);
                critics.follow(work.pool, work.config().tau);
                report
            }
        }
    }

    /// Computes V(s') with the current V.
    fn next_values(&self, value: &Trained, to: &mut Scratch) {
        to.next_values.resize(self.work.batch.rows, 0.0);
        let inputs: [&[f32]; 1] = [&self.work.batch.next_observations];
        let mut network = value.network.lock();
        network.infer(self.work.pool, &inputs, &mut to.next_values);
    }

    /// Computes the advantages with the current V.
    fn advantages(&self, value: &Trained, to: &mut Scratch) {
        let (work, advantages) = (self.work, &mut to.value.advantages);
        advantages.resize(work.batch.rows, 0.0);
        value.infer(work.pool, &[&work.batch.observations], advantages);
        for (advantage, target) in advantages.iter_mut().zip(&to.target_values) {
            *advantage = target - *advantage;
        }
    }

    /// Steps V towards the expectile of the target critics; stores the advantages before the step.
    fn step_value(&self, value: &mut Trained, with: &mut Scratch) -> Update {
        let config = self.work.config();
        let step = (config.expectile, config.value_learning_rate);
        with.value.step(self.work, value, &with.target_values, step)
    }

    /// Steps the critics towards r + gamma (1 - terminated) V(s').
    fn step_critics(&self, report: Update, critics: &mut Trained, with: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        let factor = match config.conventions {
            Conventions::Corl => 0.5,
            Conventions::Paper | Conventions::D3rlpy => 1.0,
        };
        bootstrap(work.batch, &with.next_values, &mut with.critics.targets);
        let step = (factor, config.critic_learning_rate);
        with.critics.step(report, work, critics, step)
    }

    /// Steps the actor towards the data's actions, weighted by their advantages.
    fn step_actor(&self, report: Update, parts: &mut Parts<Iql>, with: &mut Scratch) -> Update {
        let (batch, pool, config) = (self.work.batch, self.work.pool, self.work.config());
        let Parts {
            networks: [actor, ..],
            vectors,
        } = parts;
        let to = &mut with.regression;
        let limit = config.weight_limit as f32;
        let beta = config.beta as f32;
        to.weights.clear();
        let advantages = with.value.advantages.iter();
        to.weights
            .extend(advantages.map(|advantage| (beta * advantage).exp().min(limit)));

        let mut network = actor.network.lock();
        let pass = &mut with.actor_pass;
        let inputs: [&[f32]; 1] = [&batch.observations];
        network.forward_of(pool, 0..1, self.dropout_key, &inputs, pass);
        to.begin(batch);
        tanh::forward(1.0, pass.outputs(), &mut to.actions);
        let rows = batch.rows as f32;
        match gaussian(config).zip(vectors.first_mut()) {
            Some((gaussian, log_sigma)) => to.gaussian(batch, gaussian, log_sigma, rows),
            None => regress(batch, to),
        }
        with.gradients.resize(batch.actions.len(), 0.0);
        tanh::backward(1.0, &to.actions, &to.gradients, &mut with.gradients);
        let want = Want::parameters(&mut actor.gradient);
        network.backward(pool, &with.gradients, want, pass);
        drop(network);
        actor.step(pool, self.rate);
        for log_sigma in vectors {
            log_sigma.step(pool, self.rate);
        }
        report
            .mean("actor_loss", to.sum() / batch.rows.max(1) as f64)
            .mean("cloning_loss", mean(&to.cloning))
            .mean("advantage", mean(&with.value.advantages))
            .mean("weight", mean(&to.weights))
            .mean("weights_limited", to.limited(limit))
            .last("learning_rate", self.rate)
    }
}

/// The loss of a row is the sum of the action's squared errors.
fn regress(batch: &Transitions, to: &mut Regression) {
    let (rows, width) = (batch.rows as f32, to.actions.len() / batch.rows.max(1));
    for (row, (weight, cloning)) in to.weights.iter().zip(&mut to.cloning).enumerate() {
        *cloning = 0.0;
        for at in row * width..(row + 1) * width {
            let error = to.actions[at] - batch.actions[at];
            *cloning += error * error;
            to.gradients[at] = 2.0 * weight * error / rows;
        }
    }
}
