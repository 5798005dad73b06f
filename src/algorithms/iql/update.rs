//! One update of IQL, part by part.

use rtg_datasets::sample::Transitions;

use super::config::{Config, Conventions};
use crate::algorithms::Update;
use crate::algorithms::networks::{Trained, mean};
use crate::algorithms::vector::TrainedVector;
use crate::kernels::mlp::heads::{gaussian::Gaussian, tanh};
use crate::kernels::mlp::{Pass, Pool, Want};

/// What is trained.
pub(super) struct Parts {
    pub(super) actor: Trained,
    /// A Gaussian actor's log standard deviations, and how they are bounded.
    pub(super) log_sigma: Option<(Gaussian, TrainedVector)>,
    pub(super) critics: Trained,
    pub(super) value: Trained,
}

impl Parts {
    /// A copy of a Gaussian actor's log standard deviations, for the model that acts.
    pub(super) fn log_sigma(&self) -> Option<Vec<f32>> {
        let (_, log_sigma) = self.log_sigma.as_ref()?;
        Some(log_sigma.values.clone())
    }
}

/// What an update needs on the way; its memory stays.
#[derive(Default)]
pub(super) struct Scratch {
    value_pass: Pass,
    critic_pass: Pass,
    actor_pass: Pass,
    /// The critics' values, first those of one, then those of the other.
    twin_values: Vec<f32>,
    /// `min_j Q_j'(s, a)`.
    target_values: Vec<f32>,
    /// V(s').
    next_values: Vec<f32>,
    /// `target_values` less V(s).
    advantages: Vec<f32>,
    /// y.
    targets: Vec<f32>,
    /// At the outputs of the network that is stepped.
    gradients: Vec<f32>,
    policy: PolicyScratch,
}

/// What the actor's loss needs.
#[derive(Default)]
struct PolicyScratch {
    /// w.
    weights: Vec<f32>,
    /// The actor's actions, or their means.
    actions: Vec<f32>,
    action_gradients: Vec<f32>,
    /// -log pi or the sum of squared errors, row by row.
    cloning: Vec<f32>,
    log_gradients: Vec<f32>,
}

/// An update of a batch.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) pool: &'a Pool,
    pub(super) batch: &'a Transitions,
    /// The actor's learning rate.
    pub(super) rate: f64,
    /// Of the actor's dropout, if it has any.
    pub(super) dropout_key: Option<u64>,
}

impl Work<'_> {
    /// The whole update.
    pub(super) fn run(&self, parts: &mut Parts, with: &mut Scratch) -> Update {
        let value = &mut parts.value;
        self.target_values(&mut parts.critics, with);
        match self.config.conventions {
            Conventions::Corl => {
                self.next_values(value, with);
                let report = self.step_value(value, with);
                let report = self.step_critics(report, &mut parts.critics, with);
                self.step_actor(report, parts, with)
            }
            Conventions::Paper => {
                let report = self.step_value(value, with);
                self.advantages(value, with);
                self.next_values(value, with);
                let report = self.step_actor(report, parts, with);
                self.step_critics(report, &mut parts.critics, with)
            }
        }
    }

    /// `min_j Q_j'(s, a)`.
    fn target_values(&self, critics: &mut Trained, to: &mut Scratch) {
        let Some(target) = &mut critics.target else {
            return;
        };
        let batch = self.batch;
        to.twin_values.resize(2 * batch.rows, 0.0);
        let inputs: [&[f32]; 2] = [&batch.observations, &batch.actions];
        target.infer(self.pool, &inputs, &mut to.twin_values);
        let (first, second) = to.twin_values.split_at(batch.rows);
        to.target_values.clear();
        to.target_values
            .extend(first.iter().zip(second).map(|(a, b)| a.min(*b)));
    }

    /// V(s') with V as it stands.
    fn next_values(&self, value: &Trained, to: &mut Scratch) {
        to.next_values.resize(self.batch.rows, 0.0);
        let inputs: [&[f32]; 1] = [&self.batch.next_observations];
        let mut network = value.network.lock();
        network.infer(self.pool, &inputs, &mut to.next_values);
    }

    /// The advantages with V as it stands.
    fn advantages(&self, value: &Trained, to: &mut Scratch) {
        to.advantages.resize(self.batch.rows, 0.0);
        let mut network = value.network.lock();
        network.infer(self.pool, &[&self.batch.observations], &mut to.advantages);
        for (advantage, target) in to.advantages.iter_mut().zip(&to.target_values) {
            *advantage = target - *advantage;
        }
    }

    /// Steps V towards the expectile of the target critics; leaves the advantages before the step.
    fn step_value(&self, value: &mut Trained, with: &mut Scratch) -> Update {
        let rows = self.batch.rows as f32;
        let expectile = self.config.expectile as f32;
        let mut network = value.network.lock();
        let pass = &mut with.value_pass;
        network.forward(self.pool, &[&self.batch.observations], pass);
        with.advantages.clear();
        with.gradients.clear();
        let mut loss = 0.0_f64;
        for (value, target) in pass.outputs().iter().zip(&with.target_values) {
            let advantage = target - value;
            let weight = if advantage < 0.0 {
                1.0 - expectile
            } else {
                expectile
            };
            loss += f64::from(weight * advantage) * f64::from(advantage);
            with.advantages.push(advantage);
            with.gradients.push(-2.0 * weight * advantage / rows);
        }
        let report = Update::default()
            .mean("value_loss", loss / f64::from(rows))
            .mean("value", mean(pass.outputs()));
        let want = Want::parameters(&mut value.gradient);
        network.backward(self.pool, &with.gradients, want, pass);
        drop(network);
        value.step(self.pool, self.config.value_learning_rate);
        report
    }

    /// Steps the critics towards r + gamma (1 - terminated) V(s') and moves their targets.
    fn step_critics(&self, report: Update, critics: &mut Trained, with: &mut Scratch) -> Update {
        let batch = self.batch;
        let rows = batch.rows as f32;
        let scale = match self.config.conventions {
            Conventions::Corl => 0.5,
            Conventions::Paper => 1.0,
        };
        with.targets.clear();
        let next_values = with.next_values.iter().enumerate();
        with.targets.extend(next_values.map(|(row, value)| {
            let goes_on = 1.0 - batch.terminated[row];
            batch.rewards[row] + batch.discounts[row] * goes_on * value
        }));
        let mut network = critics.network.lock();
        let pass = &mut with.critic_pass;
        network.forward(self.pool, &[&batch.observations, &batch.actions], pass);
        with.gradients.clear();
        let mut loss = 0.0_f64;
        for values in pass.outputs().chunks(batch.rows.max(1)) {
            for (value, target) in values.iter().zip(&with.targets) {
                let error = value - target;
                loss += f64::from(error) * f64::from(error);
                with.gradients.push(2.0 * scale * error / rows);
            }
        }
        let report = report
            .mean("critic_loss", f64::from(scale) * loss / f64::from(rows))
            .mean("q", mean(&pass.outputs()[..batch.rows]))
            .mean("q_target", mean(&with.targets));
        let want = Want::parameters(&mut critics.gradient);
        network.backward(self.pool, &with.gradients, want, pass);
        drop(network);
        critics.step(self.pool, self.config.critic_learning_rate);
        critics.follow(self.pool, self.config.tau);
        report
    }

    /// Steps the actor towards the data's actions, each with the weight of its advantage.
    fn step_actor(&self, report: Update, parts: &mut Parts, with: &mut Scratch) -> Update {
        let batch = self.batch;
        let Parts {
            actor, log_sigma, ..
        } = parts;
        let to = &mut with.policy;
        let limit = self.config.weight_limit as f32;
        let beta = self.config.beta as f32;
        to.weights.clear();
        let advantages = with.advantages.iter();
        to.weights
            .extend(advantages.map(|advantage| (beta * advantage).exp().min(limit)));

        let mut network = actor.network.lock();
        let pass = &mut with.actor_pass;
        let inputs: [&[f32]; 1] = [&batch.observations];
        network.forward_of(self.pool, 0..1, self.dropout_key, &inputs, pass);
        to.actions.resize(batch.actions.len(), 0.0);
        tanh::forward(1.0, pass.outputs(), &mut to.actions);
        to.cloning.resize(batch.rows, 0.0);
        to.action_gradients.resize(batch.actions.len(), 0.0);
        match log_sigma {
            Some((gaussian, log_sigma)) => to.regress_gaussian(batch, *gaussian, log_sigma),
            None => to.regress(batch),
        }
        with.gradients.resize(batch.actions.len(), 0.0);
        tanh::backward(1.0, &to.actions, &to.action_gradients, &mut with.gradients);
        let want = Want::parameters(&mut actor.gradient);
        network.backward(self.pool, &with.gradients, want, pass);
        drop(network);
        actor.step(self.pool, self.rate);
        if let Some((_, log_sigma)) = log_sigma {
            log_sigma.step(self.pool, self.rate);
        }
        let rows = batch.rows.max(1) as f64;
        let terms = to.weights.iter().zip(&to.cloning);
        let loss: f64 = terms.map(|(w, c)| f64::from(*w) * f64::from(*c)).sum();
        let limited = to.weights.iter().filter(|weight| **weight >= limit);
        report
            .mean("actor_loss", loss / rows)
            .mean("cloning_loss", mean(&to.cloning))
            .mean("advantage", mean(&with.advantages))
            .mean("weight", mean(&to.weights))
            .mean("weights_limited", limited.count() as f64 / rows)
            .last("learning_rate", self.rate)
    }
}

impl PolicyScratch {
    /// Cloning is -log pi(a | s).
    fn regress_gaussian(
        &mut self,
        batch: &Transitions,
        gaussian: Gaussian,
        log_sigma: &mut TrainedVector,
    ) {
        let sigma = &log_sigma.values;
        gaussian.log_probabilities(&self.actions, sigma, &batch.actions, &mut self.cloning);
        let rows = batch.rows as f32;
        self.log_gradients.clear();
        self.log_gradients
            .extend(self.weights.iter().map(|weight| -weight / rows));
        for log_probability in &mut self.cloning {
            *log_probability = -*log_probability;
        }
        log_sigma.gradient.fill(0.0);
        gaussian.backward(
            (&self.actions, sigma, &batch.actions),
            &self.log_gradients,
            &mut self.action_gradients,
            &mut log_sigma.gradient,
        );
    }

    /// Cloning is the sum over an action's squared errors.
    fn regress(&mut self, batch: &Transitions) {
        let (rows, width) = (batch.rows as f32, self.actions.len() / batch.rows.max(1));
        for (row, (weight, cloning)) in self.weights.iter().zip(&mut self.cloning).enumerate() {
            *cloning = 0.0;
            for at in row * width..(row + 1) * width {
                let error = self.actions[at] - batch.actions[at];
                *cloning += error * error;
                self.action_gradients[at] = 2.0 * weight * error / rows;
            }
        }
    }
}
