//! A trained (or new) actor of IQL.

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{ActorKind, Config};
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Error, Saved};
use crate::kernels::mlp::heads::{gaussian::Gaussian, tanh};
use crate::kernels::mlp::{Network, Shape};
use crate::nn::state_dict::{Entry, read_linear};
use crate::policy::{Mode, Policy};

/// What acts: the actor, and the way from raw numbers into it and back.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) actor: Shared,
    /// A Gaussian actor's log standard deviations, A numbers, before they are kept within bounds.
    pub(super) log_sigma: Option<Vec<f32>>,
}

/// The model without its weights, as a checkpoint notes it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) iql: Config,
    pub(super) normaliser: Option<Normaliser>,
    /// Inside the networks actions are in [-1, 1].
    pub(super) actions: ActionCodec,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

/// The actor's tanh, and around it the noise of a Gaussian actor.
struct Choice(Option<(Gaussian, Vec<f32>)>);

pub(super) const ACTOR: &str = "actor";
/// CORL's name.
pub(super) const LOG_SIGMA: &str = "actor.log_std";

impl MadeOf {
    fn shape(&self, inputs: &[usize], outputs: usize) -> Shape {
        Shape::new(inputs, &vec![self.iql.width; self.iql.layers], outputs)
    }

    pub(super) fn actor(&self) -> Shape {
        Shape {
            dropout: self.iql.actor_dropout as f32,
            ..self.shape(&[self.observation], self.actions.width())
        }
    }

    pub(super) fn critics(&self) -> Shape {
        let inputs = [self.observation, self.actions.width()];
        self.shape(&inputs, 1).ensemble(2)
    }

    pub(super) fn value(&self) -> Shape {
        self.shape(&[self.observation], 1)
    }

    /// A Gaussian actor's distribution.
    pub(super) fn gaussian(&self) -> Option<Gaussian> {
        (self.iql.actor == ActorKind::Gaussian).then_some(Gaussian {
            low: self.iql.log_sigma_low as f32,
            high: 2.0,
        })
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
        let read = |_| read_linear(LOG_SIGMA, &[made_of.actions.width()], saved.tensors);
        Ok(Self {
            actor: Shared::new(Network::new(&made_of.actor(), parameters)),
            log_sigma: made_of.gaussian().map(read).transpose()?,
            made_of,
        })
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let choice = Choice(self.made_of.gaussian().zip(self.log_sigma.clone()));
        Box::new(ActorPolicy::new(
            (self.actor.clone(), choice),
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
        let mut entries = networks::entries(ACTOR, &self.actor.lock());
        let log_sigma = self.log_sigma.iter();
        entries.extend(log_sigma.map(|values| Entry::vector(LOG_SIGMA, values)));
        entries
    }
}

impl Decision for Choice {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        tanh::forward(1.0, outputs, actions);
    }

    /// A deterministic actor explores without noise, as CORL's does.
    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
        if let Some((gaussian, log_sigma)) = &self.0 {
            let means = actions.to_vec();
            gaussian.sample(&means, log_sigma, noise, actions);
            for action in actions {
                *action = action.clamp(-1.0, 1.0);
            }
        }
    }
}
