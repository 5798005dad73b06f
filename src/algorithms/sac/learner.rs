//! Training SAC.

use rtg_datasets::sample::{RewardTransform, TransitionConfig, Transitions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::config::{Config, Conventions};
use super::model::{ACTOR, MadeOf, Model, Units};
use super::temperature::{LOG_ALPHA, Temperature};
use super::update::{Networks, Noise, Scratch, Work};
use crate::algorithms::action_codec::BoxUnits;
use crate::algorithms::networks::{Products, Trained};
use crate::algorithms::{
    self, ActionCodec, Error, HeldBack, Interaction, Needs, Saved, Setup, Source, State, Update,
};
use crate::kernels::mlp::heads::squashed::Squashed;
use crate::kernels::mlp::{Layout, Pool};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::random::Stream;

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    networks: Networks,
    head: Squashed,
    units: Units,
    pool: Pool,
    noise: Stream,
    /// Updates done.
    updates: u64,
    batch: Transitions,
    scratch: Scratch,
    /// Copies of the parameters of actor and critics, for histograms.
    shown: [Vec<f32>; 2],
}

/// The learner's side of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
    /// Optimiser steps of the actor, and of the temperature.
    policy_steps: u64,
    /// Of the policy's samples in updates, in the order that [`Learner::learn`] states.
    noise: Stream,
}

impl Learner {
    /// A new learner for this plan and environment.
    ///
    /// # Errors
    /// Actions that are not of a box with finite bounds.
    pub fn new(setup: &Setup, mut config: Config) -> Result<Self, Error> {
        let space = &setup.spec.action_space;
        let actions = ActionCodec::continuous(NAME, BoxUnits::Unit, space)?;
        let conventions = Conventions::named(setup.recipe);
        config.resolve(conventions, setup.steps, actions.width());
        let made_of = MadeOf {
            sac: config,
            conventions,
            observation: setup.spec.observation_space.width(),
            actions,
        };
        let mut stream = Stream::new(setup.seed, "initialisation");
        let parameters = [made_of.actor(), made_of.critics()].map(|shape| {
            initialise_mlp(&shape, LayerFill::DEFAULT, LayerFill::DEFAULT, &mut stream)
        });
        let noise = Stream::new(setup.seed, "policy noise");
        Ok(Self::of(made_of, parameters, noise, setup.threads))
    }

    fn of(made_of: MadeOf, parameters: [Vec<f32>; 2], noise: Stream, threads: usize) -> Self {
        let [actor, critics] = parameters;
        let networks = Networks {
            actor: Trained::new(ACTOR, &made_of.actor(), actor, false),
            critics: Trained::new("critic", &made_of.critics(), critics, true),
            temperature: Temperature::new(made_of.sac.initial_alpha),
        };
        Self {
            config: made_of.sac.clone(),
            head: made_of.head(),
            units: made_of.critics_units(),
            model: Model {
                actor: networks.actor.network.clone(),
                made_of,
            },
            networks,
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
    pub fn saved(saved: &Saved, setup: &Setup, mut config: Config) -> Result<Self, Error> {
        let mut made_of: MadeOf = saved.made_of()?;
        config.resolve(made_of.conventions, setup.steps, made_of.actions.width());
        made_of.sac = config;
        let notes: Notes = saved.notes()?;
        let zeros =
            [made_of.actor(), made_of.critics()].map(|shape| vec![0.0; Layout::new(&shape).len()]);
        let mut learner = Self::of(made_of, zeros, notes.noise, setup.threads);
        let networks = &mut learner.networks;
        networks.actor.restore(saved, notes.policy_steps)?;
        networks.critics.restore(saved, notes.updates)?;
        let temperature = &mut networks.temperature;
        temperature.log_alpha.restore(saved, notes.policy_steps)?;
        temperature.steps = notes.policy_steps;
        learner.updates = notes.updates;
        Ok(learner)
    }

    /// One update on a batch, whose actions are as the critics see them: the environment's numbers
    /// (`cleanrl`), or mapped onto [-1, 1] (`sb3`).
    ///
    /// `noise` fills arrays of rows x A, in this order: with `cleanrl` one at the next observations
    /// and, if it is the actor's turn, in each of `policy_delay` rounds one for the actor and one
    /// for the temperature; with `sb3` one at the observations, if it is the actor's turn, and one
    /// at the next observations.
    pub fn learn(&mut self, batch: &Transitions, noise: &mut Noise<'_>) -> Update {
        self.updates += 1;
        let moves = self.updates.is_multiple_of(self.config.policy_delay);
        let (work, networks, scratch) = self.work(batch);
        work.pool
            .update(|| work.update(moves, networks, noise, scratch))
    }

    /// The weights that are not the model's.
    fn others(&self) -> Vec<Entry> {
        let Networks {
            critics,
            temperature,
            ..
        } = &self.networks;
        let log_alpha = &temperature.log_alpha;
        let log_alpha = Entry::vector(LOG_ALPHA, &log_alpha.values);
        [critics.weights(), vec![log_alpha]].concat()
    }

    fn work<'a>(
        &'a mut self,
        batch: &'a Transitions,
    ) -> (Work<'a>, &'a mut Networks, &'a mut Scratch) {
        let work = Work {
            config: &self.config,
            code: self.model.made_of.conventions,
            pool: &self.pool,
            head: &self.head,
            units: &self.units,
            batch,
        };
        (work, &mut self.networks, &mut self.scratch)
    }
}

impl algorithms::Learner for Learner {
    fn needs(&self) -> Needs<'_> {
        let MadeOf {
            actions,
            conventions,
            ..
        } = &self.model.made_of;
        let config = &self.config;
        Needs::Environment(Interaction {
            transitions: TransitionConfig {
                n_step: config.n_step,
                discount: config.discount,
                reward: RewardTransform {
                    scale: config.reward_scale,
                    shift: config.reward_shift,
                },
                action_map: match conventions {
                    Conventions::CleanRl => None,
                    Conventions::Sb3 => actions.action_map(),
                },
                ..TransitionConfig::default()
            },
            rows: config.batch_size,
            environments: config.environments,
            capacity: config.capacity,
            learning_starts: config.learning_starts.unwrap_or_default(),
            update_every: config.update_every,
            updates: config.updates,
        })
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        [self.networks.actor.weights(), self.others()].concat()
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.networks.actor.load_weights(file)?;
        self.networks.critics.load_weights(file)?;
        self.networks.temperature.log_alpha.load_weights(file)
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.next_transitions(&mut batch);
        let mut stream = self.noise.clone();
        let report = self.learn(&batch, &mut |noise| stream.fill_normal(noise));
        self.noise = stream;
        self.batch = batch;
        Ok(vec![report])
    }

    /// The critics' loss on the batch, always with the same noise.
    fn validate(&mut self, batch: &HeldBack) -> Vec<(&'static str, f64)> {
        let HeldBack::Transitions(batch) = batch else {
            return Vec::new();
        };
        let mut stream = Stream::new(0, "validation");
        let (work, networks, scratch) = self.work(batch);
        let noise: &mut Noise<'_> = &mut |noise| stream.fill_normal(noise);
        let report = work.measure(networks, noise, scratch);
        let metrics = report.metrics().iter();
        metrics.map(|metric| (metric.name, metric.value)).collect()
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let Networks {
            actor,
            critics,
            temperature,
        } = &self.networks;
        let shown = &mut self.shown;
        for (shown, trained) in shown.iter_mut().zip([actor, critics]) {
            shown.clear();
            shown.extend_from_slice(trained.network.lock().parameters());
        }
        let actor = actor.histograms(&shown[0]);
        let critics = critics.histograms(&shown[1]);
        let temperature = temperature.log_alpha.histogram();
        actor.chain(critics).chain([temperature]).collect()
    }

    /// Products with weights alone. Of two critics the smaller one has a gradient at the action.
    fn operations(&self) -> Option<f64> {
        let made_of = &self.model.made_of;
        let actor = Products::of(&made_of.actor());
        let critic = Products::of(&made_of.critics());
        let (s, a) = (made_of.observation as f64, made_of.actions.width() as f64);
        let targets = actor.all + 2.0 * critic.all;
        let to_action = critic.all + critic.to_input(a / (s + a));
        let sample_for_alpha = match made_of.conventions {
            Conventions::CleanRl => actor.all,
            Conventions::Sb3 => 0.0,
        };
        let policy = actor.learning() + to_action + sample_for_alpha;
        let each = targets + 2.0 * critic.learning() + policy;
        Some(2.0 * self.config.batch_size as f64 * each)
    }

    fn state(&self) -> State {
        let Networks {
            actor,
            critics,
            temperature,
        } = &self.networks;
        let notes = Notes {
            updates: self.updates,
            policy_steps: temperature.steps,
            noise: self.noise.clone(),
        };
        let tensors = [
            self.others(),
            actor.state(),
            critics.state(),
            temperature.log_alpha.state().into(),
        ];
        State {
            tensors: tensors.concat(),
            notes: json!(notes),
        }
    }
}
