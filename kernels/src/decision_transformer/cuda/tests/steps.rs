//! Whole training steps, through the launch sequence, compared with the CPU engine.

use super::model::{DROPOUT, setup};
use crate::activation::Activation;
use crate::adamw::{self, AdamW, Buffers, Step};
use crate::decision_transformer::cuda::trainer::{StepQueue, Trainer, TrainerSetup};
use crate::decision_transformer::engine::Engine;
use crate::decision_transformer::gather::{Actions, Columns, reference as gather};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::{Condition, MixerKind, NormPlacement, Shape};
use crate::decision_transformer::testing::parameters;
use crate::decision_transformer::windows::{LossTargets, Side, Windows};
use crate::device::backend::Backend;
use crate::device::tests::{backends, fake};
use crate::dropout::Dropout;
use crate::layer_norm::EPSILON;
use crate::loss::Head;
use crate::testing::{numbers, relative_error};

const SHAPE: Shape = Shape {
    observation: 4,
    action: 2,
    context: 3,
    width: 16,
    heads: 2,
    layers: 2,
    timesteps: 12,
    activation: Activation::Gelu,
    head: Head::Tanh { scale: 1.5 },
    condition: Condition::Token,
    mixer: MixerKind::Attention,
    deviation: None,
    positions: 0,
    norm_placement: NormPlacement::Pre,
    norm_epsilon: EPSILON,
    next_observation: None,
};

/// The number of steps: few on the emulator, many on a device.
fn steps() -> usize {
    if crate::device::tests::gpu().is_some() {
        100
    } else {
        20
    }
}

const PARTS: usize = 2;
const WINDOWS: usize = 3;

/// Synthetic episodes.
struct Data {
    observations: Vec<f32>,
    actions: Vec<f32>,
    returns_to_go: Vec<f32>,
    starts: Vec<usize>,
}

impl Data {
    fn new() -> Self {
        let starts = vec![0, 2, 11, 20];
        let n = 20;
        Self {
            observations: numbers(1, n * SHAPE.observation),
            actions: numbers(2, n * SHAPE.action),
            returns_to_go: numbers(3, n),
            starts,
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            observations: &self.observations,
            actions: Actions::Numbers(&self.actions),
            returns_to_go: &self.returns_to_go,
            starts: &self.starts,
            max_timestep: 11,
            side: Side::Right,
        }
    }
}

/// Starts of windows, keys and rates of all steps.
fn queue() -> (Vec<u32>, Vec<u64>, Vec<f64>) {
    let batches = steps() * PARTS;
    let starts = (0..batches * WINDOWS).map(|i| (i * 7 % 20) as u32);
    let keys = (0..batches as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let rates = (1..=steps()).map(|step| 1e-3 * step.min(5) as f64);
    (starts.collect(), keys.collect(), rates.collect())
}

/// Parameters, moments, losses and norms after the steps.
struct State {
    buffers: [Vec<f32>; 3],
    losses: Vec<f64>,
    norms: Vec<f64>,
}

/// The same steps by the learner on the CPU.
fn on_the_cpu(data: &Data, setup: &TrainerSetup) -> State {
    let columns = data.columns();
    let mut engine = Engine::new(SHAPE, 1);
    let start = parameters(engine.layout());
    let zeros = vec![0.0; start.len()];
    let [mut weights, mut mean, mut square] = [start, zeros.clone(), zeros];
    let (starts, keys, rates) = queue();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..steps() {
        let mut gradient = vec![0.0; weights.len()];
        let mut loss = 0.0;
        for batch in step * PARTS..(step + 1) * PARTS {
            let starts = &starts[batch * WINDOWS..(batch + 1) * WINDOWS];
            let cut: Vec<_> = starts
                .iter()
                .map(|start| gather::window(&columns, *start as usize, SHAPE.context, SHAPE.action))
                .collect();
            let all = |of: fn(&gather::Window) -> &[f32]| {
                cut.iter().flat_map(of).copied().collect::<Vec<_>>()
            };
            let (observations, actions) = (all(|w| &w.observations), all(|w| &w.actions));
            let returns_to_go = all(|w| &w.returns_to_go);
            let timesteps: Vec<u32> = cut.iter().flat_map(|w| w.timesteps.clone()).collect();
            let lengths: Vec<usize> = cut.iter().map(|w| w.length).collect();
            let windows = Windows {
                observations: &observations,
                actions: &actions,
                returns_to_go: &returns_to_go,
                timesteps: &timesteps,
                lengths: &lengths,
                side: Side::Right,
                context: SHAPE.context,
                targets: LossTargets::default(),
            };
            let dropout = Dropout {
                key: keys[batch],
                ..DROPOUT
            };
            loss += engine.loss_and_gradient(
                &weights,
                &windows,
                setup.objective,
                setup.denominator,
                Some(&dropout),
                &mut gradient,
            );
        }
        for g in &mut gradient {
            *g /= PARTS as f32;
        }
        let norm = adamw::norm(&gradient);
        let clip = adamw::clip(norm, setup.largest_norm);
        let step = step as u64 + 1;
        let rate = rates[step as usize - 1];
        let how = Step {
            constants: setup.adamw,
            rate,
            number: step,
            clip,
        };
        let buffers = Buffers {
            gradient: &gradient,
            weights: &mut weights,
            mean: &mut mean,
            square: &mut square,
        };
        adamw::update(&how, buffers);
        losses.push(loss / PARTS as f64);
        norms.push(norm);
    }
    State {
        buffers: [weights, mean, square],
        losses,
        norms,
    }
}

#[test]
fn steps_on_the_device_are_steps_on_the_cpu() {
    let data = Data::new();
    let setup = TrainerSetup {
        accumulation: PARTS,
        most_steps: steps(),
        dropout: Some(DROPOUT),
        adamw: AdamW {
            decay: 0.01,
            ..AdamW::default()
        },
        ..setup(SHAPE, WINDOWS)
    };
    let expected = on_the_cpu(&data, &setup);
    let (starts, keys, rates) = queue();
    let layout = Layout::new(&SHAPE);
    let count = layout.len();
    for backend in backends() {
        let mut trainer = Trainer::new(backend, setup).unwrap();
        let zeros = vec![0.0; count];
        trainer
            .load(&parameters(&Layout::new(&SHAPE)), &zeros, &zeros)
            .unwrap();
        trainer.set_dataset(&data.columns()).unwrap();
        // In two queues: the second continues the first.
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for steps in [0..7, 7..steps()] {
            let batches = steps.start * PARTS..steps.end * PARTS;
            let queue = StepQueue {
                starts: &starts[batches.start * WINDOWS..batches.end * WINDOWS],
                keys: &keys[batches],
                rates: &rates[steps.clone()],
                done: steps.start as u64,
            };
            trainer.steps(&queue).unwrap();
            for outcome in trainer.metrics().unwrap() {
                losses.push(outcome.loss);
                norms.push(outcome.norm);
            }
        }
        let mut found = [zeros.clone(), zeros.clone(), zeros];
        let [weights, mean, square] = &mut found;
        trainer.store(weights, mean, square).unwrap();
        for view in layout.views() {
            // Biases of keys do not change the model: their gradients are zero but for rounding,
            // which AdamW scales to full steps. So they differ by up to a learning rate a step, on
            // the CPU with other thread counts too.
            let mut weights = [&found[0], &expected.buffers[0]]
                .map(|weights| weights[view.range.clone()].to_vec());
            if view.name.ends_with("qkv.bias") {
                for weights in &mut weights {
                    weights[SHAPE.width..2 * SHAPE.width].fill(0.0);
                }
            }
            let error = relative_error(&weights[0], &weights[1]);
            assert!(error < 1e-4, "{} is off by {error:e}", view.name);
        }
        for (found, expected) in found.iter().zip(&expected.buffers).skip(1) {
            let error = relative_error(found, expected);
            assert!(error < 1e-4, "a moment is off by {error:e}");
        }
        for (found, expected) in losses
            .iter()
            .chain(&norms)
            .zip(expected.losses.iter().chain(&expected.norms))
        {
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "{found}, not {expected}"
            );
        }
        assert!(
            losses[losses.len() - 1] < losses[0],
            "the model learns: {losses:?}"
        );
    }
}

/// How steps are launched.
#[derive(Clone, Copy, Debug)]
enum How {
    /// As graphs.
    Replays,
    /// Launch by launch.
    Launches,
}

/// Weights and moments after 4 steps in queues of these lengths, of at most `most_steps`.
fn buffers(
    backend: Box<dyn Backend>,
    most_steps: usize,
    queues: &[usize],
    how: How,
) -> [Vec<f32>; 3] {
    let data = Data::new();
    let setup = TrainerSetup {
        most_steps,
        dropout: Some(DROPOUT),
        ..setup(SHAPE, WINDOWS)
    };
    let layout = Layout::new(&SHAPE);
    let mut trainer = Trainer::new(backend, setup).unwrap();
    let zeros = vec![0.0; layout.len()];
    trainer.load(&parameters(&layout), &zeros, &zeros).unwrap();
    trainer.set_dataset(&data.columns()).unwrap();
    let (starts, keys, rates) = queue();
    let mut done = 0;
    for count in queues {
        let steps = done..done + count;
        let queue = StepQueue {
            starts: &starts[steps.start * WINDOWS..steps.end * WINDOWS],
            keys: &keys[steps.clone()],
            rates: &rates[steps],
            done: done as u64,
        };
        match how {
            How::Replays => trainer.steps(&queue).unwrap(),
            How::Launches => {
                trainer.put_queue(&queue).unwrap();
                for _ in 0..*count {
                    for launch in trainer.launches.clone() {
                        trainer.backend.launch(&launch).unwrap();
                    }
                }
            }
        }
        done += count;
    }
    let mut buffers = [zeros.clone(), zeros.clone(), zeros];
    let [weights, mean, square] = &mut buffers;
    trainer.store(weights, mean, square).unwrap();
    buffers
}

#[test]
fn the_same_steps_give_the_same_bits_in_either_order_and_however_they_are_launched() {
    let mut all = Vec::new();
    for (most_steps, queues, how) in [
        (4, &[4][..], How::Replays),
        // Once more: on a GPU, the same device.
        (4, &[4], How::Replays),
        (4, &[1, 3], How::Replays),
        (2, &[2, 2], How::Replays),
        (4, &[4], How::Launches),
    ] {
        let through_driver = fake().map(|cuda| Box::new(cuda) as Box<dyn Backend>);
        for backend in backends().into_iter().chain(through_driver) {
            let name = backend.name();
            let found = buffers(backend, most_steps, queues, how);
            all.push((format!("{name}, {queues:?} as {how:?}"), found));
        }
    }
    let Some((_, expected)) = all.first() else {
        return;
    };
    for (how, found) in &all {
        assert!(found == expected, "{how}: other bits");
    }
}
