//! One update of SAC, part by part.

use super::config::OnlineConventions;
use super::{Sac, code, head, units};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::squashed::{Policy, Units};
use crate::algorithms::actor_critic::temperature::{self, Loss};
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Noise, Parts, Work};
use crate::algorithms::networks::mean;
use rtg_kernels::mlp::heads::squashed::Squashed;

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    outputs: Vec<f32>,
    next: Policy,
    next_actions: Vec<f32>,
    next_values: Vec<f32>,
    critics: Critics,
    policy: Policy,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    work: &'a Work<'b, Sac>,
    parts: &'a mut Parts<Sac>,
    code: OnlineConventions,
    head: Squashed,
    units: Units,
}

impl<'a, 'b> Step<'a, 'b> {
    pub(super) fn of(work: &'a Work<'b, Sac>, parts: &'a mut Parts<Sac>) -> Self {
        Self {
            code: code(work.made_of),
            head: head(work.made_of),
            units: units(work.made_of),
            work,
            parts,
        }
    }

    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let config = self.work.config();
        let moves = self.work.number.is_multiple_of(config.policy_delay);
        let report = match self.code {
            OnlineConventions::CleanRl => self.cleanrl(moves, noise, scratch),
            OnlineConventions::Sb3 => self.sb3(moves, noise, scratch),
        };
        let [_, critics] = &mut self.parts.networks;
        critics.follow(self.work.pool, config.tau);
        report.last("alpha", self.alpha())
    }

    /// Updates the critics; then, if the actor moves, rounds of actor and temperature, each with a
    /// separate sample.
    fn cleanrl(&mut self, moves: bool, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        self.targets(self.alpha(), noise, scratch);
        let report = self.critics(scratch);
        if !moves {
            return report;
        }
        let mut last = Turn::default();
        for _ in 0..self.work.config().policy_delay {
            self.sample(noise, scratch);
            last.entropy = scratch.policy.entropy();
            last.actor_loss = self.actor(self.alpha(), scratch);
            self.sample(noise, scratch);
            last.alpha_loss = self.temperature(scratch);
        }
        last.add_to(report)
    }

    /// Updates temperature, critics, actor: all with the old temperature, and one sample.
    fn sb3(&mut self, moves: bool, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let alpha = self.alpha();
        let mut turn = Turn::default();
        if moves {
            self.sample(noise, scratch);
            turn.entropy = scratch.policy.entropy();
            turn.alpha_loss = self.temperature(scratch);
        }
        self.targets(alpha, noise, scratch);
        let report = self.critics(scratch);
        if !moves {
            return report;
        }
        turn.actor_loss = self.actor(alpha, scratch);
        turn.add_to(report)
    }

    /// The critics' loss and its components, without a step.
    pub(super) fn measure(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        self.targets(self.alpha(), noise, scratch);
        let [_, critics] = &self.parts.networks;
        let factor = self.factor();
        scratch
            .critics
            .errors(Update::default(), self.work, critics, factor)
    }

    fn alpha(&self) -> f64 {
        let [log_alpha] = &self.parts.vectors;
        temperature::alpha(log_alpha)
    }

    /// The factor of the critics' loss.
    fn factor(&self) -> f32 {
        match self.code {
            OnlineConventions::CleanRl => 1.0,
            OnlineConventions::Sb3 => 0.5,
        }
    }

    /// y = r + gamma (1 - terminated) (min Q'(s', a') - alpha log pi(a'|s')), with a' from pi(s').
    fn targets(&mut self, alpha: f64, noise: &mut Noise<'_>, to: &mut Scratch) {
        let work = self.work;
        let [actor, critics] = &mut self.parts.networks;
        let next = &work.batch.next_observations;
        to.outputs
            .resize(2 * work.batch.rows * self.head.action, 0.0);
        let mut actor = actor.network.lock();
        actor.infer(work.pool, &[next], &mut to.outputs);
        drop(actor);
        to.next.draw(&self.head, &to.outputs, noise);
        let samples = &to.next.samples;
        self.units.apply(&samples.actions, &mut to.next_actions);
        let inputs: [&[f32]; 2] = [next, &to.next_actions];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        for (value, log) in values.iter_mut().zip(&samples.log_probabilities) {
            *value -= alpha as f32 * log;
        }
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the critics towards the targets.
    fn critics(&mut self, with: &mut Scratch) -> Update {
        let step = (self.factor(), self.work.config().critic_learning_rate);
        let [_, critics] = &mut self.parts.networks;
        with.critics
            .step(Update::default(), self.work, critics, step)
    }

    /// Samples new actions of the policy at the batch's observations.
    fn sample(&self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let [actor, _] = &self.parts.networks;
        to.policy.sample(self.work, (actor, &self.head), noise);
    }

    /// Steps the actor with the last sample: L = mean (alpha log pi - min Q(s, a)). Returns the
    /// loss.
    fn actor(&mut self, alpha: f64, with: &mut Scratch) -> f64 {
        let [actor, critics] = &mut self.parts.networks;
        let through = (&*critics, &self.head, &self.units);
        let step = (alpha, self.work.config().actor_learning_rate);
        with.policy.step(self.work, actor, through, step)
    }

    /// Steps the temperature with the last sample. Returns its loss.
    fn temperature(&mut self, with: &Scratch) -> f64 {
        let config = self.work.config();
        let wanted = config.target_entropy.unwrap_or_default();
        let excess = mean(&with.policy.samples.log_probabilities) + wanted;
        let kind = match self.code {
            OnlineConventions::CleanRl => Loss::Alpha,
            OnlineConventions::Sb3 => Loss::LogAlpha,
        };
        let [log_alpha] = &mut self.parts.vectors;
        let step = (config.alpha_learning_rate, excess);
        temperature::step(log_alpha, self.work.pool, kind, step)
    }
}

/// The metrics of an update of actor and temperature.
#[derive(Default)]
struct Turn {
    actor_loss: f64,
    alpha_loss: f64,
    entropy: f64,
}

impl Turn {
    fn add_to(&self, report: Update) -> Update {
        report
            .mean("actor_loss", self.actor_loss)
            .mean("alpha_loss", self.alpha_loss)
            .mean("entropy", self.entropy)
    }
}
