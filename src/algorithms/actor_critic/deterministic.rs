//! A deterministic actor: its target with noise, and its gradient through a critic.

use super::squashed::Units;
use super::{ACTOR, Draw, Initial, Method, Noise, Parts, Work};
use crate::algorithms::Rule;
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::Trained;
use crate::algorithms::vector::TrainedVector;
use crate::nn::initialise::LayerFill;
use rtg_kernels::mlp::heads::tanh;
use rtg_kernels::mlp::{Pass, Shape, Want};

/// Actions from the actor's tanh, in the units of the data.
pub struct Tanh {
    /// The largest action.
    pub(in crate::algorithms) scale: f32,
    /// Standard deviation of the exploration noise, as a fraction of the largest action.
    pub(in crate::algorithms) noise: f32,
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

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Tanh { scale: self.scale })
    }
}

/// An actor and critics with their targets, initialised as in PyTorch.
pub(in crate::algorithms) fn parts<M>(
    actor: &Shape,
    critics: &Shape,
    initial: &mut Initial<'_>,
) -> Parts<M>
where
    M: Method<Networks = [Trained; 2], Vectors = [TrainedVector; 0]>,
{
    let mut network = |name, shape: &Shape| {
        Trained::new(name, shape, initial(shape, [LayerFill::DEFAULT; 2]), true)
    };
    Parts {
        networks: [network(ACTOR, actor), network("critic", critics)],
        vectors: [],
    }
}

/// Noise on the target policy's actions, which makes the critics smooth around them (TD3).
#[derive(Clone, Copy)]
pub(in crate::algorithms) struct Smoothing {
    /// The largest action.
    pub(in crate::algorithms) scale: f32,
    /// Standard deviation of the noise, as a fraction of the largest action.
    pub(in crate::algorithms) noise: f64,
    /// Bound at which the noise is clipped.
    pub(in crate::algorithms) clip: f64,
}

impl Smoothing {
    /// clip(pi'(s') + clip(noise)) at the batch's next observations, rows x A.
    pub(in crate::algorithms) fn next_actions<M: Method>(
        self,
        work: &Work<M>,
        actor: &mut Trained,
        noise: &mut Noise<'_>,
        drawn: &mut Vec<f32>,
        to: &mut Vec<f32>,
    ) {
        let Some(actor) = &mut actor.target else {
            return;
        };
        let count = work.batch.actions.len();
        to.resize(count, 0.0);
        drawn.resize(count, 0.0);
        actor.infer(work.pool, &[&work.batch.next_observations], drawn);
        tanh::forward(self.scale, drawn, to);
        noise(Draw::Normal, drawn);
        let bound = self.clip as f32 * self.scale;
        let deviation = self.noise as f32 * self.scale;
        for (action, noise) in to.iter_mut().zip(&*drawn) {
            let moved = *action + (deviation * noise).clamp(-bound, bound);
            *action = moved.clamp(-self.scale, self.scale);
        }
    }
}

/// The actor's own actions and the scratch memory of its gradient, kept for the next update.
#[derive(Default)]
pub(in crate::algorithms) struct Ascent {
    /// Rows x A, the actor's outputs.
    pub(in crate::algorithms) actions: Vec<f32>,
    /// The loss's gradient with respect to the actions.
    pub(in crate::algorithms) action_gradients: Vec<f32>,
    /// The actions in the critics' units.
    seen: Vec<f32>,
    gradients: Vec<f32>,
    actor_pass: Pass,
    critic_pass: Pass,
}

impl Ascent {
    /// `Q_1(s, pi(s))`, row by row.
    pub(in crate::algorithms) fn values<M: Method>(
        &mut self,
        work: &Work<M>,
        [actor, critics]: [&Trained; 2],
        (scale, units): (f32, &Units),
    ) -> &[f32] {
        let observations = &work.batch.observations;
        let mut network = actor.network.lock();
        network.forward(work.pool, &[observations], &mut self.actor_pass);
        drop(network);
        self.actions.resize(work.batch.actions.len(), 0.0);
        tanh::forward(scale, self.actor_pass.outputs(), &mut self.actions);
        units.apply(&self.actions, &mut self.seen);
        let inputs: [&[f32]; 2] = [observations, &self.seen];
        let mut network = critics.network.lock();
        network.forward_of(work.pool, 0..1, None, &inputs, &mut self.critic_pass);
        self.critic_pass.outputs()
    }

    /// Fills `action_gradients` with the gradient of `weight` times the sum of those values.
    pub(in crate::algorithms) fn through_critic<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &Trained,
        units: &Units,
        weight: f32,
    ) {
        self.gradients.clear();
        self.gradients.resize(work.batch.rows, weight);
        let pass = &mut self.critic_pass;
        let mut network = critics.network.lock();
        network.backward(work.pool, &self.gradients, Want::input(1), pass);
        drop(network);
        self.action_gradients.resize(self.actions.len(), 0.0);
        pass.sum_input_gradients(&mut self.action_gradients);
        units.backward(&mut self.action_gradients);
    }

    /// Steps the actor along `action_gradients`.
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        work: &Work<M>,
        actor: &mut Trained,
        scale: f32,
        rate: f64,
    ) {
        self.gradients.resize(self.actions.len(), 0.0);
        let (actions, at_actions) = (&self.actions, &self.action_gradients);
        tanh::backward(scale, actions, at_actions, &mut self.gradients);
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(work.pool, &self.gradients, want, &mut self.actor_pass);
        drop(network);
        actor.step(work.pool, rate);
    }
}
