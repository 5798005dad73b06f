//! The policy, conditioned on a target return.
//!
//! The return-to-go starts at the target, and each reward is subtracted from it, unless the target
//! is an advantage; a model that predicts it uses neither. The model sees the last K steps only.
//! Rows act together: one forward pass per step for all of them. A stochastic model's greedy action
//! is its mean; exploring, it is a sample. With guidance each row has a second one without its
//! target, and an action follows from the outputs of both.

use super::Model;
use super::condition_dropout::{NULL, given};
use super::preprocessing::Preprocessing;
use crate::policy::{Policy, Start};
use crate::random::Stream;
use rtg_kernels::Head;
use rtg_kernels::decision_transformer::cuda::DeviceActing;
use rtg_kernels::decision_transformer::{self as kernels, Condition, Memory, StepInputs};
use rtg_kernels::device::{self, Backend};

/// The policy of a [`Model`] for several episodes at once.
pub(super) struct TargetReturn {
    network: Network,
    preprocessing: Preprocessing,
    first_timestep: u32,
    timestep_limit: u32,
    /// Return-to-go of each row, in the units of the environment.
    returns_to_go: Vec<f64>,
    timesteps: Vec<u32>,
    /// The action of each row's last step, in the network's units.
    last_actions: Vec<f32>,
    observations: Vec<f32>,
    /// The network's numbers of each row's return-to-go: one, or two where it can be absent.
    scaled_returns: Vec<f32>,
    outputs: Vec<f32>,
    began: Vec<bool>,
    /// The rows that act, and behind them their copies without a target.
    active: Vec<usize>,
    guidance: Option<Guidance>,
    /// Whether the model predicts its returns-to-go.
    predicts: bool,
    /// Whether its returns-to-go have a second number, 1 where they are absent.
    can_be_absent: bool,
    /// Draws actions from a stochastic model, with a stream for each row.
    exploration: Option<Exploration>,
}

/// The network that acts.
enum Network {
    Cpu(Box<kernels::Acting>),
    /// And the driver's first error, after which it does not act any more.
    Device(Box<DeviceActing>, Option<device::Error>),
}

impl Network {
    fn begin(&mut self, row: usize) {
        match self {
            Self::Cpu(acting) => acting.begin(row),
            Self::Device(acting, _) => acting.begin(row),
        }
    }

    fn act(&mut self, active: &[usize], inputs: &StepInputs<'_>, outputs: &mut [f32]) {
        match self {
            Self::Cpu(acting) => acting.act(active, inputs, outputs),
            Self::Device(acting, failure @ None) => {
                *failure = acting.act(active, inputs, outputs).err();
            }
            Self::Device(_, Some(_)) => {}
        }
    }

    /// What only the CPU supports.
    fn on_cpu(&self) -> Option<&kernels::Acting> {
        match self {
            Self::Cpu(acting) => Some(acting),
            Self::Device(..) => None,
        }
    }
}

/// How actions follow from outputs with and without a target. The row without that of row i is the
/// one i + rows.
#[derive(Clone, Copy)]
struct Guidance {
    factor: f32,
    /// Of the model; the network gives its arguments.
    head: Head,
}

impl Guidance {
    /// The action, in the network's units, in place of the output with a target.
    fn combine(self, with: &mut [f32], without: &[f32]) {
        for (with, without) in with.iter_mut().zip(without) {
            *with = without + self.factor * (*with - without);
        }
        self.head.predict(with);
    }
}

/// The noise of exploring actions.
struct Exploration {
    streams: Vec<Stream>,
    /// A numbers, of one row.
    noise: Vec<f32>,
}

const STREAM: &str = "exploration";

impl TargetReturn {
    pub(super) fn new(model: &Model, memory: Memory, rows: usize, threads: usize) -> Self {
        if model.config.is_guided() {
            return Self::guided(model, memory, (rows, threads));
        }
        Self::with_context(model, model.shape.context, memory, (rows, threads))
    }

    /// A policy that follows its target more or less than the model does.
    fn guided(model: &Model, memory: Memory, (rows, threads): (usize, usize)) -> Self {
        let (shape, parameters) = model.guided_network();
        let guidance = Guidance {
            factor: model.config.guidance,
            head: model.shape.head,
        };
        let acting = kernels::Acting::with(memory, shape, &parameters, 2 * rows, threads);
        let mut policy = Self::of(model, Network::Cpu(Box::new(acting)), rows, 2 * rows);
        policy.guidance = Some(guidance);
        policy.scaled_returns[NULL.len() * rows..].copy_from_slice(&NULL.repeat(rows));
        policy
    }

    /// The same with a context of other than the model's K steps.
    pub(super) fn with_context(
        model: &Model,
        context: usize,
        memory: Memory,
        (rows, threads): (usize, usize),
    ) -> Self {
        let shape = kernels::Shape {
            context,
            ..model.shape
        };
        let acting = kernels::Acting::with(memory, shape, &model.parameters, rows, threads);
        Self::of(model, Network::Cpu(Box::new(acting)), rows, rows)
    }

    /// A policy that computes on a device.
    pub(super) fn on_device(
        model: &Model,
        backend: Box<dyn Backend>,
        rows: usize,
    ) -> Result<Self, device::Error> {
        let acting = DeviceActing::new(backend, model.shape, &model.parameters, rows)?;
        let network = Network::Device(Box::new(acting), None);
        Ok(Self::of(model, network, rows, rows))
    }

    /// A policy of `rows` episodes with a network of `inputs` rows.
    fn of(model: &Model, network: Network, rows: usize, inputs: usize) -> Self {
        let shape = &model.shape;
        let first_timestep = model.recipe.first_timestep();
        let last = model.preprocessing.episode_length.saturating_sub(1);
        Self {
            network,
            preprocessing: model.preprocessing.clone(),
            first_timestep,
            timestep_limit: first_timestep + last as u32,
            returns_to_go: vec![0.0; rows],
            timesteps: vec![0; inputs],
            last_actions: vec![0.0; inputs * shape.action],
            observations: vec![0.0; inputs * shape.observation],
            scaled_returns: vec![0.0; inputs * shape.condition.numbers()],
            outputs: vec![0.0; inputs * shape.action],
            began: vec![false; rows],
            active: Vec::with_capacity(inputs),
            guidance: None,
            predicts: shape.condition.prediction().is_some(),
            can_be_absent: shape.condition == Condition::Nullable,
            exploration: None,
        }
    }

    /// A policy that draws its actions from a stochastic model's distribution.
    pub(super) fn exploring(model: &Model, rows: usize, threads: usize) -> Self {
        let exploration = Exploration {
            streams: vec![Stream::new(0, STREAM); rows],
            noise: vec![0.0; model.shape.action],
        };
        Self {
            exploration: Some(exploration),
            ..Self::with_context(model, model.shape.context, Memory::Exact, (rows, threads))
        }
    }
}

impl TargetReturn {
    /// The return that the model expects of a row's last action, in the network's units.
    pub(super) fn promised(&self, row: usize) -> f32 {
        let acting = self.network.on_cpu();
        acting.map_or(f32::NAN, |acting| acting.promised(row))
    }
}

impl Policy for TargetReturn {
    fn takes_target(&self) -> bool {
        !self.predicts
    }

    fn failure(&mut self) -> Option<device::Error> {
        match &mut self.network {
            Network::Cpu(_) => None,
            Network::Device(_, failure) => failure.take(),
        }
    }

    fn begin(&mut self, row: usize, start: &Start) {
        self.network.begin(row);
        if self.guidance.is_some() {
            self.network.begin(row + self.began.len());
        }
        self.returns_to_go[row] = start.target.unwrap_or_default();
        self.timesteps[row] = self.first_timestep;
        self.began[row] = true;
        if let Some(exploration) = &mut self.exploration {
            exploration.streams[row] = Stream::new(start.seed, STREAM);
        }
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        let codec = &self.preprocessing.actions;
        let width = self.preprocessing.normaliser.mean.len();
        let inner = codec.width();
        let rows = self.began.len();
        let outer = actions.len() / rows;
        for &row in active {
            if !std::mem::take(&mut self.began[row]) {
                if !self.preprocessing.constant_target {
                    self.returns_to_go[row] -= last_rewards[row];
                }
                self.timesteps[row] = (self.timesteps[row] + 1).min(self.timestep_limit);
                codec.encode(
                    &actions[row * outer..(row + 1) * outer],
                    &mut self.last_actions[row * inner..(row + 1) * inner],
                );
            }
            let columns = row * width..(row + 1) * width;
            self.preprocessing.normaliser.apply(
                &observations[columns.clone()],
                &mut self.observations[columns],
            );
            let scaled = (self.returns_to_go[row] / self.preprocessing.return_scale) as f32;
            if self.can_be_absent {
                self.scaled_returns[2 * row..2 * row + 2].copy_from_slice(&given(scaled));
            } else {
                self.scaled_returns[row] = scaled;
            }
            if self.guidance.is_some() {
                let copy = row + rows;
                self.timesteps[copy] = self.timesteps[row];
                (self.observations).copy_within(row * width..(row + 1) * width, copy * width);
                (self.last_actions).copy_within(row * inner..(row + 1) * inner, copy * inner);
            }
        }
        self.active.clear();
        self.active.extend(active);
        if self.guidance.is_some() {
            self.active.extend(active.iter().map(|row| row + rows));
        }
        let inputs = StepInputs {
            observations: &self.observations,
            returns_to_go: &self.scaled_returns,
            timesteps: &self.timesteps,
            previous_actions: &self.last_actions,
        };
        self.network.act(&self.active, &inputs, &mut self.outputs);
        let (outputs, without) = self.outputs.split_at_mut(rows * inner);
        for &row in active {
            let own = row * inner..(row + 1) * inner;
            let output = &mut outputs[own.clone()];
            if let Some(guidance) = self.guidance {
                guidance.combine(output, &without[own]);
            }
            let exploring = self.exploration.as_mut().zip(self.network.on_cpu());
            if let Some((Exploration { streams, noise }, acting)) = exploring {
                streams[row].fill_normal(noise);
                acting.sample(row, noise, output);
            }
            let action = &mut actions[row * outer..(row + 1) * outer];
            codec.decode(output, action);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::ActionCodec;
    use crate::algorithms::decision_transformer::config::{ActionHead, ModelConfig};
    use crate::algorithms::decision_transformer::recipe::Recipe;
    use rtg_datasets::Normaliser;

    const STEPS: usize = 9;

    fn model(head: ActionHead) -> Model {
        let config = ModelConfig {
            context: 4,
            width: 16,
            layers: 1,
            heads: 1,
            action_head: Some(head),
            ..ModelConfig::of(Recipe::OnlineDt)
        };
        let preprocessing = Preprocessing {
            normaliser: Normaliser::identity(2),
            return_scale: 10.0,
            episode_length: 1,
            constant_target: false,
            actions: ActionCodec::Continuous {
                offset: vec![0.5; 2],
                scale: vec![2.0; 2],
                max_action: 1.0,
            },
        };
        Model::new(Recipe::OnlineDt, &config, preprocessing, 3)
    }

    /// The actions of an episode of this seed in `row`, among others.
    fn episode(policy: &mut TargetReturn, rows: usize, row: usize, seed: u64) -> Vec<f64> {
        for other in 0..rows {
            let start = Start {
                seed: seed + (row.abs_diff(other)) as u64,
                target: Some(7.0),
            };
            policy.begin(other, &start);
        }
        let active: Vec<usize> = (0..rows).collect();
        let mut actions = vec![0.0; 2 * rows];
        let mut all = Vec::new();
        for step in 0..STEPS {
            let observations: Vec<f64> = (active.iter())
                .flat_map(|other| {
                    let apart = row.abs_diff(*other) as f64;
                    [(step as f64).sin() + apart, 0.3 * step as f64]
                })
                .collect();
            policy.act(&active, &observations, &vec![0.5; rows], &mut actions);
            all.extend_from_slice(&actions[2 * row..][..2]);
        }
        all
    }

    #[test]
    fn exploring_actions_follow_from_the_episode_and_are_samples_around_the_mean() {
        for head in [ActionHead::SquashedGaussian, ActionHead::Gaussian] {
            let model = model(head);
            let alone = episode(&mut TargetReturn::exploring(&model, 1, 1), 1, 0, 5);
            let third = episode(&mut TargetReturn::exploring(&model, 3, 2), 3, 2, 5);
            assert_eq!(alone, third, "{head:?}");
            let other = episode(&mut TargetReturn::exploring(&model, 1, 1), 1, 0, 6);
            assert_ne!(alone, other);
            let bounds = -1.5..=2.5;
            assert!(
                alone.iter().all(|action| bounds.contains(action)),
                "{alone:?}"
            );
            // Of many first actions, the mean is near the greedy one, the deviation near sigma's.
            let exact = Memory::Exact;
            let mut greedy = TargetReturn::new(&model, exact, 1, 1);
            let expected = episode(&mut greedy, 1, 0, 0)[0];
            let mut policy = TargetReturn::exploring(&model, 1, 1);
            let mut first = |seed| episode(&mut policy, 1, 0, seed)[0] - expected;
            let moved: Vec<f64> = (0..300).map(&mut first).collect();
            let mean = moved.iter().sum::<f64>() / 300.0;
            let spread = (moved.iter().map(|x| x * x).sum::<f64>() / 300.0).sqrt();
            assert!(spread > 0.05, "{head:?}: {spread}");
            assert!(mean.abs() < 0.5 * spread, "{head:?}: {mean} of {spread}");
        }
    }

    /// A guided model whose null is far from any return-to-go.
    fn nullable(head: ActionHead, guidance: f32) -> Model {
        let plain = model(head);
        let config = ModelConfig {
            condition_dropout: 0.1,
            guidance,
            ..plain.config
        };
        let mut model = Model::new(Recipe::OnlineDt, &config, plain.preprocessing, 3);
        let weight = kernels::Layout::new(&model.shape).range("embed.return_to_go.weight");
        let null = weight.unwrap_or_default().skip(config.width);
        null.for_each(|at| model.parameters[at] += (at as f32).sin());
        model
    }

    #[test]
    fn guidance_0_ignores_the_target_and_1_acts_as_the_model_alone_to_the_bit() {
        for head in [
            ActionHead::Tanh,
            ActionHead::SquashedGaussian,
            ActionHead::Gaussian,
        ] {
            let exact = Memory::Exact;
            let act = |model: &Model, rows: usize, row: usize| {
                episode(&mut TargetReturn::new(model, exact, rows, 2), rows, row, 5)
            };
            let plain = act(&nullable(head, 1.0), 1, 0);
            let (shape, parameters) = nullable(head, 1.0).greedy_network();
            let token = Model {
                shape,
                parameters,
                ..nullable(head, 1.0)
            };
            assert_eq!(plain, act(&token, 1, 0), "with a target there is no null");
            // The same network with its null as the return's embedding, whatever the return is.
            let without = {
                let mut model = token.clone();
                let layout = kernels::Layout::new(&model.shape);
                let of = |name| layout.range(name).unwrap_or_default();
                let own = kernels::Layout::new(&nullable(head, 1.0).shape);
                let weight = own.range("embed.return_to_go.weight").unwrap_or_default();
                let null = nullable(head, 1.0).parameters[weight][16..].to_vec();
                model.parameters[of("embed.return_to_go.weight")].fill(0.0);
                let bias = &mut model.parameters[of("embed.return_to_go.bias")];
                bias.iter_mut()
                    .zip(null)
                    .for_each(|(bias, null)| *bias += null);
                act(&model, 1, 0)
            };
            assert_eq!(without, act(&nullable(head, 0.0), 1, 0), "{head:?}");
            assert_ne!(without, plain);
            // Halfway, the arguments of tanh are the mean of both.
            let codec = |action: &f64| ((action - 0.5) / 2.0).atanh();
            let halfway = act(&nullable(head, 0.5), 1, 0);
            // Only the first step has the same past in all three.
            for i in 0..2 {
                let mean = 0.5 * (codec(&plain[i]) + codec(&without[i]));
                assert!((codec(&halfway[i]) - mean).abs() < 1e-5, "{head:?}");
            }
            assert_eq!(halfway, act(&nullable(head, 0.5), 3, 1), "among others");
        }
    }

    #[test]
    fn the_exported_network_acts_as_the_greedy_policy() {
        for head in [ActionHead::SquashedGaussian, ActionHead::Gaussian] {
            let model = model(head);
            let (shape, parameters) = model.greedy_network();
            let plain = Model {
                shape,
                parameters,
                ..model.clone()
            };
            let exact = Memory::Exact;
            let own = episode(&mut TargetReturn::new(&model, exact, 1, 1), 1, 0, 5);
            let mut exported = TargetReturn::new(&plain, exact, 1, 1);
            assert_eq!(own, episode(&mut exported, 1, 0, 5));
        }
    }
}
