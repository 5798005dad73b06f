//! An actor of PPO, trained or new.

use std::sync::{Arc, Mutex, PoisonError};

use rtg_envs::Space;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::NAME;
use super::config::Config;
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Computation, Error, Rule, Saved, computation};
use crate::nn::state_dict::{Entry, read_linear};
use crate::policy::{Mode, Policy};
use crate::random::Stream;
use rtg_kernels::mlp::heads::categorical;
use rtg_kernels::mlp::heads::gaussian::{Bound, Gaussian};
use rtg_kernels::mlp::{Activation, Network, Shape};

/// The acting part: the actor, and how its outputs become actions.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) actor: Shared,
    /// For continuous actions.
    pub(super) log_sigma: Option<LogSigma>,
}

/// The model without its weights, as a checkpoint's metadata has it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) hidden: Vec<usize>,
    /// Continuous actions are in the environment's units.
    pub(super) actions: ActionCodec,
    /// The bounds of a continuous action.
    pub(super) bounds: Option<[Vec<f64>; 2]>,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

pub(super) const ACTOR: &str = "actor";
pub(super) const LOG_SIGMA: &str = "actor.log_std";

/// The distribution of continuous actions, without a bound on sigma.
pub(super) const GAUSSIAN: Gaussian = Gaussian {
    low: f32::NEG_INFINITY,
    high: f32::INFINITY,
    bound: Bound::Clamp,
};

/// The logarithms of the standard deviations, A numbers, which a learner may change while policies
/// act.
#[derive(Clone, Debug)]
pub(super) struct LogSigma(Arc<Mutex<Vec<f32>>>);

impl LogSigma {
    pub(super) fn new(values: Vec<f32>) -> Self {
        Self(Arc::new(Mutex::new(values)))
    }

    pub(super) fn get(&self) -> Vec<f32> {
        let values = self.0.lock();
        values.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, values: &[f32]) {
        let held = self.0.lock();
        held.unwrap_or_else(PoisonError::into_inner)
            .copy_from_slice(values);
    }
}

impl MadeOf {
    /// The model that the plan describes for these spaces.
    ///
    /// # Errors
    /// Actions that are neither discrete nor a box.
    pub(super) fn new(config: &Config, observation: usize, space: &Space) -> Result<Self, Error> {
        let (actions, bounds) = match space {
            Space::Box(space) => {
                let count = space.low.len();
                let actions = ActionCodec::Continuous {
                    offset: vec![0.0; count],
                    scale: vec![1.0; count],
                    max_action: 1.0,
                };
                (actions, Some([space.low.clone(), space.high.clone()]))
            }
            space => (ActionCodec::discrete(NAME, space)?, None),
        };
        Ok(Self {
            hidden: config.hidden.clone(),
            actions,
            bounds,
            observation,
        })
    }

    fn shape(&self, outputs: usize) -> Shape {
        Shape {
            activation: Activation::Tanh,
            ..Shape::new(&[self.observation], &self.hidden, outputs)
        }
    }

    /// The actor's shape. Its outputs are logits, or means.
    pub(super) fn actor(&self) -> Shape {
        self.shape(self.actions.width())
    }

    pub(super) fn critic(&self) -> Shape {
        self.shape(1)
    }

    pub(super) fn is_discrete(&self) -> bool {
        self.bounds.is_none()
    }
}

impl Model {
    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        let parameters = networks::read(ACTOR, &made_of.actor(), saved.tensors)?;
        let width = [made_of.actions.width()];
        let log_sigma = (!made_of.is_discrete())
            .then(|| read_linear(LOG_SIGMA, &width, saved.tensors))
            .transpose()?;
        Ok(Self {
            actor: Shared::new(Network::new(&made_of.actor(), parameters)),
            log_sigma: log_sigma.map(LogSigma::new),
            made_of,
        })
    }

    fn choice(&self) -> Choice {
        match &self.log_sigma {
            Some(log_sigma) => Choice::Gaussian(log_sigma.clone()),
            None => Choice::Categorical(self.made_of.actions.width()),
        }
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let policy = ActorPolicy::new(
            (self.actor.clone(), self.choice()),
            None,
            self.made_of.actions.clone(),
            mode,
            (rows, threads),
        );
        match &self.made_of.bounds {
            Some(bounds) => Box::new(policy.within(bounds.clone())),
            None => Box::new(policy),
        }
    }

    fn made_of(&self) -> Value {
        json!(self.made_of)
    }

    fn weights(&self) -> Vec<Entry> {
        let mut entries = networks::entries(ACTOR, &self.actor.lock());
        let log_sigma = self.log_sigma.iter();
        entries.extend(log_sigma.map(|values| Entry::vector(LOG_SIGMA, &values.get())));
        entries
    }

    fn computation(&self) -> Option<Computation> {
        computation::of_actor(
            (&self.actor, &self.choice()),
            self.made_of.observation,
            None,
            &self.made_of.actions,
            self.made_of.bounds.as_ref(),
        )
    }
}

/// How the actor's outputs become actions. Greedy: the likeliest action, or the mean; exploring: a
/// sample.
enum Choice {
    /// Among this many actions.
    Categorical(usize),
    /// Around the outputs.
    Gaussian(LogSigma),
}

impl Decision for Choice {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        actions.copy_from_slice(outputs);
    }

    /// For discrete actions, one number from U\[0, 1) per row, stored first.
    fn draw(&self, stream: &mut Stream, noise: &mut [f32]) {
        match self {
            Self::Categorical(_) => noise[0] = stream.uniform(),
            Self::Gaussian(_) => stream.fill_normal(noise),
        }
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        match self {
            Self::Categorical(count) => {
                let mut logs = vec![0.0; outputs.len()];
                categorical::log_softmax(*count, outputs, &mut logs);
                actions.fill(0.0);
                let rows = logs.chunks(*count).zip(noise.chunks(*count));
                for ((logs, noise), action) in rows.zip(actions.chunks_mut(*count)) {
                    action[categorical::pick(logs, noise[0])] = 1.0;
                }
            }
            Self::Gaussian(log_sigma) => {
                GAUSSIAN.sample(outputs, &log_sigma.get(), noise, actions);
            }
        }
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Outputs)
    }
}
