//! The policy of a learned actor: a network from the last observations to an action.

use rtg_datasets::Normaliser;

use super::networks::Shared;
use super::{ActionCodec, Rule};
use crate::policy::{Mode, Policy, Start};
use crate::random::Stream;
use rtg_kernels::mlp::Pool;

/// How an actor's outputs become actions, in the network's units.
pub trait Decision: Send {
    /// The best actions. `outputs` are rows x the network's outputs (of an ensemble, member by
    /// member), `actions` rows x A.
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]);

    /// Draws the noise of one row's step, A numbers. They may depend on the stream only.
    fn draw(&self, stream: &mut Stream, noise: &mut [f32]) {
        stream.fill_normal(noise);
    }

    /// Exploring actions; `noise` is rows x A, from [`Decision::draw`], by default N(0, 1).
    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]);

    /// [`Decision::greedy`] as a formula, for export to other formats.
    fn rule(&self) -> Option<Rule> {
        None
    }
}

/// Acts; greedily with the weights that the actor has when the policy is made, exploring with those
/// that it has at each step.
///
/// Its input is as many of the last observations as the actor has inputs for, the newest last;
/// those before an episode's first are zeros.
///
/// When exploring, each row draws its noise from a stream derived from its episode's start, the
/// same amount in every step, so that the noise depends on the step only.
pub(super) struct ActorPolicy<D> {
    actor: Shared,
    decision: D,
    normaliser: Option<Normaliser>,
    actions: ActionCodec,
    mode: Mode,
    pool: Pool,
    streams: Vec<Stream>,
    /// Rows x inputs, the actor's inputs.
    seen: Vec<f32>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
    noise: Vec<f32>,
    chosen: Vec<f32>,
    /// The bounds of an action, if the actor's outputs may exceed them.
    bounds: Option<[Vec<f64>; 2]>,
    target_input: Option<TargetInput>,
}

/// The rows' targets: one more input, constant in an episode.
struct TargetInput {
    /// Targets are divided by this.
    divisor: f64,
    of_rows: Vec<f32>,
    inputs: Vec<f32>,
}

impl<D: Decision> ActorPolicy<D> {
    pub(super) fn new(
        (actor, decision): (Shared, D),
        normaliser: Option<Normaliser>,
        actions: ActionCodec,
        mode: Mode,
        (rows, threads): (usize, usize),
    ) -> Self {
        let actor = match mode {
            Mode::Greedy => actor.copied(),
            Mode::Explore => actor,
        };
        let width = actor.lock().shape().width();
        Self {
            seen: vec![0.0; rows * width],
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
            bounds: None,
            target_input: None,
        }
    }

    /// For an actor whose last input is the target over `divisor`.
    pub(super) fn with_targets(mut self, divisor: f64) -> Self {
        let rows = self.streams.len();
        self.seen.truncate(self.seen.len() - rows);
        self.target_input = Some(TargetInput {
            divisor,
            of_rows: vec![0.0; rows],
            inputs: Vec::new(),
        });
        self
    }

    /// With actions clipped to these bounds: the lower ones, the upper ones.
    pub(super) fn within(self, bounds: [Vec<f64>; 2]) -> Self {
        Self {
            bounds: Some(bounds),
            ..self
        }
    }
}

const STREAM: &str = "exploration";

impl<D: Decision> Policy for ActorPolicy<D> {
    fn takes_target(&self) -> bool {
        self.target_input.is_some()
    }

    fn begin(&mut self, row: usize, start: &Start) {
        if let Some(target_input) = &mut self.target_input {
            target_input.of_rows[row] = (start.target.unwrap_or(0.0) / target_input.divisor) as f32;
        }
        self.streams[row] = Stream::new(start.seed, STREAM);
        let width = self.seen.len() / self.streams.len();
        self.seen[row * width..][..width].fill(0.0);
    }

    fn act(&mut self, active: &[usize], observations: &[f64], _: &[f64], actions: &mut [f64]) {
        let rows = self.streams.len();
        let (width, outer) = (observations.len() / rows, actions.len() / rows);
        let (inner, inputs) = (self.actions.width(), self.seen.len() / rows);
        self.inputs.clear();
        for &row in active {
            let observation = &observations[row * width..][..width];
            let seen = &mut self.seen[row * inputs..][..inputs];
            seen.rotate_left(width);
            let newest = &mut seen[inputs - width..];
            match &self.normaliser {
                Some(normaliser) => normaliser.apply(observation, newest),
                None => {
                    for (to, &from) in newest.iter_mut().zip(observation) {
                        *to = from as f32;
                    }
                }
            }
            self.inputs.extend_from_slice(seen);
        }
        let mut actor = self.actor.lock();
        let width = actor.shape().members * actor.shape().outputs;
        self.outputs.resize(active.len() * width, 0.0);
        match &mut self.target_input {
            None => actor.infer(&self.pool, &[&self.inputs], &mut self.outputs),
            Some(target_input) => {
                target_input.inputs.clear();
                let of_active = active.iter().map(|&row| target_input.of_rows[row]);
                target_input.inputs.extend(of_active);
                let inputs = [&self.inputs[..], &target_input.inputs];
                actor.infer(&self.pool, &inputs, &mut self.outputs);
            }
        }
        drop(actor);
        self.chosen.resize(active.len() * inner, 0.0);
        match self.mode {
            Mode::Greedy => self.decision.greedy(&self.outputs, &mut self.chosen),
            Mode::Explore => {
                self.noise.resize(active.len() * inner, 0.0);
                for (&row, noise) in active.iter().zip(self.noise.chunks_mut(inner.max(1))) {
                    self.decision.draw(&mut self.streams[row], noise);
                }
                self.decision
                    .explore(&self.outputs, &self.noise, &mut self.chosen);
            }
        }
        for (&row, chosen) in active.iter().zip(self.chosen.chunks(inner.max(1))) {
            let action = &mut actions[row * outer..][..outer];
            self.actions.decode(chosen, action);
            if let Some([low, high]) = &self.bounds {
                for ((number, low), high) in action.iter_mut().zip(low).zip(high) {
                    *number = number.clamp(*low, *high);
                }
            }
        }
    }

    fn chosen(&self) -> &[f32] {
        &self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::Head;
    use rtg_kernels::mlp::{Network, Shape};

    #[test]
    fn each_row_has_its_own_last_observations_and_none_of_the_episode_before() {
        // The newest observation counts ten times, the one before it once.
        let actor = Network::new(&Shape::new(&[2], &[], 1), vec![1.0, 10.0, 0.0]);
        let actions = ActionCodec::Continuous {
            offset: vec![0.0],
            scale: vec![1.0],
            max_action: 1.0,
        };
        let actor = (Shared::new(actor), Head::Logits);
        let mut policy = ActorPolicy::new(actor, None, actions, Mode::Greedy, (2, 1));
        let start = Start {
            seed: 0,
            target: None,
        };
        policy.begin(0, &start);
        policy.begin(1, &start);
        let act = |policy: &mut ActorPolicy<Head>, active: &[usize], seen: [f64; 2]| {
            let mut actions = [-1.0; 2];
            policy.act(active, &seen, &[0.0; 2], &mut actions);
            actions.to_vec()
        };
        assert_eq!(act(&mut policy, &[0, 1], [1.0, 5.0]), [10.0, 50.0]);
        assert_eq!(act(&mut policy, &[1], [9.0, 6.0]), [-1.0, 65.0]);
        assert_eq!(act(&mut policy, &[0, 1], [2.0, 7.0]), [21.0, 76.0]);
        policy.begin(0, &start);
        assert_eq!(act(&mut policy, &[0, 1], [3.0, 8.0]), [30.0, 87.0]);
    }

    #[test]
    fn each_row_keeps_its_target_through_its_episode() {
        // Ten times the observation, plus the target.
        let actor = Network::new(&Shape::new(&[1, 1], &[], 1), vec![10.0, 1.0, 0.0]);
        let actions = ActionCodec::Continuous {
            offset: vec![0.0],
            scale: vec![1.0],
            max_action: 1.0,
        };
        let actor = (Shared::new(actor), Head::Logits);
        let policy = ActorPolicy::new(actor, None, actions, Mode::Greedy, (2, 1));
        let mut policy = policy.with_targets(4.0);
        assert!(policy.takes_target());
        let begin = |policy: &mut ActorPolicy<Head>, row, target| {
            let start = Start {
                seed: 0,
                target: Some(target),
            };
            policy.begin(row, &start);
        };
        begin(&mut policy, 0, 8.0);
        begin(&mut policy, 1, -2.0);
        let act = |policy: &mut ActorPolicy<Head>, active: &[usize], observations: [f64; 2]| {
            let mut actions = [-1.0; 2];
            policy.act(active, &observations, &[5.0; 2], &mut actions);
            actions.to_vec()
        };
        assert_eq!(act(&mut policy, &[0, 1], [1.0, 3.0]), [12.0, 29.5]);
        assert_eq!(act(&mut policy, &[1], [1.0, 0.0]), [-1.0, -0.5]);
        begin(&mut policy, 1, 40.0);
        assert_eq!(act(&mut policy, &[0, 1], [2.0, 0.0]), [22.0, 10.0]);
    }
}
