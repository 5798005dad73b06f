//! One update of CQL, part by part.

use super::config::CqlVariant;
use super::penalty::Penalty;
use super::{Cql, Scaled, code, scalars};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::squashed::{Policy, Units};
use crate::algorithms::actor_critic::temperature::{self, Loss};
use crate::algorithms::actor_critic::update::{bootstrap, least};
use crate::algorithms::actor_critic::{Draw, Method, Noise, Parts, Work};
use crate::algorithms::networks::mean;
use crate::algorithms::vector::TrainedVector;
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    policy: Policy,
    /// The actor's outputs at the observations and at the next ones, scaled for the head: rows x 2
    /// A.
    here: Vec<f32>,
    there: Vec<f32>,
    /// The same, with each row repeated n times.
    repeated: Vec<f32>,
    /// Next actions for the targets; then the sampled actions of the policy.
    drawn: Policy,
    next_values: Vec<f32>,
    values: Vec<f32>,
    targets: Vec<f32>,
    /// The critics' inputs: the data's rows, then rows x n uniform actions, rows x n of pi(s'),
    /// rows x n of pi(s), all at s.
    observations: Vec<f32>,
    actions: Vec<f32>,
    /// Added to the values of the sampled actions.
    corrections: Vec<f32>,
    candidates: Vec<f32>,
    gradients: Vec<f32>,
    pass: Pass,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    work: &'a Work<'b, Cql>,
    parts: &'a mut Parts<Cql>,
    code: CqlVariant,
    scaled: Scaled,
    units: Units,
    /// The index of the temperature's logarithm among the vectors.
    log_alpha: usize,
}

/// Rows, each `count` times.
fn repeat(rows: &[f32], width: usize, count: usize, to: &mut Vec<f32>) {
    for row in rows.chunks(width) {
        for _ in 0..count {
            to.extend_from_slice(row);
        }
    }
}

impl<'a, 'b> Step<'a, 'b> {
    pub(super) fn of(work: &'a Work<'b, Cql>, parts: &'a mut Parts<Cql>) -> Self {
        let vectors: Vec<Vec<f32>> = parts.vectors.iter().map(|v| v.values.clone()).collect();
        Self {
            scaled: Cql::decision(work.made_of, &vectors),
            units: Units::identity(work.made_of.actions.width()),
            code: code(work.made_of),
            log_alpha: scalars(work.made_of),
            work,
            parts,
        }
    }

    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, with: &mut Scratch) -> Update {
        let [actor, _] = &self.parts.networks;
        let mut network = actor.network.lock();
        let inputs: [&[f32]; 1] = [&self.work.batch.observations];
        network.forward(self.work.pool, &inputs, &mut with.policy.pass);
        drop(network);
        self.scaled
            .apply(with.policy.pass.outputs(), &mut with.here);
        let (report, [actor_loss, alpha_loss]) = match self.code {
            CqlVariant::D3rlpy => self.one_by_one(noise, with),
            CqlVariant::Cql | CqlVariant::CalQl | CqlVariant::YoungGeng => {
                self.at_once(noise, with)
            }
        };
        let [_, critics] = &mut self.parts.networks;
        critics.follow(self.work.pool, self.work.config().tau);
        report
            .mean("actor_loss", actor_loss)
            .mean("alpha_loss", alpha_loss)
            .mean("entropy", with.policy.entropy())
            .mean("q_policy", mean(&with.policy.values))
            .last("alpha", self.alpha())
    }

    /// All losses first, then all steps. Returns the losses of actor and temperature.
    fn at_once(&mut self, noise: &mut Noise<'_>, with: &mut Scratch) -> (Update, [f64; 2]) {
        with.policy.draw(&self.scaled.head, &with.here, noise);
        let actor_loss = self.policy(self.alpha(), with);
        let report = self.critics(Update::default(), noise, with);
        let alpha_loss = self.step_temperature(Loss::LogAlpha, with);
        self.step_actor();
        self.step_critics();
        (report, [actor_loss, alpha_loss])
    }

    /// The critics, the temperature and the actor, each with what the step before left.
    fn one_by_one(&mut self, noise: &mut Noise<'_>, with: &mut Scratch) -> (Update, [f64; 2]) {
        let report = self.critics(Update::default(), noise, with);
        self.step_critics();
        with.policy.draw(&self.scaled.head, &with.here, noise);
        let alpha_loss = self.step_temperature(Loss::Alpha, with);
        let actor_loss = self.policy(self.alpha(), with);
        self.step_actor();
        (report, [actor_loss, alpha_loss])
    }

    fn alpha(&self) -> f64 {
        temperature::alpha(&self.parts.vectors[self.log_alpha])
    }

    /// Steps the temperature with the last sample. Returns its loss.
    fn step_temperature(&mut self, kind: Loss, with: &Scratch) -> f64 {
        let config = self.work.config();
        let logs = &with.policy.samples.log_probabilities;
        let excess = mean(logs) + config.target_entropy.unwrap_or(0.0);
        let log_alpha = &mut self.parts.vectors[self.log_alpha];
        let step = (config.alpha_learning_rate, excess);
        temperature::step(log_alpha, self.work.pool, kind, step)
    }

    fn step_actor(&mut self) {
        let (pool, rate) = (self.work.pool, self.work.config().actor_learning_rate);
        let [actor, _] = &mut self.parts.networks;
        actor.step(pool, rate);
        for vector in &mut self.parts.vectors[..self.log_alpha] {
            vector.step(pool, rate);
        }
    }

    fn step_critics(&mut self) {
        let rate = self.work.config().critic_learning_rate;
        let [_, critics] = &mut self.parts.networks;
        critics.step(self.work.pool, rate);
    }

    /// The actor's loss at the last sample, and its gradient.
    fn policy(&mut self, alpha: f64, with: &mut Scratch) -> f64 {
        let work = self.work;
        let [actor, critics] = &mut self.parts.networks;
        let policy = &mut with.policy;
        let head = &self.scaled.head;
        let through = (&*critics, head, &self.units);
        let loss = policy.through_critics(work, &with.here, through, alpha);
        let outputs = policy.pass.outputs();
        let gradients = self.scaled.backward(outputs, &mut policy.gradients);
        let scalars = &mut self.parts.vectors[..self.log_alpha];
        for (vector, gradient) in scalars.iter_mut().zip(gradients) {
            vector.gradient[0] = gradient;
        }
        policy.backward(work, actor);
        loss
    }

    /// y = r + gamma (1 - terminated) min Q'(s', a'), with a' from pi(s') or the best of n; in
    /// d3rlpy tanh of the mean instead of a sample.
    fn targets(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let (work, config) = (self.work, self.work.config());
        let batch = work.batch;
        let [actor, critics] = &mut self.parts.networks;
        let next = &batch.next_observations;
        to.repeated.resize(to.here.len(), 0.0);
        let mut network = actor.network.lock();
        network.infer(work.pool, &[next], &mut to.repeated);
        drop(network);
        self.scaled.apply(&to.repeated, &mut to.there);
        let count = if config.max_target_backup {
            config.samples
        } else {
            1
        };
        let [s, a] = work.made_of.widths();
        to.repeated.clear();
        repeat(&to.there, 2 * a, count, &mut to.repeated);
        if self.code == CqlVariant::D3rlpy && !config.max_target_backup {
            to.drawn.samples.actions.resize(batch.rows * a, 0.0);
            let head = &self.scaled.head;
            head.mode(&to.there, &mut to.drawn.samples.actions);
        } else {
            to.drawn.draw(&self.scaled.head, &to.repeated, noise);
        }
        to.observations.clear();
        repeat(next, s, count, &mut to.observations);
        let Some(target) = &mut critics.target else {
            return;
        };
        let inputs: [&[f32]; 2] = [&to.observations, &to.drawn.samples.actions];
        to.next_values.resize(2 * batch.rows * count, 0.0);
        target.infer(work.pool, &inputs, &mut to.next_values);
        least(&to.next_values, batch.rows * count, &mut to.values);
        let best = to.values.chunks(count);
        let best = best.map(|values| values.iter().copied().fold(f32::MIN, f32::max));
        to.next_values.clear();
        to.next_values.extend(best);
        bootstrap(batch, &to.next_values, &mut to.targets);
    }

    /// The actions whose values are lowered, after the data's, and the corrections of their values.
    fn candidates(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let (batch, count) = (self.work.batch, self.work.config().samples);
        let [s, a] = self.work.made_of.widths();
        let each = batch.rows * count;
        to.observations.clear();
        to.observations.extend_from_slice(&batch.observations);
        for _ in 0..3 {
            repeat(&batch.observations, s, count, &mut to.observations);
        }
        to.actions.clear();
        to.actions.extend_from_slice(&batch.actions);
        to.actions.resize((batch.rows + 3 * each) * a, 0.0);
        let (uniform, policy) = to.actions[batch.rows * a..].split_at_mut(each * a);
        noise(Draw::Uniform, uniform);
        to.corrections.clear();
        to.corrections
            .resize(3 * each, a as f32 * std::f32::consts::LN_2);
        let (next, current) = policy.split_at_mut(each * a);
        for (outputs, actions, start) in [(&to.here, current, 2 * each), (&to.there, next, each)] {
            to.repeated.clear();
            repeat(outputs, 2 * a, count, &mut to.repeated);
            to.drawn.draw(&self.scaled.head, &to.repeated, noise);
            let samples = &to.drawn.samples;
            actions.copy_from_slice(&samples.actions);
            let corrections = &mut to.corrections[start..start + each];
            for (to, log) in corrections.iter_mut().zip(&samples.log_probabilities) {
                *to = -log;
            }
        }
    }

    /// The critics' loss, and its gradient.
    fn critics(&mut self, report: Update, noise: &mut Noise<'_>, with: &mut Scratch) -> Update {
        self.targets(noise, with);
        self.candidates(noise, with);
        let (work, config) = (self.work, self.work.config());
        let rows = work.batch.rows;
        let [_, critics] = &mut self.parts.networks;
        let mut network = critics.network.lock();
        let inputs: [&[f32]; 2] = [&with.observations, &with.actions];
        network.forward(work.pool, &inputs, &mut with.pass);
        let multiplier = self.parts.vectors.get(self.log_alpha + 1).map(lagrange);
        let weight = (config.conservative_weight * multiplier.unwrap_or(1.0)) as f32;
        let values = with.pass.outputs();
        with.gradients.clear();
        let (mut squares, mut gaps, mut bounded) = (0.0_f64, [0.0_f64; 2], 0);
        for (values, gap) in values.chunks(values.len() / 2).zip(&mut gaps) {
            let (data, others) = values.split_at(rows);
            let start = with.gradients.len();
            for (value, target) in data.iter().zip(&with.targets) {
                let error = value - target;
                squares += f64::from(error) * f64::from(error);
                with.gradients.push(2.0 * error / rows as f32);
            }
            let of = (data, others, &with.corrections[..]);
            let (candidates, gradients) = (&mut with.candidates, &mut with.gradients);
            let (term, counted) = conservative(work, weight, of, candidates, gradients, start);
            *gap = term;
            bounded += counted;
        }
        let mut report = report
            .mean("critic_loss", squares / rows as f64)
            .mean("q", mean(&values[..rows]))
            .mean("q_target", mean(&with.targets))
            .mean("conservative_gap", 0.5 * (gaps[0] + gaps[1]));
        if !work.batch.returns_to_go.is_empty() {
            // Of two critics' values of two kinds of actions.
            let values = 4 * rows * config.samples;
            report = report.mean("bounded_share", bounded as f64 / values as f64);
        }
        let want = Want::parameters(&mut critics.gradient);
        network.backward(work.pool, &with.gradients, want, &mut with.pass);
        drop(network);
        let Some(multiplier) = multiplier else {
            return report;
        };
        let above = gaps[0] + gaps[1] - 2.0 * config.gap;
        let loss = -0.5 * config.conservative_weight * multiplier * above;
        let log_alpha_prime = &mut self.parts.vectors[self.log_alpha + 1];
        // The derivative of exp is exp; at the upper bound it is 0.
        log_alpha_prime.gradient[0] = if multiplier < MOST { loss as f32 } else { 0.0 };
        log_alpha_prime.step(work.pool, config.critic_learning_rate);
        report
            .mean("lagrange_loss", loss)
            .last("lagrange_multiplier", multiplier)
    }
}

/// The largest multiplier.
const MOST: f64 = 1e6;

fn lagrange(log: &TrainedVector) -> f64 {
    f64::from(log.values[0]).exp().min(MOST)
}

/// A critic's conservative term. Adds its gradient to that of the data's values, which begins at
/// `start`, and appends that of the other values. Returns the term, and how many of the policy's
/// values were replaced by Cal-QL's bound.
fn conservative(
    work: &Work<Cql>,
    weight: f32,
    (data, others, corrections): (&[f32], &[f32], &[f32]),
    candidates: &mut Vec<f32>,
    gradients: &mut Vec<f32>,
    start: usize,
) -> (f64, usize) {
    let (config, rows) = (work.config(), work.batch.rows);
    let (count, each) = (config.samples, rows * config.samples);
    // Only batches of a dataset have returns, and uniform actions have no bound.
    let returns = &work.batch.returns_to_go;
    let bound = |kind: usize, row: usize| match returns.get(row) {
        Some(bound) if kind > 0 => *bound,
        _ => f32::NEG_INFINITY,
    };
    // Row by row, the three kinds in sequence.
    candidates.clear();
    for row in 0..rows {
        for kind in 0..3 {
            let place = kind * each + row * count..kind * each + (row + 1) * count;
            let values = others[place.clone()].iter().zip(&corrections[place]);
            let least = bound(kind, row);
            candidates.extend(values.map(|(value, correction)| value.max(least) + correction));
        }
    }
    let penalty = Penalty {
        temperature: config.temperature as f32,
        low: config
            .difference_low
            .map_or(f32::NEG_INFINITY, |x| x as f32),
        high: config.difference_high.map_or(f32::INFINITY, |x| x as f32),
    };
    let gap = penalty.forward_and_backward(weight, (data, candidates), &mut gradients[start..]);
    let mut bounded = 0;
    for kind in 0..3 {
        for row in 0..rows {
            let place = (3 * row + kind) * count;
            let values = &others[kind * each + row * count..][..count];
            let least = bound(kind, row);
            let own = values.iter().zip(&candidates[place..place + count]);
            gradients.extend(own.map(|(value, gradient)| {
                let counts_as_bound = *value < least;
                bounded += usize::from(counts_as_bound);
                if counts_as_bound { 0.0 } else { *gradient }
            }));
        }
    }
    (gap, bounded)
}
