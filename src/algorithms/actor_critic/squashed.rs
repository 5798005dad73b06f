//! A squashed Gaussian actor's samples, and its gradient through the critics.

use rtg_datasets::sample::Transitions;

use super::update::{least, least_gradient};
use super::{Draw, Method, Noise, Work};
use crate::algorithms::action_codec::divisor;
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::{Trained, mean};
use crate::algorithms::{ActionCodec, Rule};
use rtg_kernels::mlp::heads::squashed::{Samples, Squashed};
use rtg_kernels::mlp::{Pass, Want};

/// Greedy: tanh of the mean; exploring: a sample.
impl Decision for Squashed {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        self.mode(outputs, actions);
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.act(outputs, noise, actions);
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Tanh { scale: 1.0 })
    }
}

/// Actions times `scale` plus `offset`, number by number: A each.
#[derive(Clone)]
pub(in crate::algorithms) struct Units {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Units {
    /// Actions in [-1, 1] are unchanged.
    pub(in crate::algorithms) fn identity(width: usize) -> Self {
        Self {
            offset: vec![0.0; width],
            scale: vec![1.0; width],
        }
    }

    /// From actions in [-1, 1] to the environment's.
    pub(in crate::algorithms) fn environment(actions: &ActionCodec) -> Self {
        let ActionCodec::Continuous { offset, scale, .. } = actions else {
            return Self::identity(actions.width());
        };
        Self {
            offset: offset.iter().map(|&x| x as f32).collect(),
            scale: scale.iter().map(|&x| divisor(x) as f32).collect(),
        }
    }

    /// The factor of each number.
    pub(in crate::algorithms) fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Converts actions, rows x A in [-1, 1], to the critics' units.
    pub(in crate::algorithms) fn apply(&self, actions: &[f32], to: &mut Vec<f32>) {
        let numbers = self.scale.iter().zip(&self.offset).cycle();
        to.clear();
        to.extend(
            actions
                .iter()
                .zip(numbers)
                .map(|(a, (scale, offset))| a * scale + offset),
        );
    }

    /// From the gradient of actions in the critics' units to that of actions in [-1, 1].
    pub(super) fn backward(&self, gradients: &mut [f32]) {
        for (gradient, scale) in gradients.iter_mut().zip(self.scale.iter().cycle()) {
            *gradient *= scale;
        }
    }
}

/// A sample at the batch's observations and the scratch memory of its gradient, kept for the next
/// update.
#[derive(Default)]
pub(in crate::algorithms) struct Policy {
    noise: Vec<f32>,
    pub(in crate::algorithms) samples: Samples,
    /// The sampled actions in the critics' units.
    actions: Vec<f32>,
    action_gradients: Vec<f32>,
    log_gradients: Vec<f32>,
    /// `min_j Q_j`.
    pub(in crate::algorithms) values: Vec<f32>,
    value_gradients: Vec<f32>,
    /// The gradient of the actor's outputs.
    pub(in crate::algorithms) gradients: Vec<f32>,
    pub(in crate::algorithms) pass: Pass,
    critic_pass: Pass,
}

impl Policy {
    /// Draws an action for each row of `outputs`.
    pub(in crate::algorithms) fn draw(
        &mut self,
        head: &Squashed,
        outputs: &[f32],
        noise: &mut Noise<'_>,
    ) {
        self.noise.resize(outputs.len() / 2, 0.0);
        noise(Draw::Normal, &mut self.noise);
        head.sample(outputs, &self.noise, &mut self.samples);
    }

    /// Samples new actions at the batch's observations.
    pub(in crate::algorithms) fn sample<M: Method>(
        &mut self,
        work: &Work<M>,
        (actor, head): (&Trained, &Squashed),
        noise: &mut Noise<'_>,
    ) {
        let mut network = actor.network.lock();
        network.forward(work.pool, &[&work.batch.observations], &mut self.pass);
        drop(network);
        let pass = std::mem::take(&mut self.pass);
        self.draw(head, pass.outputs(), noise);
        self.pass = pass;
    }

    /// An estimate from the last sample: the mean of -log pi.
    pub(in crate::algorithms) fn entropy(&self) -> f64 {
        -mean(&self.samples.log_probabilities)
    }

    /// L = mean (alpha log pi - `min_j Q_j(s, a)`) of the last sample; writes its gradient with
    /// respect to the actor's outputs to `gradients`.
    pub(in crate::algorithms) fn through_critics<M: Method>(
        &mut self,
        work: &Work<M>,
        outputs: &[f32],
        (critics, head, units): (&Trained, &Squashed, &Units),
        alpha: f64,
    ) -> f64 {
        let Transitions {
            rows, observations, ..
        } = work.batch;
        let rows = *rows;
        units.apply(&self.samples.actions, &mut self.actions);
        let inputs: [&[f32]; 2] = [observations, &self.actions];
        let mut network = critics.network.lock();
        network.forward(work.pool, &inputs, &mut self.critic_pass);
        let values = self.critic_pass.outputs();
        least(values, rows, &mut self.values);
        least_gradient(values, rows, -1.0 / rows as f32, &mut self.value_gradients);
        let logs = &self.samples.log_probabilities;
        let terms = self.values.iter().zip(logs);
        let terms = terms.map(|(value, log)| alpha * f64::from(*log) - f64::from(*value));
        let loss: f64 = terms.sum();
        let pass = &mut self.critic_pass;
        network.backward(work.pool, &self.value_gradients, Want::input(1), pass);
        drop(network);

        self.action_gradients.resize(self.actions.len(), 0.0);
        pass.sum_input_gradients(&mut self.action_gradients);
        units.backward(&mut self.action_gradients);
        self.log_gradients.clear();
        self.log_gradients.resize(rows, alpha as f32 / rows as f32);
        self.gradients.resize(outputs.len(), 0.0);
        head.backward(
            outputs,
            &self.samples,
            &self.action_gradients,
            &self.log_gradients,
            &mut self.gradients,
        );
        loss / rows as f64
    }

    /// The gradient of the actor's parameters, from `gradients`.
    pub(in crate::algorithms) fn backward<M: Method>(
        &mut self,
        work: &Work<M>,
        actor: &mut Trained,
    ) {
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(work.pool, &self.gradients, want, &mut self.pass);
    }

    /// Steps the actor with the last sample. Returns its loss.
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        work: &Work<M>,
        actor: &mut Trained,
        through: (&Trained, &Squashed, &Units),
        (alpha, rate): (f64, f64),
    ) -> f64 {
        let pass = std::mem::take(&mut self.pass);
        let loss = self.through_critics(work, pass.outputs(), through, alpha);
        self.pass = pass;
        self.backward(work, actor);
        actor.step(work.pool, rate);
        loss
    }
}
