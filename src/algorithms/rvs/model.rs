//! A policy of RvS-R, trained or new.

use rtg_datasets::Normaliser;
use rtg_datasets::sample::Batch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::NAME;
use super::config::Config;
use crate::algorithms::action_codec::BoxUnits;
use crate::algorithms::actor_critic::gaussian::{GaussianDecision, LOG_SIGMA};
use crate::algorithms::actor_policy::ActorPolicy;
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Error, Saved, Setup};
use crate::kernels::mlp::heads::gaussian::{Bound, Gaussian};
use crate::kernels::mlp::{Network, Shape};
use crate::nn::state_dict::{Entry, read_linear};
use crate::policy::{Mode, Policy};

/// The name of its network in files.
pub(super) const ACTOR: &str = "actor";
/// Log sigma has no bounds.
pub(super) const GAUSSIAN: Gaussian = Gaussian {
    low: f32::NEG_INFINITY,
    high: f32::INFINITY,
    bound: Bound::Clamp,
};

/// A model without its weights, as a checkpoint's metadata has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeOf {
    width: usize,
    layers: usize,
    dropout: f32,
    /// T, in steps.
    horizon: usize,
    outcome_scale: f64,
    pub(super) normaliser: Normaliser,
    pub(super) actions: ActionCodec,
}

/// A policy of RvS-R, trained or new.
#[derive(Debug)]
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) network: Shared,
    /// One for each number of an action; none for discrete actions.
    pub(super) log_sigma: Vec<f32>,
}

impl MadeOf {
    /// The model that the plan describes for these data.
    ///
    /// # Errors
    /// No data, or actions of a space that it cannot act in.
    pub(super) fn new(config: &Config, setup: &Setup) -> Result<Self, Error> {
        let data = setup.dataset()?;
        let longest = || data.iter().map(|episode| episode.len()).max();
        let actions = ActionCodec::of(BoxUnits::Unit, &setup.spec.action_space);
        let algorithm = NAME;
        Ok(Self {
            width: config.width,
            layers: config.layers,
            dropout: config.dropout,
            horizon: config.horizon.or_else(longest).unwrap_or(1),
            outcome_scale: config.outcome_scale,
            normaliser: if config.normalise {
                Normaliser::of(data, Normaliser::EPSILON)
            } else {
                Normaliser::identity(data.observation_width())
            },
            actions: actions.map_err(|found| Error::ActionSpace { algorithm, found })?,
        })
    }

    /// Whether the plan describes the same model, apart from the data.
    pub(super) fn is_of(&self, config: &Config) -> bool {
        (self.width, self.layers, self.dropout) == (config.width, config.layers, config.dropout)
            && config.horizon.is_none_or(|horizon| horizon == self.horizon)
            && self.outcome_scale.to_bits() == config.outcome_scale.to_bits()
    }

    /// The network's shape. Its inputs are an observation and an outcome; its outputs are means, or
    /// logits.
    pub(super) fn shape(&self) -> Shape {
        let hidden = vec![self.width; self.layers];
        Shape {
            dropout: self.dropout,
            ..Shape::new(&[self.normaliser.width(), 1], &hidden, self.actions.width())
        }
    }

    /// The number of log standard deviations.
    pub(super) fn sigmas(&self) -> usize {
        match self.actions {
            ActionCodec::Discrete { .. } => 0,
            ActionCodec::Continuous { .. } => self.actions.width(),
        }
    }

    /// The outcomes of a batch of single steps: the return-to-go of each, divided by the remaining
    /// steps.
    pub(super) fn outcomes(&self, batch: &Batch, outcomes: &mut Vec<f32>) {
        let steps = batch.returns_to_go.iter().zip(&batch.timesteps);
        outcomes.clear();
        outcomes.extend(steps.map(|(&return_to_go, &step)| {
            let left = self.horizon.saturating_sub(step as usize).max(1);
            (f64::from(return_to_go) / (left as f64 * self.outcome_scale)) as f32
        }));
    }
}

impl Model {
    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        let shape = made_of.shape();
        let parameters = networks::read(ACTOR, &shape, saved.tensors)?;
        let log_sigma = match made_of.sigmas() {
            0 => Vec::new(),
            count => read_linear(LOG_SIGMA, &[count], saved.tensors)?,
        };
        Ok(Self {
            network: Shared::new(Network::new(&shape, parameters)),
            log_sigma,
            made_of,
        })
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let MadeOf {
            horizon,
            outcome_scale,
            normaliser,
            actions,
            ..
        } = &self.made_of;
        let decision = GaussianDecision {
            squash: false,
            noise: (!self.log_sigma.is_empty()).then(|| (GAUSSIAN, self.log_sigma.clone())),
        };
        let policy = ActorPolicy::new(
            (self.network.clone(), decision),
            Some(normaliser.clone()),
            actions.clone(),
            mode,
            (rows, threads),
        );
        let policy = policy.with_targets(*horizon as f64 * outcome_scale);
        match actions {
            ActionCodec::Discrete { .. } => Box::new(policy),
            ActionCodec::Continuous { offset, scale, .. } => {
                let bound = |sign: f64| {
                    let numbers = offset.iter().zip(scale);
                    numbers
                        .map(|(offset, scale)| offset + sign * scale)
                        .collect()
                };
                Box::new(policy.within([bound(-1.0), bound(1.0)]))
            }
        }
    }

    fn made_of(&self) -> Value {
        json!(self.made_of)
    }

    fn weights(&self) -> Vec<Entry> {
        let mut entries = networks::entries(ACTOR, &self.network.lock());
        if !self.log_sigma.is_empty() {
            entries.push(Entry::vector(LOG_SIGMA, &self.log_sigma));
        }
        entries
    }
}
