//! One update of ReBRAC, part by part.

use super::{Rebrac, code};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::deterministic::Smoothing;
use crate::algorithms::actor_critic::update::{Critics, bootstrap, least, least_gradient};
use crate::algorithms::actor_critic::{Noise, Parts, Work};
use crate::algorithms::conventions::OfflineConventions;
use crate::algorithms::networks::mean;
use rtg_kernels::mlp::heads::tanh;
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    next_actions: Vec<f32>,
    next_values: Vec<f32>,
    /// `|a' - a+|^2`, row by row.
    penalties: Vec<f32>,
    critics: Critics,
    values: Vec<f32>,
    gradients: Vec<f32>,
    policy_actions: Vec<f32>,
    action_gradients: Vec<f32>,
    actor_pass: Pass,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    pub(super) work: &'a Work<'b, Rebrac>,
    pub(super) parts: &'a mut Parts<Rebrac>,
}

impl Step<'_, '_> {
    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        self.targets(noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        let report = scratch
            .critics
            .step(Update::default(), work, critics, step)
            .mean("critic_penalty", mean(&scratch.penalties));
        if !(work.number - 1).is_multiple_of(config.policy_delay) {
            return report;
        }
        let report = self.actor_gradient(report, scratch);
        let [actor, critics] = &mut self.parts.networks;
        let lags = code(work.made_of) == OfflineConventions::Corl;
        if lags {
            actor.follow(work.pool, config.tau);
        }
        actor.step(work.pool, config.actor_learning_rate);
        if !lags {
            actor.follow(work.pool, config.tau);
        }
        critics.follow(work.pool, config.tau);
        report
    }

    /// y = r + gamma (1 - terminated) (min Q'(s', a') - `beta_2` |a' - a+|^2).
    fn targets(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let (work, config) = (self.work, self.work.config());
        let [actor, critics] = &mut self.parts.networks;
        let smoothing = Smoothing {
            scale: 1.0,
            noise: config.policy_noise,
            clip: config.noise_clip,
        };
        smoothing.next_actions(work, actor, noise, &mut to.noise, &mut to.next_actions);
        squared_distances(
            work.made_of.actions.width(),
            (&to.next_actions, &work.batch.next_actions),
            &mut to.penalties,
        );
        let inputs: [&[f32]; 2] = [&work.batch.next_observations, &to.next_actions];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        for (value, penalty) in values.iter_mut().zip(&to.penalties) {
            *value -= config.critic_penalty as f32 * penalty;
        }
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// The actor's gradient: it increases the smaller critic's value and approaches the data's
    /// actions.
    fn actor_gradient(&mut self, report: Update, with: &mut Scratch) -> Update {
        let (work, config, batch) = (self.work, self.work.config(), self.work.batch);
        let [actor, critics] = &mut self.parts.networks;
        let (rows, count) = (batch.rows, batch.actions.len());
        let mut policy = actor.network.lock();
        policy.forward(work.pool, &[&batch.observations], &mut with.actor_pass);
        with.policy_actions.resize(count, 0.0);
        let outputs = with.actor_pass.outputs();
        tanh::forward(1.0, outputs, &mut with.policy_actions);

        let mut network = critics.network.lock();
        let inputs: [&[f32]; 2] = [&batch.observations, &with.policy_actions];
        let pass = &mut with.critics.pass;
        network.forward(work.pool, &inputs, pass);
        least(pass.outputs(), rows, &mut with.values);
        let size = with.values.iter().map(|value| f64::from(value.abs()));
        let lambda = rows as f64 / size.sum::<f64>();
        let weight = -(lambda as f32) / rows as f32;
        least_gradient(pass.outputs(), rows, weight, &mut with.gradients);
        network.backward(work.pool, &with.gradients, Want::input(1), pass);
        drop(network);

        with.action_gradients.resize(count, 0.0);
        pass.sum_input_gradients(&mut with.action_gradients);
        let factor = 2.0 * config.actor_penalty as f32 / rows as f32;
        let mut cloning = 0.0_f64;
        let data = with.policy_actions.iter().zip(&batch.actions);
        for (gradient, (action, wanted)) in with.action_gradients.iter_mut().zip(data) {
            let error = action - wanted;
            cloning += f64::from(error) * f64::from(error);
            *gradient += factor * error;
        }
        cloning /= rows as f64;
        with.gradients.resize(count, 0.0);
        tanh::backward(
            1.0,
            &with.policy_actions,
            &with.action_gradients,
            &mut with.gradients,
        );
        let want = Want::parameters(&mut actor.gradient);
        policy.backward(work.pool, &with.gradients, want, &mut with.actor_pass);
        let q = mean(&with.values);
        report
            .mean("actor_loss", config.actor_penalty * cloning - lambda * q)
            .mean("cloning_loss", cloning)
            .mean("q_policy", q)
            .last("lambda", lambda)
    }
}

/// The squared distance of each row.
fn squared_distances(width: usize, (a, b): (&[f32], &[f32]), to: &mut Vec<f32>) {
    let rows = a.chunks(width).zip(b.chunks(width));
    to.clear();
    to.extend(rows.map(|(a, b)| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>()
    }));
}
