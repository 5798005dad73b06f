//! The policy of a learned actor: a network from the present observation to an action.

use rtg_datasets::Normaliser;

use super::ActionCodec;
use super::networks::Shared;
use crate::kernels::mlp::Pool;
use crate::policy::{Mode, Policy, Start};
use crate::random::Stream;

/// How an actor's outputs become actions, in the network's units.
pub(super) trait Decision {
    /// The actions that are rated highest. `outputs` are rows x the network's outputs, `actions`
    /// rows x A.
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]);

    /// Actions to explore with; `noise` is rows x A, from N(0, 1).
    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]);
}

/// Acts with weights that a learner may go on changing.
///
/// Exploring, each row draws its noise from a stream that follows from its episode's start, A
/// numbers in every step, so that the noise depends on the step alone.
pub(super) struct ActorPolicy<D> {
    actor: Shared,
    decision: D,
    normaliser: Option<Normaliser>,
    actions: ActionCodec,
    mode: Mode,
    pool: Pool,
    streams: Vec<Stream>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
    noise: Vec<f32>,
    chosen: Vec<f32>,
}

impl<D: Decision> ActorPolicy<D> {
    pub(super) fn new(
        (actor, decision): (Shared, D),
        normaliser: Option<Normaliser>,
        actions: ActionCodec,
        mode: Mode,
        (rows, threads): (usize, usize),
    ) -> Self {
        Self {
            actor,
            decision,
            normaliser,
            actions,
            mode,
            pool: Pool::new(threads.min(rows)),
            streams: vec![Stream::new(0, STREAM); rows],
            inputs: Vec::new(),
            outputs: Vec::new(),
            noise: Vec::new(),
            chosen: Vec::new(),
        }
    }
}

const STREAM: &str = "exploration";

impl<D: Decision> Policy for ActorPolicy<D> {
    fn begin(&mut self, row: usize, start: &Start) {
        self.streams[row] = Stream::new(start.seed, STREAM);
    }

    fn act(&mut self, active: &[usize], observations: &[f64], _: &[f64], actions: &mut [f64]) {
        let rows = self.streams.len();
        let (seen, outer) = (observations.len() / rows, actions.len() / rows);
        let inner = self.actions.width();
        self.inputs.resize(active.len() * seen, 0.0);
        for (&row, input) in active.iter().zip(self.inputs.chunks_mut(seen.max(1))) {
            let observation = &observations[row * seen..][..seen];
            match &self.normaliser {
                Some(normaliser) => normaliser.apply(observation, input),
                None => {
                    for (to, &from) in input.iter_mut().zip(observation) {
                        *to = from as f32;
                    }
                }
            }
        }
        let mut actor = self.actor.lock();
        let width = actor.shape().outputs;
        self.outputs.resize(active.len() * width, 0.0);
        actor.infer(&self.pool, &[&self.inputs], &mut self.outputs);
        drop(actor);
        self.chosen.resize(active.len() * inner, 0.0);
        match self.mode {
            Mode::Greedy => self.decision.greedy(&self.outputs, &mut self.chosen),
            Mode::Explore => {
                self.noise.resize(active.len() * inner, 0.0);
                for (&row, noise) in active.iter().zip(self.noise.chunks_mut(inner.max(1))) {
                    self.streams[row].fill_normal(noise);
                }
                self.decision
                    .explore(&self.outputs, &self.noise, &mut self.chosen);
            }
        }
        for (&row, chosen) in active.iter().zip(self.chosen.chunks(inner.max(1))) {
            let action = &mut actions[row * outer..][..outer];
            self.actions.decode(chosen, action);
        }
    }
}
