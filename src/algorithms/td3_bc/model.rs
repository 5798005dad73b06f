//! A trained (or new) actor of TD3+BC.

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::Config;
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Error, Saved};
use crate::kernels::mlp::heads::tanh;
use crate::kernels::mlp::{Network, Shape};
use crate::nn::state_dict::Entry;
use crate::policy::{Mode, Policy};

/// What acts: the actor, and the way from raw numbers into it and back.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) actor: Shared,
}

/// The model without its weights, as a checkpoint notes it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) td3_bc: Config,
    pub(super) normaliser: Option<Normaliser>,
    pub(super) actions: ActionCodec,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

/// Actions as the actor's tanh gives them, in the units of the data.
struct Tanh {
    /// The largest action.
    scale: f32,
    /// Standard deviation of the noise to explore with, in parts of the largest action.
    noise: f32,
}

pub(super) const ACTOR: &str = "actor";

impl MadeOf {
    /// Sizes of the actor, or with `inputs` of observation and action of the critics.
    pub(super) fn shape(&self, inputs: &[usize], outputs: usize) -> Shape {
        Shape::new(
            inputs,
            &vec![self.td3_bc.width; self.td3_bc.layers],
            outputs,
        )
    }

    pub(super) fn actor(&self) -> Shape {
        self.shape(&[self.observation], self.actions.width())
    }

    pub(super) fn critics(&self) -> Shape {
        let inputs = [self.observation, self.actions.width()];
        self.shape(&inputs, 1).ensemble(2)
    }

    /// The largest action inside the networks.
    pub(super) fn max_action(&self) -> f32 {
        self.actions.max_action() as f32
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
        let decision = Tanh {
            scale: self.made_of.max_action(),
            noise: self.made_of.td3_bc.exploration_noise as f32,
        };
        Box::new(ActorPolicy::new(
            (self.actor.clone(), decision),
            self.made_of.normaliser.clone(),
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

impl Decision for Tanh {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        tanh::forward(self.scale, outputs, actions);
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
        for (action, noise) in actions.iter_mut().zip(noise) {
            let moved = *action + self.scale * self.noise * noise;
            *action = moved.clamp(-self.scale, self.scale);
        }
    }
}
