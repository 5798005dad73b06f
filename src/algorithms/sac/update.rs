//! The arithmetic of one update.

use rtg_datasets::sample::Transitions;

use super::config::{Config, Conventions};
use super::model::Units;
use super::temperature::Temperature;
use crate::algorithms::Update;
use crate::algorithms::networks::{Trained, mean};
use crate::kernels::mlp::heads::squashed::{Samples, Squashed};
use crate::kernels::mlp::{Pass, Pool, Want};

/// Fills an array with draws from N(0, 1), each array in its turn.
pub type Noise<'a> = dyn FnMut(&mut [f32]) + Send + 'a;

/// What an update changes.
pub(super) struct Networks {
    pub(super) actor: Trained,
    /// Both, with their targets.
    pub(super) critics: Trained,
    pub(super) temperature: Temperature,
}

/// What an update needs on the way; its memory stays.
#[derive(Default)]
pub(super) struct Scratch {
    noise: Vec<f32>,
    outputs: Vec<f32>,
    next: Samples,
    next_values: Vec<f32>,
    targets: Vec<f32>,
    policy: Samples,
    /// Actions of the policy as the critics see them.
    actions: Vec<f32>,
    action_gradients: Vec<f32>,
    log_gradients: Vec<f32>,
    gradients: Vec<f32>,
    actor_pass: Pass,
    critic_pass: Pass,
}

/// An update's constants and its batch.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) code: Conventions,
    pub(super) pool: &'a Pool,
    pub(super) head: &'a Squashed,
    pub(super) units: &'a Units,
    pub(super) batch: &'a Transitions,
}

impl Work<'_> {
    /// One update; `moves` says whether it is the turn of actor and temperature.
    pub(super) fn update(
        &self,
        moves: bool,
        on: &mut Networks,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        let report = match self.code {
            Conventions::CleanRl => self.cleanrl(moves, on, noise, scratch),
            Conventions::Sb3 => self.sb3(moves, on, noise, scratch),
        };
        on.critics.follow(self.pool, self.config.tau);
        report.last("alpha", on.temperature.alpha())
    }

    /// Critics; then, in its turn, rounds of actor and temperature, each with a sample of its own.
    fn cleanrl(
        &self,
        moves: bool,
        on: &mut Networks,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        self.targets(on.temperature.alpha(), on, noise, scratch);
        let report = self.critics(on, scratch);
        if !moves {
            return report;
        }
        let mut last = Turn::default();
        for _ in 0..self.config.policy_delay {
            self.sample(on, noise, scratch);
            last.entropy = scratch.entropy();
            last.actor_loss = self.actor(on.temperature.alpha(), on, scratch);
            self.sample(on, noise, scratch);
            last.alpha_loss = self.temperature(on, scratch);
        }
        last.add_to(report)
    }

    /// Temperature, critics, actor: all with the temperature as it was, and one sample.
    fn sb3(
        &self,
        moves: bool,
        on: &mut Networks,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        let alpha = on.temperature.alpha();
        let mut turn = Turn::default();
        if moves {
            self.sample(on, noise, scratch);
            turn.entropy = scratch.entropy();
            turn.alpha_loss = self.temperature(on, scratch);
        }
        self.targets(alpha, on, noise, scratch);
        let report = self.critics(on, scratch);
        if !moves {
            return report;
        }
        turn.actor_loss = self.actor(alpha, on, scratch);
        turn.add_to(report)
    }

    /// The critics' loss and what it is made of, without a step.
    pub(super) fn measure(
        &self,
        on: &mut Networks,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        self.targets(on.temperature.alpha(), on, noise, scratch);
        self.forward_critics(on, scratch)
    }

    /// y = r + gamma (1 - terminated) (min Q'(s', a') - alpha log pi(a'|s')), with a' from pi(s').
    fn targets(&self, alpha: f64, on: &mut Networks, noise: &mut Noise<'_>, to: &mut Scratch) {
        let batch = self.batch;
        let next = &batch.next_observations;
        to.outputs.resize(2 * batch.rows * self.head.action, 0.0);
        let mut actor = on.actor.network.lock();
        actor.infer(self.pool, &[next], &mut to.outputs);
        drop(actor);
        to.noise.resize(batch.rows * self.head.action, 0.0);
        noise(&mut to.noise);
        self.head.sample(&to.outputs, &to.noise, &mut to.next);
        self.units.apply(&to.next.actions, &mut to.actions);
        to.next_values.resize(2 * batch.rows, 0.0);
        if let Some(critics) = &mut on.critics.target {
            critics.infer(self.pool, &[next, &to.actions], &mut to.next_values);
        }
        let (first, second) = to.next_values.split_at(batch.rows);
        let values = first.iter().zip(second).zip(&to.next.log_probabilities);
        to.targets.clear();
        to.targets
            .extend(values.enumerate().map(|(row, ((first, second), log))| {
                let soft = first.min(*second) - alpha as f32 * log;
                let goes_on = 1.0 - batch.terminated[row];
                batch.rewards[row] + batch.discounts[row] * goes_on * soft
            }));
    }

    /// Both critics at the batch's actions: their loss, and its gradient at their outputs.
    fn forward_critics(&self, on: &Networks, with: &mut Scratch) -> Update {
        let batch = self.batch;
        let rows = batch.rows;
        let factor = match self.code {
            Conventions::CleanRl => 1.0,
            Conventions::Sb3 => 0.5,
        };
        let inputs: [&[f32]; 2] = [&batch.observations, &batch.actions];
        let mut critics = on.critics.network.lock();
        critics.forward(self.pool, &inputs, &mut with.critic_pass);
        let values = with.critic_pass.outputs();
        with.gradients.clear();
        let mut squares = 0.0_f64;
        for (value, target) in values.iter().zip(with.targets.iter().cycle()) {
            let error = value - target;
            squares += f64::from(error) * f64::from(error);
            with.gradients.push(factor * 2.0 * error / rows as f32);
        }
        Update::default()
            .mean("critic_loss", f64::from(factor) * squares / rows as f64)
            .mean("q", mean(&values[..rows]))
            .mean("q_target", mean(&with.targets))
    }

    /// Steps the critics towards the targets.
    fn critics(&self, on: &mut Networks, with: &mut Scratch) -> Update {
        let report = self.forward_critics(on, with);
        let critics = &mut on.critics;
        let want = Want::parameters(&mut critics.gradient);
        let mut network = critics.network.lock();
        network.backward(self.pool, &with.gradients, want, &mut with.critic_pass);
        drop(network);
        critics.step(self.pool, self.config.critic_learning_rate);
        report
    }

    /// Fresh actions of the policy at the batch's observations.
    fn sample(&self, on: &Networks, noise: &mut Noise<'_>, to: &mut Scratch) {
        let mut actor = on.actor.network.lock();
        actor.forward(self.pool, &[&self.batch.observations], &mut to.actor_pass);
        to.noise.resize(self.batch.rows * self.head.action, 0.0);
        noise(&mut to.noise);
        let outputs = to.actor_pass.outputs();
        self.head.sample(outputs, &to.noise, &mut to.policy);
    }

    /// Steps the actor by the last sample: L = mean (alpha log pi - min Q(s, a)). Gives the loss.
    fn actor(&self, alpha: f64, on: &mut Networks, with: &mut Scratch) -> f64 {
        let rows = self.batch.rows;
        self.units.apply(&with.policy.actions, &mut with.actions);
        let inputs: [&[f32]; 2] = [&self.batch.observations, &with.actions];
        let mut critics = on.critics.network.lock();
        critics.forward(self.pool, &inputs, &mut with.critic_pass);
        let (first, second) = with.critic_pass.outputs().split_at(rows);
        let logs = &with.policy.log_probabilities;
        with.gradients.clear();
        with.gradients.resize(2 * rows, 0.0);
        let mut loss = 0.0_f64;
        for row in 0..rows {
            let is_first = first[row] <= second[row];
            let (value, place) = if is_first {
                (first[row], row)
            } else {
                (second[row], rows + row)
            };
            loss += alpha * f64::from(logs[row]) - f64::from(value);
            with.gradients[place] = -1.0 / rows as f32;
        }
        let pass = &mut with.critic_pass;
        critics.backward(self.pool, &with.gradients, Want::input(1), pass);
        drop(critics);

        let count = rows * self.head.action;
        with.action_gradients.resize(count, 0.0);
        pass.sum_input_gradients(&mut with.action_gradients);
        self.units.backward(&mut with.action_gradients);
        with.log_gradients.clear();
        with.log_gradients.resize(rows, alpha as f32 / rows as f32);
        with.gradients.resize(2 * count, 0.0);
        self.head.backward(
            with.actor_pass.outputs(),
            &with.policy,
            &with.action_gradients,
            &with.log_gradients,
            &mut with.gradients,
        );
        let actor = &mut on.actor;
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(self.pool, &with.gradients, want, &mut with.actor_pass);
        drop(network);
        actor.step(self.pool, self.config.actor_learning_rate);
        loss / rows as f64
    }

    /// Steps the temperature by the last sample. Gives its loss.
    fn temperature(&self, on: &mut Networks, with: &Scratch) -> f64 {
        let wanted = self.config.target_entropy.unwrap_or_default();
        let excess = mean(&with.policy.log_probabilities) + wanted;
        let rate = self.config.alpha_learning_rate;
        on.temperature.step(self.pool, self.code, rate, excess)
    }
}

impl Scratch {
    /// Of the last sample, estimated: the mean of -log pi.
    fn entropy(&self) -> f64 {
        -mean(&self.policy.log_probabilities)
    }
}

/// What a turn of actor and temperature reports.
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
