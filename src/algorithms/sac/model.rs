//! A trained (or new) actor of SAC.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{Config, Conventions};
use crate::algorithms::action_codec::divisor;
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Error, Saved};
use crate::kernels::mlp::heads::squashed::{LogProbability, LogSigma, Squashed};
use crate::kernels::mlp::{Network, Shape};
use crate::nn::state_dict::Entry;
use crate::policy::{Mode, Policy};

/// What acts: the actor, and the way from its outputs to actions.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) actor: Shared,
}

/// The model without its weights, as a checkpoint notes it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) sac: Config,
    pub(super) conventions: Conventions,
    pub(super) actions: ActionCodec,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

pub(super) const ACTOR: &str = "actor";

impl MadeOf {
    fn shape(&self, inputs: &[usize], outputs: usize) -> Shape {
        Shape::new(inputs, &vec![self.sac.width; self.sac.layers], outputs)
    }

    /// A row of the actor's outputs: A means, then A raw log sigmas.
    pub(super) fn actor(&self) -> Shape {
        self.shape(&[self.observation], 2 * self.actions.width())
    }

    pub(super) fn critics(&self) -> Shape {
        let inputs = [self.observation, self.actions.width()];
        self.shape(&inputs, 1).ensemble(2)
    }

    /// The distribution that the actor's outputs stand for.
    pub(super) fn head(&self) -> Squashed {
        let (log_sigma, log_probability) = match self.conventions {
            Conventions::CleanRl => (
                LogSigma::Tanh {
                    low: -5.0,
                    high: 2.0,
                },
                LogProbability::Scaled(self.critics_units().scale),
            ),
            Conventions::Sb3 => (
                LogSigma::Clamp {
                    low: -20.0,
                    high: 2.0,
                },
                LogProbability::Floored,
            ),
        };
        Squashed {
            action: self.actions.width(),
            log_sigma,
            log_probability,
        }
    }

    /// From actions in [-1, 1] to those that the critics see: `CleanRL`'s see the environment's.
    pub(super) fn critics_units(&self) -> Units {
        match (&self.actions, self.conventions) {
            (ActionCodec::Continuous { offset, scale, .. }, Conventions::CleanRl) => Units {
                offset: offset.iter().map(|&x| x as f32).collect(),
                scale: scale.iter().map(|&x| divisor(x) as f32).collect(),
            },
            (actions, _) => Units {
                offset: vec![0.0; actions.width()],
                scale: vec![1.0; actions.width()],
            },
        }
    }
}

/// Actions times `scale` plus `offset`, number by number: A each.
#[derive(Clone)]
pub(super) struct Units {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Units {
    /// Rows x A in [-1, 1] as the critics see them.
    pub(super) fn apply(&self, actions: &[f32], to: &mut Vec<f32>) {
        let numbers = self.scale.iter().zip(&self.offset).cycle();
        to.clear();
        to.extend(
            actions
                .iter()
                .zip(numbers)
                .map(|(a, (scale, offset))| a * scale + offset),
        );
    }

    /// From the gradient at what the critics see to that at actions in [-1, 1].
    pub(super) fn backward(&self, gradients: &mut [f32]) {
        for (gradient, scale) in gradients.iter_mut().zip(self.scale.iter().cycle()) {
            *gradient *= scale;
        }
    }
}

impl Model {
    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Notes or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        let parameters = networks::read(ACTOR, &made_of.actor(), saved.tensors)?;
        Ok(Self {
            actor: Shared::new(Network::new(&made_of.actor(), parameters)),
            made_of,
        })
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        Box::new(ActorPolicy::new(
            (self.actor.clone(), self.made_of.head()),
            None,
            self.made_of.actions.clone(),
            mode,
            (rows, threads),
        ))
    }

    fn made_of(&self) -> Value {
        json!(self.made_of)
    }

    fn weights(&self) -> Vec<Entry> {
        networks::entries(ACTOR, &self.actor.lock())
    }
}

/// Greedy: tanh of the mean; exploring: a sample.
impl Decision for Squashed {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        self.mode(outputs, actions);
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.act(outputs, noise, actions);
    }
}
