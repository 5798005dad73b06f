//! One update of EDAC or SAC-N, part by part.

use super::{Edac, diversity};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::squashed::{Policy, Units};
use crate::algorithms::actor_critic::temperature::{self, Loss};
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Method, Noise, Parts, Work};
use crate::algorithms::networks::mean;
use rtg_kernels::mlp::heads::squashed::Squashed;
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    outputs: Vec<f32>,
    policy: Policy,
    next: Policy,
    next_values: Vec<f32>,
    critics: Critics,
    ones: Vec<f32>,
    cotangents: Vec<f32>,
    tangents: Pass,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    work: &'a Work<'b, Edac>,
    parts: &'a mut Parts<Edac>,
    head: Squashed,
    units: Units,
}

impl<'a, 'b> Step<'a, 'b> {
    pub(super) fn of(work: &'a Work<'b, Edac>, parts: &'a mut Parts<Edac>) -> Self {
        Self {
            head: Edac::decision(work.made_of, &[]),
            units: Units::identity(work.made_of.actions.width()),
            work,
            parts,
        }
    }

    /// Computes the whole update: temperature, actor, critics, targets.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, with: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        let Parts {
            networks: [actor, critics],
            vectors: [log_alpha],
        } = &mut *self.parts;
        with.policy.sample(work, (actor, &self.head), noise);
        let entropy = with.policy.entropy();
        let excess = config.target_entropy.unwrap_or_default() - entropy;
        let step = (config.alpha_learning_rate, excess);
        let alpha_loss = temperature::step(log_alpha, work.pool, Loss::LogAlpha, step);
        let alpha = temperature::alpha(log_alpha);

        // The weights and so the outputs are the same: only the noise is drawn again.
        let pass = std::mem::take(&mut with.policy.pass);
        with.policy.draw(&self.head, pass.outputs(), noise);
        with.policy.pass = pass;
        let through = (&*critics, &self.head, &self.units);
        let step = (alpha, config.actor_learning_rate);
        let actor_loss = with.policy.step(work, actor, through, step);

        self.targets(alpha, noise, with);
        let report = self.critics(with);
        let [_, critics] = &mut self.parts.networks;
        critics.follow(work.pool, config.tau);
        report
            .mean("actor_loss", actor_loss)
            .mean("alpha_loss", alpha_loss)
            .mean("entropy", entropy)
            .mean("q_policy", mean(&with.policy.values))
            .last("alpha", alpha)
    }

    /// y = r + gamma (1 - terminated) (min Q'(s', a') - alpha log pi(a'|s')), with a' from pi(s').
    fn targets(&mut self, alpha: f64, noise: &mut Noise<'_>, to: &mut Scratch) {
        let work = self.work;
        let [actor, critics] = &mut self.parts.networks;
        let next = &work.batch.next_observations;
        to.outputs.resize(2 * work.batch.actions.len(), 0.0);
        let mut actor = actor.network.lock();
        actor.infer(work.pool, &[next], &mut to.outputs);
        drop(actor);
        to.next.draw(&self.head, &to.outputs, noise);
        let samples = &to.next.samples;
        let inputs: [&[f32]; 2] = [next, &samples.actions];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        for (value, log) in values.iter_mut().zip(&samples.log_probabilities) {
            *value -= alpha as f32 * log;
        }
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the critics towards the targets, and diversifies their gradients with respect to the
    /// data's actions.
    fn critics(&mut self, with: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        if config.eta <= 0.0 {
            return with.critics.step(Update::default(), work, critics, step);
        }
        let of = &mut with.critics;
        let report = of.errors(Update::default(), work, critics, step.0);
        let mut network = critics.network.lock();
        with.ones.resize(of.gradients.len(), 1.0);
        network.backward(work.pool, &with.ones, Want::input(1), &mut of.pass);
        let sizes = (config.members, work.made_of.actions.width());
        let gradients = of.pass.input_gradients();
        let eta = config.eta as f32;
        let loss = diversity::forward_and_backward(sizes, eta, gradients, &mut with.cotangents);
        network.backward_of_input_gradients(
            work.pool,
            (1, &of.gradients, &with.cotangents),
            &of.pass,
            &mut with.tangents,
            &mut critics.gradient,
        );
        drop(network);
        critics.step(work.pool, step.1);
        report.mean("diversity_loss", loss)
    }
}
