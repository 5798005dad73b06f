//! An actor that gives one action, and its target with noise.

use super::{Draw, Method, Noise, Work};
use crate::algorithms::Rule;
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::Trained;
use crate::kernels::mlp::heads::tanh;

/// Actions as the actor's tanh gives them, in the units of the data.
pub struct Tanh {
    /// The largest action.
    pub(in crate::algorithms) scale: f32,
    /// Standard deviation of the noise to explore with, in parts of the largest action.
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

/// The target policy's actions, disturbed so that the critics become smooth around them (TD3).
#[derive(Clone, Copy)]
pub(in crate::algorithms) struct Smoothing {
    /// The largest action.
    pub(in crate::algorithms) scale: f32,
    /// Standard deviation of the noise, in parts of the largest action.
    pub(in crate::algorithms) noise: f64,
    /// Where the noise is cut off.
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
