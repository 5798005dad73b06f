//! Training PPO.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::advantages::{Horizon, advantages, next_values, open_ends};
use super::config::{Config, OnlineConventions};
use super::loss::{Gradients, Minibatch, log_probabilities};
use super::model::{ACTOR, LOG_SIGMA, LogSigma, MadeOf, Model};
use crate::algorithms::networks::{Products, Trained, norm};
use crate::algorithms::vector::TrainedVector;
use crate::algorithms::{
    self, Error, Fresh, LearnerState, Needs, Saved, Setup, Source, Trajectories, Update,
    ValidationBatch,
};
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill, initialise_mlp};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::random::Stream;
use rtg_kernels::adamw;
use rtg_kernels::mlp::{Layout, Pass, Pool, Shape, Want};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    code: OnlineConventions,
    networks: Networks,
    pool: Pool,
    notes: Notes,
    /// Updates of the whole run, the length of the schedules.
    of: f64,
    scratch: Scratch,
    /// Copies of the parameters of actor and critic, for histograms.
    shown: [Vec<f32>; 2],
}

/// The trained networks.
struct Networks {
    actor: Trained,
    critic: Trained,
    /// For continuous actions.
    log_sigma: Option<TrainedVector>,
}

/// The learner's part of a checkpoint. Permutations are drawn from the source's random stream.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    /// Updates done.
    updates: u64,
    /// Steps of the optimiser done.
    steps: u64,
}

#[derive(Default)]
struct Scratch {
    minibatch: Minibatch,
    gradients: Gradients,
    actor_pass: Pass,
    critic_pass: Pass,
}

/// A collection of steps, from which minibatches are gathered.
struct Collection<'a> {
    steps: &'a Trajectories,
    labels: Vec<usize>,
    old_logs: Vec<f32>,
    values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

/// Sums over the minibatches of an update.
#[derive(Default)]
struct Sums {
    count: f64,
    policy: f64,
    value: f64,
    entropy: f64,
    kl: f64,
    clipped: f64,
    norm: f64,
}

impl Learner {
    /// A new learner for this plan and environment.
    ///
    /// # Errors
    /// Actions that are neither discrete nor a box.
    pub fn new(setup: &Setup, config: Config) -> Result<Self, Error> {
        let spec = setup.spec;
        let observation = spec.observation_space.width();
        let made_of = MadeOf::new(&config, observation, &spec.action_space)?;
        let mut stream = Stream::new(setup.seed, "initialisation");
        let fill = |gain| LayerFill {
            weight: WeightFill::Orthogonal(gain),
            bias: BiasFill::Constant(0.0),
        };
        let hidden = fill(std::f32::consts::SQRT_2);
        let mut draw = |shape: &Shape, gain| initialise_mlp(shape, hidden, fill(gain), &mut stream);
        let parameters = [draw(&made_of.actor(), 0.01), draw(&made_of.critic(), 1.0)];
        Ok(Self::of(made_of, config, parameters, setup))
    }

    fn of(made_of: MadeOf, config: Config, parameters: [Vec<f32>; 2], setup: &Setup) -> Self {
        let [actor, critic] = parameters;
        let epsilon = config.adam_epsilon;
        let trained = |name, shape: &Shape, parameters| {
            Trained::new(name, shape, parameters, false).with_epsilon(epsilon)
        };
        let networks = Networks {
            actor: trained(ACTOR, &made_of.actor(), actor),
            critic: trained("critic", &made_of.critic(), critic),
            log_sigma: (!made_of.is_discrete()).then(|| {
                let values = vec![config.initial_log_sigma as f32; made_of.actions.width()];
                TrainedVector::new(LOG_SIGMA, values).with_epsilon(epsilon)
            }),
        };
        let log_sigma = networks.log_sigma.as_ref();
        let collection = config.environments * config.rollout_steps;
        let updates = setup.steps as f64 / collection as f64;
        let code = OnlineConventions::named(setup.recipe);
        Self {
            model: Model {
                actor: networks.actor.network.clone(),
                log_sigma: log_sigma.map(|vector| LogSigma::new(vector.values.clone())),
                made_of,
            },
            of: code.pick(updates.floor(), updates).max(1.0),
            config,
            code,
            networks,
            pool: Pool::new(setup.threads),
            notes: Notes::default(),
            scratch: Scratch::default(),
            shown: Default::default(),
        }
    }

    /// The learner of a checkpoint, which continues with the values of this plan.
    ///
    /// # Errors
    /// Metadata, weights or moments that do not fit, or other networks than the plan's.
    pub fn saved(saved: &Saved, setup: &Setup, config: Config) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        if made_of.hidden != config.hidden {
            return Err(Error::OtherModel { table: NAME });
        }
        let zeros =
            [made_of.actor(), made_of.critic()].map(|shape| vec![0.0; Layout::new(&shape).len()]);
        let mut learner = Self::of(made_of, config, zeros, setup);
        let notes: Notes = saved.notes()?;
        let networks = &mut learner.networks;
        networks.actor.restore(saved, notes.steps)?;
        networks.critic.restore(saved, notes.steps)?;
        if let Some(log_sigma) = &mut networks.log_sigma {
            log_sigma.restore(saved, notes.steps)?;
        }
        learner.notes = notes;
        learner.show_log_sigma();
        Ok(learner)
    }

    /// One update from a collection. `shuffle` permutes the indices of its steps for each epoch.
    pub fn learn(
        &mut self,
        steps: &Trajectories,
        shuffle: &mut (dyn FnMut(&mut [usize]) + Send),
    ) -> Update {
        self.notes.updates += 1;
        let done = self.notes.updates as f64 - self.code.pick(1.0, 0.0);
        let remaining = (1.0 - done / self.of).max(0.0);
        let config = &self.config;
        let work = Work {
            config,
            code: self.code,
            pool: &self.pool,
            rate: config
                .learning_rate_schedule
                .of(config.learning_rate, remaining),
            clip: config.clip_schedule.of(config.clip, remaining),
        };
        let (networks, scratch) = (&mut self.networks, &mut self.scratch);
        let (report, taken) = self
            .pool
            .update(|| work.run(steps, networks, scratch, shuffle));
        self.notes.steps += taken;
        self.show_log_sigma();
        report
    }

    /// Copies the standard deviations to the policies.
    fn show_log_sigma(&self) {
        if let (Some(shown), Some(log_sigma)) = (&self.model.log_sigma, &self.networks.log_sigma) {
            shown.set(&log_sigma.values);
        }
    }
}

/// An update's constants.
struct Work<'a> {
    config: &'a Config,
    code: OnlineConventions,
    pool: &'a Pool,
    rate: f64,
    clip: f64,
}

impl Work<'_> {
    /// Computes the whole update; returns its metrics and the number of optimiser steps.
    fn run(
        &self,
        steps: &Trajectories,
        on: &mut Networks,
        with: &mut Scratch,
        shuffle: &mut (dyn FnMut(&mut [usize]) + Send),
    ) -> (Update, u64) {
        let collection = self.collection(steps, on);
        let mut order: Vec<usize> = (0..steps.rows()).collect();
        let mut sums = Sums::default();
        let mut taken = 0;
        let target = self.config.target_kl;
        'epochs: for _ in 0..self.config.epochs {
            shuffle(&mut order);
            let mut last_kl = 0.0;
            for rows in order.chunks(self.config.minibatch_size) {
                collection.gather(rows, &mut with.minibatch);
                last_kl = self.losses(on, with, &mut sums);
                if self.code == OnlineConventions::Sb3 && target > 0.0 && last_kl > 1.5 * target {
                    break 'epochs;
                }
                sums.norm += self.step(on);
                taken += 1;
            }
            if self.code == OnlineConventions::CleanRl && target > 0.0 && last_kl > target {
                break;
            }
        }
        let mean = |sum: f64| sum / sums.count;
        let explained = explained_variance(&collection.values, &collection.returns);
        let report = Update::default()
            .mean("actor_loss", mean(sums.policy))
            .mean("critic_loss", mean(sums.value))
            .mean("entropy", mean(sums.entropy))
            .mean("kl", mean(sums.kl))
            .mean("clipped", mean(sums.clipped))
            .mean("gradient_norm", sums.norm / f64::from(u32::max(taken, 1)))
            .mean("explained_variance", explained)
            .last("learning_rate", self.rate);
        (report, u64::from(taken))
    }

    /// Evaluates the networks at the steps before the first step of the optimiser.
    fn collection<'a>(&self, steps: &'a Trajectories, on: &mut Networks) -> Collection<'a> {
        let mut actor = on.actor.network.lock();
        let count = actor.shape().outputs;
        let mut outputs = vec![0.0; steps.rows() * count];
        actor.infer(self.pool, &[&steps.observations], &mut outputs);
        drop(actor);
        let log_sigma = on.log_sigma.as_ref().map(|vector| &vector.values[..]);
        let chosen = |row: &[f32]| row.iter().position(|number| *number > 0.5);
        let mut labels = Vec::new();
        if log_sigma.is_none() {
            let rows = steps.actions.chunks(count);
            labels.extend(rows.map(|row| chosen(row).unwrap_or_default()));
        }
        let (mut all, mut old_logs) = (Vec::new(), Vec::new());
        let of = (&steps.actions[..], &labels[..]);
        log_probabilities((&outputs, log_sigma), of, &mut all, &mut old_logs);

        let open = open_ends(steps, self.config.bootstrap_truncated);
        let width = steps.observations.len() / steps.rows().max(1);
        let rows = open.iter();
        let beyond = rows.flat_map(|row| &steps.next_observations[row * width..][..width]);
        let beyond: Vec<f32> = beyond.copied().collect();
        let (mut values, mut ends) = (vec![0.0; steps.rows()], vec![0.0; open.len()]);
        let mut critic = on.critic.network.lock();
        critic.infer(self.pool, &[&steps.observations], &mut values);
        critic.infer(self.pool, &[&beyond], &mut ends);
        drop(critic);
        let horizon = Horizon {
            discount: self.config.discount,
            lambda: self.config.gae_lambda,
        };
        let next = next_values(steps, &values, &open, &ends);
        let (advantages, returns) = advantages(steps, &values, &next, horizon);
        Collection {
            steps,
            labels,
            old_logs,
            values,
            advantages,
            returns,
        }
    }

    /// The losses of the minibatch and all gradients; returns the estimate of the divergence.
    fn losses(&self, on: &mut Networks, with: &mut Scratch, sums: &mut Sums) -> f64 {
        let Scratch {
            minibatch,
            gradients,
            actor_pass,
            critic_pass,
        } = with;
        minibatch.normalise_advantages();
        let mut actor = on.actor.network.lock();
        actor.forward(self.pool, &[&minibatch.observations], actor_pass);
        let (log_sigma, at_log_sigma): (Option<&[f32]>, &mut [f32]) = match &mut on.log_sigma {
            Some(vector) => (Some(&vector.values), &mut vector.gradient),
            None => (None, &mut []),
        };
        let of = (actor_pass.outputs(), log_sigma);
        let weights = (self.clip, self.config.entropy_weight);
        let found = minibatch.policy(of, weights, gradients, at_log_sigma);
        let want = Want::parameters(&mut on.actor.gradient);
        actor.backward(self.pool, &gradients.actor, want, actor_pass);
        drop(actor);

        let mut critic = on.critic.network.lock();
        critic.forward(self.pool, &[&minibatch.observations], critic_pass);
        let values = critic_pass.outputs();
        let value = minibatch.value(values, self.config, self.code, &mut gradients.critic);
        let want = Want::parameters(&mut on.critic.gradient);
        critic.backward(self.pool, &gradients.critic, want, critic_pass);
        sums.count += 1.0;
        sums.policy += found.loss;
        sums.value += value;
        sums.entropy += found.entropy;
        sums.kl += found.kl;
        sums.clipped += found.clipped;
        found.kl
    }

    /// One step of all parameters with the current gradients, clipped to the largest norm. Returns
    /// the norm before clipping.
    fn step(&self, on: &mut Networks) -> f64 {
        let log_sigma = on.log_sigma.iter().map(|vector| &vector.gradient);
        let networks = [&on.actor.gradient, &on.critic.gradient];
        let norm = norm(networks.into_iter().chain(log_sigma));
        let limit = self.config.gradient_limit;
        let scale = if limit > 0.0 {
            adamw::clip(norm, limit)
        } else {
            1.0
        };
        on.actor.step_scaled(self.pool, self.rate, scale);
        on.critic.step_scaled(self.pool, self.rate, scale);
        if let Some(log_sigma) = &mut on.log_sigma {
            log_sigma.step_scaled(self.pool, self.rate, scale);
        }
        norm
    }
}

impl Collection<'_> {
    /// Gathers the minibatch of these rows.
    fn gather(&self, rows: &[usize], to: &mut Minibatch) {
        let numbers = |from: &[f32], to: &mut Vec<f32>| {
            let width = from.len() / self.values.len().max(1);
            to.clear();
            for row in rows {
                to.extend_from_slice(&from[row * width..][..width]);
            }
        };
        numbers(&self.steps.observations, &mut to.observations);
        numbers(&self.old_logs, &mut to.old_logs);
        numbers(&self.values, &mut to.old_values);
        numbers(&self.advantages, &mut to.advantages);
        numbers(&self.returns, &mut to.returns);
        to.labels.clear();
        if self.labels.is_empty() {
            numbers(&self.steps.actions, &mut to.actions);
        } else {
            to.labels.extend(rows.iter().map(|row| self.labels[*row]));
        }
    }
}

/// 1 - Var(R - V) / Var(R); 0 if the returns are constant.
fn explained_variance(values: &[f32], returns: &[f32]) -> f64 {
    let variance = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    };
    let wanted: Vec<f64> = returns.iter().map(|&x| f64::from(x)).collect();
    let pairs = wanted.iter().zip(values);
    let rest: Vec<f64> = pairs
        .map(|(wanted, value)| wanted - f64::from(*value))
        .collect();
    let whole = variance(&wanted);
    if whole > 0.0 {
        1.0 - variance(&rest) / whole
    } else {
        0.0
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        Needs::Fresh(Fresh {
            environments: self.config.environments,
            steps: self.config.rollout_steps,
        })
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        let actor = algorithms::Model::weights(&self.model);
        [actor, self.networks.critic.weights()].concat()
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.networks.actor.load_weights(file)?;
        self.networks.critic.load_weights(file)?;
        if let Some(log_sigma) = &mut self.networks.log_sigma {
            log_sigma.load_weights(file)?;
        }
        self.show_log_sigma();
        Ok(())
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let (steps, stream) = source.fresh().parts();
        let report = self.learn(steps, &mut |order| {
            // Fisher-Yates shuffle: all orders are equally likely.
            for last in (1..order.len()).rev() {
                order.swap(last, stream.index(last + 1));
            }
        });
        Ok(vec![report])
    }

    /// None: a dataset's steps are not the policy's own.
    fn validate(&mut self, _batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let Self {
            networks, shown, ..
        } = self;
        let trained = [&networks.actor, &networks.critic];
        for (shown, trained) in shown.iter_mut().zip(trained) {
            shown.clear();
            shown.extend_from_slice(trained.network.lock().parameters());
        }
        let log_sigma = networks.log_sigma.iter().map(TrainedVector::histogram);
        let trained = trained.into_iter().zip(&*shown);
        let trained = trained.flat_map(|(trained, shown)| trained.histograms(shown));
        trained.chain(log_sigma).collect()
    }

    /// Counts products with weights only, over all epochs.
    fn operations(&self) -> Option<f64> {
        let made_of = &self.model.made_of;
        let networks = [made_of.actor(), made_of.critic()];
        let each = networks.iter().map(|shape| {
            let products = Products::of(shape);
            products.all + self.config.epochs as f64 * products.learning()
        });
        let rows = self.config.environments * self.config.rollout_steps;
        Some(2.0 * rows as f64 * each.sum::<f64>())
    }

    fn state(&self) -> LearnerState {
        let Networks {
            actor,
            critic,
            log_sigma,
        } = &self.networks;
        let mut tensors = [critic.weights(), actor.state(), critic.state()].concat();
        tensors.extend(log_sigma.iter().flat_map(TrainedVector::state));
        LearnerState {
            tensors,
            notes: json!(self.notes),
        }
    }
}
