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
use crate::algorithms::{self, ActionCodec, Computation, Error, Saved, Setup, computation};
use crate::nn::state_dict::{Entry, read_linear};
use crate::policy::{Mode, Policy};
use rtg_kernels::mlp::heads::gaussian::{Bound, Gaussian};
use rtg_kernels::mlp::{Network, Shape};

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
        let actions = ActionCodec::of(BoxUnits::Unit, &setup.spec.action_space);
        let algorithm = NAME;
        Ok(Self {
            width: config.width,
            layers: config.layers,
            dropout: config.dropout,
            horizon: config.horizon.unwrap_or_else(|| super::horizon(data)),
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

    /// A target divided by this is the network's outcome.
    fn target_divisor(&self) -> f64 {
        self.horizon as f64 * self.outcome_scale
    }

    /// The bounds of a continuous action.
    fn bounds(&self) -> Option<[Vec<f64>; 2]> {
        let ActionCodec::Continuous { offset, scale, .. } = &self.actions else {
            return None;
        };
        let bound = |sign: f64| {
            let numbers = offset.iter().zip(scale);
            numbers
                .map(|(offset, scale)| offset + sign * scale)
                .collect()
        };
        Some([bound(-1.0), bound(1.0)])
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

    fn decision(&self) -> GaussianDecision {
        GaussianDecision {
            squash: false,
            noise: (!self.log_sigma.is_empty()).then(|| (GAUSSIAN, self.log_sigma.clone())),
        }
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let policy = ActorPolicy::new(
            (self.network.clone(), self.decision()),
            Some(self.made_of.normaliser.clone()),
            self.made_of.actions.clone(),
            mode,
            (rows, threads),
        );
        let policy = policy.with_targets(self.made_of.target_divisor());
        match self.made_of.bounds() {
            None => Box::new(policy),
            Some(bounds) => Box::new(policy.within(bounds)),
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

    fn computation(&self) -> Option<Computation> {
        let computation = computation::of_actor(
            (&self.network, &self.decision()),
            self.made_of.normaliser.width(),
            Some(&self.made_of.normaliser),
            &self.made_of.actions,
            self.made_of.bounds().as_ref(),
        )?;
        Some(computation.with_target(self.made_of.target_divisor()))
    }
}
