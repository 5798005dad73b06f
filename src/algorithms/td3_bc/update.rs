//! One update of TD3+BC, part by part.

use super::Td3Bc;
use crate::algorithms::Update;
use crate::algorithms::actor_critic::deterministic::Smoothing;
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Noise, Parts, Work};
use crate::algorithms::networks::mean;
use crate::kernels::mlp::heads::tanh;
use crate::kernels::mlp::{Pass, Want};

/// What an update needs on the way; its memory stays.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    next_actions: Vec<f32>,
    next_values: Vec<f32>,
    critics: Critics,
    gradients: Vec<f32>,
    policy_actions: Vec<f32>,
    action_gradients: Vec<f32>,
    actor_pass: Pass,
}

/// An update under way.
pub(super) struct Step<'a, 'b> {
    pub(super) work: &'a Work<'b, Td3Bc>,
    pub(super) parts: &'a mut Parts<Td3Bc>,
}

impl Step<'_, '_> {
    /// The whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let config = self.work.config();
        self.targets(noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        let report = scratch
            .critics
            .step(Update::default(), self.work, critics, step);
        if !self.work.number.is_multiple_of(config.policy_delay) {
            return report;
        }
        let report = self.actor(report, scratch);
        for network in &mut self.parts.networks {
            network.follow(self.work.pool, config.tau);
        }
        report
    }

    /// y = r + gamma (1 - terminated) min Q'(s', a'), with a' the target policy's, disturbed.
    fn targets(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let (work, config) = (self.work, self.work.config());
        let [actor, critics] = &mut self.parts.networks;
        let smoothing = Smoothing {
            scale: work.made_of.max_action(),
            noise: config.policy_noise,
            clip: config.noise_clip,
        };
        smoothing.next_actions(work, actor, noise, &mut to.noise, &mut to.next_actions);
        let inputs: [&[f32]; 2] = [&work.batch.next_observations, &to.next_actions];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the actor up the first critic, and towards the data.
    fn actor(&mut self, report: Update, with: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        let [actor, critics] = &mut self.parts.networks;
        let (batch, scale) = (work.batch, work.made_of.max_action());
        let rows = batch.rows as f32;
        let count = batch.actions.len();
        let mut policy = actor.network.lock();
        policy.forward(work.pool, &[&batch.observations], &mut with.actor_pass);
        with.policy_actions.resize(count, 0.0);
        let outputs = with.actor_pass.outputs();
        tanh::forward(scale, outputs, &mut with.policy_actions);

        let mut network = critics.network.lock();
        let inputs: [&[f32]; 2] = [&batch.observations, &with.policy_actions];
        let pass = &mut with.critics.pass;
        network.forward_of(work.pool, 0..1, None, &inputs, pass);
        let values = pass.outputs();
        let size = values.iter().map(|value| f64::from(value.abs()));
        let lambda = config.alpha / (size.sum::<f64>() / f64::from(rows));
        let q = mean(values);
        with.gradients.clear();
        with.gradients.resize(batch.rows, -(lambda as f32) / rows);
        network.backward(work.pool, &with.gradients, Want::input(1), pass);
        drop(network);

        with.action_gradients.resize(count, 0.0);
        pass.sum_input_gradients(&mut with.action_gradients);
        let mut cloning = 0.0_f64;
        let data = with.policy_actions.iter().zip(&batch.actions);
        for (gradient, (action, wanted)) in with.action_gradients.iter_mut().zip(data) {
            let error = action - wanted;
            cloning += f64::from(error) * f64::from(error);
            *gradient += 2.0 * error / count as f32;
        }
        cloning /= count as f64;
        with.gradients.resize(count, 0.0);
        tanh::backward(
            scale,
            &with.policy_actions,
            &with.action_gradients,
            &mut with.gradients,
        );
        let want = Want::parameters(&mut actor.gradient);
        policy.backward(work.pool, &with.gradients, want, &mut with.actor_pass);
        drop(policy);
        actor.step(work.pool, config.actor_learning_rate);
        report
            .mean("actor_loss", cloning - lambda * q)
            .mean("cloning_loss", cloning)
            .mean("q_policy", q)
            .last("lambda", lambda)
    }
}
