//! Training IQL.

use rtg_datasets::sample::{RewardTransform, TransitionConfig, Transitions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NAME;
use super::config::{Config, Conventions};
use super::model::{ACTOR, LOG_SIGMA, MadeOf, Model};
use super::update::{Parts, Scratch, Work};
use crate::algorithms::action_codec::BoxUnits;
use crate::algorithms::networks::{Products, Trained, mean};
use crate::algorithms::vector::TrainedVector;
use crate::algorithms::{
    self, ActionCodec, Error, HeldBack, Needs, Saved, Setup, Source, State, Update,
};
use crate::kernels::mlp::heads::tanh;
use crate::kernels::mlp::{Layout, Pool, Shape};
use crate::keys::PlanError;
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill, initialise_mlp};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::random::{Stream, derive, mix};

/// Trains a [`Model`].
pub struct Learner {
    model: Model,
    config: Config,
    parts: Parts,
    pool: Pool,
    /// Updates of the whole run, over which the actor's learning rate falls.
    steps: u64,
    /// Updates done.
    updates: u64,
    dropout_key: u64,
    batch: Transitions,
    scratch: Scratch,
    /// Copies of the parameters of actor, critics and value function, for histograms.
    shown: [Vec<f32>; 3],
}

/// The learner's side of a checkpoint. Nothing random is left to continue: batches are the training
/// loop's, and a dropout mask follows from the run's seed and the number of updates.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
}

impl Learner {
    /// A new learner for this plan and data.
    ///
    /// # Errors
    /// No data, actions that are not of a box with finite bounds, or returns that cannot be scaled.
    pub fn new(setup: &Setup, mut config: Config) -> Result<Self, Error> {
        let data = setup.dataset()?;
        let space = &setup.spec.action_space;
        let actions = ActionCodec::continuous(NAME, BoxUnits::Unit, space)?;
        config.reward_scale = Some(config.reward_scale_for(data).map_err(PlanError::from)?);
        let transitions = transitions(&config, &actions);
        let made_of = MadeOf {
            normaliser: config.normalise.then(|| transitions.normaliser(data)),
            observation: data.observation_width(),
            iql: config,
            actions,
        };
        let fill = match made_of.iql.conventions {
            Conventions::Corl => LayerFill::DEFAULT,
            Conventions::Paper => LayerFill {
                weight: WeightFill::Orthogonal(std::f32::consts::SQRT_2),
                bias: BiasFill::Constant(0.0),
            },
        };
        let mut stream = Stream::new(setup.seed, "initialisation");
        let initialise = |shape: &Shape| initialise_mlp(shape, fill, fill, &mut stream);
        Ok(Self::of(made_of, setup, initialise))
    }

    fn of(made_of: MadeOf, setup: &Setup, mut parameters: impl FnMut(&Shape) -> Vec<f32>) -> Self {
        let mut trained = |name, shape: Shape, target| {
            let parameters = parameters(&shape);
            Trained::new(name, &shape, parameters, target)
        };
        let log_sigma = vec![0.0; made_of.actions.width()];
        let parts = Parts {
            actor: trained(ACTOR, made_of.actor(), false),
            critics: trained("critic", made_of.critics(), true),
            value: trained("value", made_of.value(), false),
            log_sigma: made_of
                .gaussian()
                .map(|gaussian| (gaussian, TrainedVector::new(LOG_SIGMA, log_sigma))),
        };
        Self {
            config: made_of.iql.clone(),
            model: Model {
                actor: parts.actor.network.clone(),
                log_sigma: parts.log_sigma(),
                made_of,
            },
            parts,
            pool: Pool::new(setup.threads),
            steps: setup.steps,
            updates: 0,
            dropout_key: derive(setup.seed, "dropout"),
            batch: Transitions::default(),
            scratch: Scratch::default(),
            shown: Default::default(),
        }
    }

    /// The learner of a checkpoint, to go on with the values of this plan.
    ///
    /// # Errors
    /// Notes, weights or moments that do not fit.
    pub fn saved(saved: &Saved, setup: &Setup, config: Config) -> Result<Self, Error> {
        let mut made_of: MadeOf = saved.made_of()?;
        made_of.iql = config;
        let Notes { updates } = saved.notes()?;
        let zeros = |shape: &Shape| vec![0.0; Layout::new(shape).len()];
        let mut learner = Self::of(made_of, setup, zeros);
        let parts = &mut learner.parts;
        for part in [&mut parts.actor, &mut parts.critics, &mut parts.value] {
            part.restore(saved, updates)?;
        }
        if let Some((_, log_sigma)) = &mut parts.log_sigma {
            log_sigma.restore(saved, updates)?;
        }
        learner.model.log_sigma = parts.log_sigma();
        learner.updates = updates;
        Ok(learner)
    }

    /// One update on a batch.
    pub fn learn(&mut self, batch: &Transitions) -> Update {
        let done = self.updates;
        self.updates += 1;
        let config = &self.config;
        let progress = done as f64 / self.steps.max(1) as f64;
        let work = Work {
            config,
            pool: &self.pool,
            batch,
            rate: config.actor_learning_rate * config.actor_schedule.factor(progress),
            dropout_key: (config.actor_dropout > 0.0)
                .then(|| mix(self.dropout_key.wrapping_add(done))),
        };
        let (parts, scratch) = (&mut self.parts, &mut self.scratch);
        let report = self.pool.update(|| work.run(parts, scratch));
        self.model.log_sigma = self.parts.log_sigma();
        report
    }
}

/// How transitions are made for this configuration.
fn transitions(config: &Config, actions: &ActionCodec) -> TransitionConfig {
    TransitionConfig {
        truncated_last: config.truncated_last,
        n_step: config.n_step,
        discount: config.discount,
        reward: RewardTransform {
            scale: config.reward_scale.unwrap_or(1.0),
            shift: config.reward_shift,
        },
        action_clip: config.action_clip,
        action_map: actions.action_map(),
        ..TransitionConfig::default()
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
        let Parts { critics, value, .. } = &self.parts;
        let actor = algorithms::Model::weights(&self.model);
        [actor, critics.weights(), value.weights()].concat()
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        let parts = &mut self.parts;
        for part in [&mut parts.actor, &mut parts.critics, &mut parts.value] {
            part.load_weights(file)?;
        }
        if let Some((_, log_sigma)) = &mut parts.log_sigma {
            log_sigma.load_weights(file)?;
        }
        self.model.log_sigma = parts.log_sigma();
        Ok(())
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.next_transitions(&mut batch);
        let report = self.learn(&batch);
        self.batch = batch;
        Ok(vec![report])
    }

    /// How far the actor is from the data's actions, and what critics and value function say of the
    /// data.
    fn validate(&mut self, batch: &HeldBack) -> Vec<(&'static str, f64)> {
        let HeldBack::Transitions(batch) = batch else {
            return Vec::new();
        };
        let infer = |part: &Trained, inputs: &[&[f32]], count: usize| {
            let mut outputs = vec![0.0; count];
            let mut network = part.network.lock();
            network.infer(&self.pool, inputs, &mut outputs);
            outputs
        };
        let (seen, acted) = (&batch.observations[..], &batch.actions[..]);
        let outputs = infer(&self.parts.actor, &[seen], acted.len());
        let mut actions = vec![0.0; acted.len()];
        tanh::forward(1.0, &outputs, &mut actions);
        let errors = actions.iter().zip(acted);
        let squares: f64 = errors.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let q = infer(&self.parts.critics, &[seen, acted], 2 * batch.rows);
        let value = infer(&self.parts.value, &[seen], batch.rows);
        vec![
            ("squared_error", squares / acted.len().max(1) as f64),
            ("q", mean(&q[..batch.rows])),
            ("value", mean(&value)),
        ]
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let Self { parts, shown, .. } = self;
        let networks = [&parts.actor, &parts.critics, &parts.value];
        for (shown, trained) in shown.iter_mut().zip(networks) {
            shown.clear();
            shown.extend_from_slice(trained.network.lock().parameters());
        }
        let log_sigma = parts.log_sigma.iter();
        let log_sigma = log_sigma.map(|(_, values)| values.histogram());
        let networks = networks.into_iter().zip(&*shown);
        let networks = networks.flat_map(|(trained, shown)| trained.histograms(shown));
        networks.chain(log_sigma).collect()
    }

    /// Products with weights alone; the first layers' inputs need no gradient.
    fn operations(&self) -> Option<f64> {
        let made_of = &self.model.made_of;
        let actor = Products::of(&made_of.actor());
        let critic = Products::of(&made_of.critics());
        let value = Products::of(&made_of.value());
        let again = match self.config.conventions {
            Conventions::Corl => 0.0,
            // V(s) once more, behind its step.
            Conventions::Paper => value.all,
        };
        let targets = 2.0 * critic.all + value.all + again;
        let learning = 2.0 * critic.learning() + value.learning() + actor.learning();
        Some(2.0 * self.config.batch_size as f64 * (targets + learning))
    }

    fn state(&self) -> State {
        let Parts {
            actor,
            log_sigma,
            critics,
            value,
        } = &self.parts;
        let mut tensors = [critics.weights(), value.weights()].concat();
        for part in [actor, critics, value] {
            tensors.extend(part.state());
        }
        if let Some((_, log_sigma)) = log_sigma {
            tensors.extend(log_sigma.state());
        }
        let notes = Notes {
            updates: self.updates,
        };
        State {
            tensors,
            notes: json!(notes),
        }
    }
}
