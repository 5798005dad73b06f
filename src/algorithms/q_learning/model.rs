//! A Q-network, trained or new, for acting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rtg_datasets::Normaliser;
use rtg_datasets::sample::TransitionConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::form::{Form, argmax};
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Computation, Critic, Error, Rule, Saved, computation};
use crate::nn::state_dict::Entry;
use crate::policy::{Mode, Policy};
use crate::random::Stream;
use rtg_kernels::mlp::{Network, Pool, Shape};

/// The acting part: the Q-network and its exploration.
pub struct Model {
    pub(super) made_of: MadeOf,
    pub(super) q: Shared,
    pub(super) exploring: Exploring,
}

/// The model without its weights, as a checkpoint's metadata has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct MadeOf {
    pub(super) form: Form,
    /// Units in each hidden layer.
    pub(super) hidden: Vec<usize>,
    pub(super) normaliser: Option<Normaliser>,
    pub(super) actions: ActionCodec,
    /// Numbers in an observation.
    pub(super) observation: usize,
}

/// The name of the network in files.
pub(super) const Q: &str = "q";

impl MadeOf {
    pub(super) fn shape(&self) -> Shape {
        Shape::new(&[self.observation], &self.hidden, self.form.outputs())
    }
}

/// The share of random actions, which a learner may change while policies act.
#[derive(Clone, Debug, Default)]
pub(super) struct Exploring(Arc<AtomicU32>);

impl Exploring {
    pub(super) fn set(&self, epsilon: f64) {
        self.0.store((epsilon as f32).to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Model {
    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf = saved.made_of()?;
        let parameters = networks::read(Q, &made_of.shape(), saved.tensors)?;
        Ok(Self {
            q: Shared::new(Network::new(&made_of.shape(), parameters)),
            made_of,
            exploring: Exploring::default(),
        })
    }

    /// The value of the best action, learned from transitions of this form.
    pub fn into_critic(self, transitions: &TransitionConfig) -> Critic {
        let Self { made_of, q, .. } = self;
        let MadeOf {
            form,
            normaliser,
            observation,
            ..
        } = made_of;
        let compute = move |pool: &Pool, observations: &[f32], rows: usize| {
            let mut outputs = vec![0.0; rows * form.outputs()];
            q.lock().infer(pool, &[observations], &mut outputs);
            let (mut values, mut means) = (Vec::new(), Vec::new());
            form.values(&outputs, &mut values);
            form.means(&values, &mut means);
            let rows = means.chunks(form.actions);
            rows.map(|means| means[argmax(means)]).collect()
        };
        Critic::new(transitions, (observation, normaliser), Box::new(compute))
    }

    fn decision(&self) -> EpsilonGreedy {
        EpsilonGreedy {
            form: self.made_of.form,
            exploring: self.exploring.clone(),
        }
    }
}

impl algorithms::Model for Model {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        Box::new(ActorPolicy::new(
            (self.q.clone(), self.decision()),
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
        networks::entries(Q, &self.q.lock())
    }

    fn computation(&self) -> Option<Computation> {
        computation::of_actor(
            (&self.q, &self.decision()),
            self.made_of.observation,
            self.made_of.normaliser.as_ref(),
            &self.made_of.actions,
            None,
        )
    }
}

/// The action with the largest value; when exploring, a random action with probability epsilon.
struct EpsilonGreedy {
    form: Form,
    exploring: Exploring,
}

impl Decision for EpsilonGreedy {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        let (mut values, mut means) = (Vec::new(), Vec::new());
        self.form.values(outputs, &mut values);
        self.form.means(&values, &mut means);
        actions.copy_from_slice(&means);
    }

    /// One number from U\[0, 1) per row, stored first.
    fn draw(&self, stream: &mut Stream, noise: &mut [f32]) {
        noise[0] = stream.uniform();
    }

    /// The number decides whether the action is random and, since it is uniform below epsilon,
    /// which action it is.
    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
        let (epsilon, count) = (self.exploring.get(), self.form.actions);
        for (noise, action) in noise.chunks(count).zip(actions.chunks_mut(count)) {
            if noise[0] < epsilon {
                let chosen = (noise[0] / epsilon * count as f32) as usize;
                action.fill(0.0);
                action[chosen.min(count - 1)] = 1.0;
            }
        }
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Values {
            quantiles: self.form.quantiles,
            dueling: self.form.dueling,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_random_actions_is_epsilon_and_they_are_all_as_likely() {
        let decision = EpsilonGreedy {
            form: Form {
                actions: 4,
                quantiles: 1,
                dueling: false,
            },
            exploring: Exploring::default(),
        };
        let mut stream = Stream::new(1, "test");
        let mut counts = |epsilon: f64| {
            decision.exploring.set(epsilon);
            let mut counts = [0_u32; 4];
            for _ in 0..8000 {
                let (mut noise, mut actions) = ([0.0; 4], [0.0; 4]);
                decision.draw(&mut stream, &mut noise);
                decision.explore(&[0.0, 1.0, 5.0, 2.0], &noise, &mut actions);
                counts[super::super::form::argmax(&actions)] += 1;
            }
            counts
        };
        assert_eq!(counts(0.0), [0, 0, 8000, 0]);
        let often = counts(0.4);
        for (action, count) in often.iter().enumerate() {
            let expected = if action == 2 { 5600 } else { 800 };
            assert!(count.abs_diff(expected) < 150, "{often:?}");
        }
        let always = counts(1.0);
        assert!(
            always.iter().all(|count| count.abs_diff(2000) < 200),
            "{always:?}"
        );
    }
}
