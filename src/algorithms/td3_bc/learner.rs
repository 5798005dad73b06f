//! Training TD3+BC.

use rtg_datasets::sample::{RewardTransform, TransitionConfig, Transitions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::config::Config;
use super::model::{ACTOR, MadeOf, Model};
use crate::algorithms::action_codec::BoxUnits;
use crate::algorithms::networks::{Products, Trained, mean};
use crate::algorithms::{
    self, ActionCodec, Error, HeldBack, Needs, Saved, Setup, Source, State, Update,
};
use crate::kernels::mlp::heads::tanh;
use crate::kernels::mlp::{Pass, Pool, Shape, Want};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::random::Stream;

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    actor: Trained,
    critics: Trained,
    pool: Pool,
    noise: Stream,
    /// Updates done.
    updates: u64,
    batch: Transitions,
    scratch: Scratch,
    /// Copies of the parameters of actor and critics, for histograms.
    shown: [Vec<f32>; 2],
}

/// What an update needs on the way; its memory stays.
#[derive(Default)]
struct Scratch {
    noise: Vec<f32>,
    outputs: Vec<f32>,
    next_actions: Vec<f32>,
    next_values: Vec<f32>,
    targets: Vec<f32>,
    gradients: Vec<f32>,
    policy_actions: Vec<f32>,
    action_gradients: Vec<f32>,
    actor_pass: Pass,
    critic_pass: Pass,
}

/// The learner's side of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
    noise: Stream,
}

impl Learner {
    /// A new learner for this plan and data.
    ///
    /// # Errors
    /// No data, or actions that are not of a box with finite bounds.
    pub fn new(setup: &Setup, config: Config) -> Result<Self, Error> {
        let data = setup.dataset()?;
        let space = &setup.spec.action_space;
        let actions = ActionCodec::continuous(NAME, BoxUnits::Symmetric, space)?;
        let transitions = transitions(&config, &actions);
        let made_of = MadeOf {
            normaliser: config.normalise.then(|| transitions.normaliser(data)),
            observation: data.observation_width(),
            td3_bc: config,
            actions,
        };
        let mut stream = Stream::new(setup.seed, "initialisation");
        let mut initialise = |shape: &Shape| {
            initialise_mlp(shape, LayerFill::DEFAULT, LayerFill::DEFAULT, &mut stream)
        };
        let parameters = [initialise(&made_of.actor()), initialise(&made_of.critics())];
        let noise = Stream::new(setup.seed, "target noise");
        Ok(Self::of(made_of, parameters, noise, setup.threads))
    }

    fn of(made_of: MadeOf, parameters: [Vec<f32>; 2], noise: Stream, threads: usize) -> Self {
        let [actor, critics] = parameters;
        let actor = Trained::new(ACTOR, &made_of.actor(), actor, true);
        Self {
            critics: Trained::new("critic", &made_of.critics(), critics, true),
            config: made_of.td3_bc.clone(),
            model: Model {
                actor: actor.network.clone(),
                made_of,
            },
            actor,
            pool: Pool::new(threads),
            noise,
            updates: 0,
            batch: Transitions::default(),
            scratch: Scratch::default(),
            shown: Default::default(),
        }
    }

    /// The learner of a checkpoint, to go on with the values of this plan.
    ///
    /// # Errors
    /// Notes, weights or moments that do not fit.
    pub fn saved(saved: &Saved, config: Config, threads: usize) -> Result<Self, Error> {
        let mut made_of: MadeOf = saved.made_of()?;
        made_of.td3_bc = config;
        let Notes { updates, noise } = saved.notes()?;
        let zeros = [made_of.actor(), made_of.critics()]
            .map(|shape| vec![0.0; crate::kernels::mlp::Layout::new(&shape).len()]);
        let mut learner = Self::of(made_of, zeros, noise, threads);
        let moves = updates / learner.config.policy_delay;
        learner.actor.restore(saved, moves)?;
        learner.critics.restore(saved, updates)?;
        learner.updates = updates;
        Ok(learner)
    }

    /// One update on a batch. `noise` is rows x A, from N(0, 1).
    pub fn learn(&mut self, batch: &Transitions, noise: &[f32]) -> Update {
        let Self {
            config,
            actor,
            critics,
            pool,
            updates,
            scratch,
            model,
            ..
        } = self;
        *updates += 1;
        let moves_actor = updates.is_multiple_of(config.policy_delay);
        let scale = model.made_of.max_action();
        let work = Work {
            config,
            pool,
            scale,
            batch,
        };
        pool.update(|| {
            work.targets(noise, [&mut *actor, &mut *critics], scratch);
            let report = work.critics(critics, scratch);
            if !moves_actor {
                return report;
            }
            let report = work.actor(report, actor, critics, scratch);
            actor.follow(pool, config.tau);
            critics.follow(pool, config.tau);
            report
        })
    }
}

/// How transitions are made for this configuration.
fn transitions(config: &Config, actions: &ActionCodec) -> TransitionConfig {
    TransitionConfig {
        truncated_last: config.truncated_last,
        n_step: config.n_step,
        discount: config.discount,
        reward: RewardTransform {
            scale: config.reward_scale,
            shift: config.reward_shift,
        },
        action_map: actions.action_map(),
        ..TransitionConfig::default()
    }
}

/// The parts of an update.
struct Work<'a> {
    config: &'a Config,
    pool: &'a Pool,
    /// The largest action.
    scale: f32,
    batch: &'a Transitions,
}

impl Work<'_> {
    /// y = r + gamma (1 - terminated) min Q'(s', a'), with a' the target policy's, disturbed.
    fn targets(&self, noise: &[f32], [actor, critics]: [&mut Trained; 2], to: &mut Scratch) {
        let (batch, scale) = (self.batch, self.scale);
        let [Some(actor), Some(critics)] = [&mut actor.target, &mut critics.target] else {
            return;
        };
        let next = &batch.next_observations;
        to.outputs.resize(noise.len(), 0.0);
        actor.infer(self.pool, &[next], &mut to.outputs);
        to.next_actions.resize(noise.len(), 0.0);
        tanh::forward(scale, &to.outputs, &mut to.next_actions);
        let bound = self.config.noise_clip as f32 * scale;
        let deviation = self.config.policy_noise as f32 * scale;
        for (action, noise) in to.next_actions.iter_mut().zip(noise) {
            let moved = *action + (deviation * noise).clamp(-bound, bound);
            *action = moved.clamp(-scale, scale);
        }
        to.next_values.resize(2 * batch.rows, 0.0);
        critics.infer(self.pool, &[next, &to.next_actions], &mut to.next_values);
        let (first, second) = to.next_values.split_at(batch.rows);
        let smaller = first.iter().zip(second).map(|(a, b)| a.min(*b));
        to.targets.clear();
        to.targets.extend(smaller.enumerate().map(|(row, value)| {
            let goes_on = 1.0 - batch.terminated[row];
            batch.rewards[row] + batch.discounts[row] * goes_on * value
        }));
    }

    /// Steps the critics towards the targets.
    fn critics(&self, critics: &mut Trained, with: &mut Scratch) -> Update {
        let batch = self.batch;
        let rows = batch.rows as f32;
        let pass = &mut with.critic_pass;
        let mut network = critics.network.lock();
        network.forward(self.pool, &[&batch.observations, &batch.actions], pass);
        let values = pass.outputs();
        with.gradients.clear();
        let mut losses = [0.0_f64; 2];
        let members = values.chunks(batch.rows.max(1)).zip(&mut losses);
        for (values, loss) in members {
            for (value, target) in values.iter().zip(&with.targets) {
                let error = value - target;
                *loss += f64::from(error) * f64::from(error);
                with.gradients.push(2.0 * error / rows);
            }
        }
        let q = mean(&values[..batch.rows]);
        let want = Want::parameters(&mut critics.gradient);
        network.backward(self.pool, &with.gradients, want, pass);
        drop(network);
        critics.step(self.pool, self.config.critic_learning_rate);
        let loss = losses.iter().sum::<f64>() / f64::from(rows);
        Update::default()
            .mean("critic_loss", loss)
            .mean("q", q)
            .mean("q_target", mean(&with.targets))
    }

    /// Steps the actor up the first critic, and towards the data.
    fn actor(
        &self,
        report: Update,
        actor: &mut Trained,
        critics: &mut Trained,
        with: &mut Scratch,
    ) -> Update {
        let batch = self.batch;
        let rows = batch.rows as f32;
        let count = batch.actions.len();
        let mut policy = actor.network.lock();
        policy.forward(self.pool, &[&batch.observations], &mut with.actor_pass);
        with.policy_actions.resize(count, 0.0);
        let outputs = with.actor_pass.outputs();
        tanh::forward(self.scale, outputs, &mut with.policy_actions);

        let mut network = critics.network.lock();
        let inputs: [&[f32]; 2] = [&batch.observations, &with.policy_actions];
        let pass = &mut with.critic_pass;
        network.forward_of(self.pool, 0..1, None, &inputs, pass);
        let values = pass.outputs();
        let size = values.iter().map(|value| f64::from(value.abs()));
        let lambda = self.config.alpha / (size.sum::<f64>() / f64::from(rows));
        let q = mean(values);
        with.gradients.clear();
        with.gradients.resize(batch.rows, -(lambda as f32) / rows);
        network.backward(self.pool, &with.gradients, Want::input(1), pass);
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
            self.scale,
            &with.policy_actions,
            &with.action_gradients,
            &mut with.gradients,
        );
        let want = Want::parameters(&mut actor.gradient);
        policy.backward(self.pool, &with.gradients, want, &mut with.actor_pass);
        drop(policy);
        actor.step(self.pool, self.config.actor_learning_rate);
        report
            .mean("actor_loss", cloning - lambda * q)
            .mean("cloning_loss", cloning)
            .mean("q_policy", q)
            .last("lambda", lambda)
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        let made_of = &self.model.made_of;
        Needs::Transitions {
            config: transitions(&self.config, &made_of.actions),
            normaliser: made_of.normaliser.as_ref(),
            rows: self.config.batch_size,
        }
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        [self.actor.weights(), self.critics.weights()].concat()
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.actor.load_weights(file)?;
        self.critics.load_weights(file)
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        let mut noise = std::mem::take(&mut self.scratch.noise);
        source.next_transitions(&mut batch);
        noise.resize(batch.actions.len(), 0.0);
        self.noise.fill_normal(&mut noise);
        let report = self.learn(&batch, &noise);
        self.batch = batch;
        self.scratch.noise = noise;
        Ok(vec![report])
    }

    /// How far the actor is from the data's actions, and what the first critic thinks of both.
    fn validate(&mut self, batch: &HeldBack) -> Vec<(&'static str, f64)> {
        let HeldBack::Transitions(batch) = batch else {
            return Vec::new();
        };
        let mut actions = vec![0.0; batch.actions.len()];
        let mut actor = self.actor.network.lock();
        actor.infer(&self.pool, &[&batch.observations], &mut actions);
        drop(actor);
        let outputs = actions.clone();
        tanh::forward(self.model.made_of.max_action(), &outputs, &mut actions);
        let mut critics = self.critics.network.lock();
        let mut q = |actions: &[f32]| {
            let mut values = vec![0.0; 2 * batch.rows];
            critics.infer(&self.pool, &[&batch.observations, actions], &mut values);
            mean(&values[..batch.rows])
        };
        let (q_data, q_policy) = (q(&batch.actions), q(&actions));
        let errors = actions.iter().zip(&batch.actions);
        let squares: f64 = errors.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        vec![
            ("cloning_loss", squares / actions.len().max(1) as f64),
            ("q", q_data),
            ("q_policy", q_policy),
        ]
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let Self {
            actor,
            critics,
            shown,
            ..
        } = self;
        for (shown, trained) in shown.iter_mut().zip([&*actor, &*critics]) {
            shown.clear();
            shown.extend_from_slice(trained.network.lock().parameters());
        }
        let actor = actor.histograms(&shown[0]);
        actor.chain(critics.histograms(&shown[1])).collect()
    }

    /// Products with weights alone; the first layers' inputs need no gradient but for the actions.
    fn operations(&self) -> Option<f64> {
        let rows = self.config.batch_size as f64;
        let made_of = &self.model.made_of;
        let (s, a) = (made_of.observation as f64, made_of.actions.width() as f64);
        let actor = Products::of(&made_of.actor());
        let critic = Products::of(&made_of.critics());
        let targets = actor.all + 2.0 * critic.all;
        let critics = 2.0 * critic.learning();
        let policy = actor.learning() + critic.to_input(a / (s + a));
        let each = targets + critics + policy / self.config.policy_delay as f64;
        Some(2.0 * rows * each)
    }

    fn state(&self) -> State {
        let critics = self.critics.weights();
        let notes = Notes {
            updates: self.updates,
            noise: self.noise.clone(),
        };
        State {
            tensors: [critics, self.actor.state(), self.critics.state()].concat(),
            notes: json!(notes),
        }
    }
}
