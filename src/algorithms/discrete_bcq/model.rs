//! A Q-network with its imitation network, trained or new, for acting.

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Computation, Error, Rule, Saved, computation};
use crate::nn::state_dict::Entry;
use crate::policy::{Mode, Policy};
use rtg_kernels::mlp::{Network, Shape};

/// The acting part: both networks, the members of one ensemble.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) both: Shared,
}

/// The model without its weights, as a checkpoint's metadata has it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) hidden: Vec<usize>,
    pub(super) threshold: f64,
    pub(super) normaliser: Option<Normaliser>,
    pub(super) actions: ActionCodec,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

/// The name of the ensemble in files: `bcq_1` is the Q-network, `bcq_2` the imitation network.
pub(super) const BOTH: &str = "bcq";

/// The value of an action that is not allowed.
pub(super) const RULED_OUT: f32 = -1e8;

impl MadeOf {
    pub(super) fn shape(&self) -> Shape {
        Shape::new(&[self.observation], &self.hidden, self.actions.width()).ensemble(2)
    }
}

impl Model {
    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        let parameters = networks::read(BOTH, &made_of.shape(), saved.tensors)?;
        Ok(Self {
            both: Shared::new(Network::new(&made_of.shape(), parameters)),
            made_of,
        })
    }

    fn decision(&self) -> Constrained {
        Constrained {
            actions: self.made_of.actions.width(),
            threshold: self.made_of.threshold,
        }
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        Box::new(ActorPolicy::new(
            (self.both.clone(), self.decision()),
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
        networks::entries(BOTH, &self.both.lock())
    }

    fn computation(&self) -> Option<Computation> {
        computation::of_actor(
            (&self.both, &self.decision()),
            self.made_of.observation,
            self.made_of.normaliser.as_ref(),
            &self.made_of.actions,
            None,
        )
    }
}

/// The best of the actions that are frequent enough in the data.
#[derive(Clone, Copy)]
pub(super) struct Constrained {
    pub(super) actions: usize,
    pub(super) threshold: f64,
}

impl Constrained {
    /// Values of one row, in which actions that are not allowed have the value [`RULED_OUT`]. The
    /// likeliest action is always allowed.
    pub(super) fn allowed(&self, values: &[f32], logits: &[f32], to: &mut [f32]) {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for ((value, logit), to) in values.iter().zip(logits).zip(to) {
            let likelihood = f64::from((logit - largest).exp());
            *to = if likelihood > self.threshold {
                *value
            } else {
                RULED_OUT
            };
        }
    }
}

impl Decision for Constrained {
    /// `outputs` are the values of all rows, then their logits.
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        let (values, logits) = outputs.split_at(actions.len());
        let rows = values.chunks(self.actions).zip(logits.chunks(self.actions));
        for ((values, logits), to) in rows.zip(actions.chunks_mut(self.actions)) {
            self.allowed(values, logits, to);
        }
    }

    /// It does not explore, because it learns from a dataset.
    fn explore(&self, outputs: &[f32], _noise: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Constrained {
            threshold: self.threshold,
            ruled_out: RULED_OUT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::assert_close;

    #[test]
    fn an_action_is_allowed_above_the_threshold_and_not_at_it() {
        let decision = Constrained {
            actions: 3,
            threshold: 0.25,
        };
        // Likelihoods relative to the largest: 1, 0.25 exactly, 0.5.
        let logits = [0.0, 0.25_f32.ln(), 0.5_f32.ln()];
        let at = Constrained {
            threshold: f64::from((logits[1] - logits[0]).exp()),
            ..decision
        };
        let mut actions = [0.0; 3];
        at.allowed(&[1.0, 9.0, 2.0], &logits, &mut actions);
        assert_close(&actions, &[1.0, -1e8, 2.0], "actions");
        let all = Constrained {
            threshold: 0.0,
            ..decision
        };
        all.allowed(&[1.0, 9.0, 2.0], &logits, &mut actions);
        assert_close(&actions, &[1.0, 9.0, 2.0], "actions");
    }
}
