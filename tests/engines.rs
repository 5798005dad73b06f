//! The fused engine against the model composed of dfdx operations, and properties of both:
//! causality, padding, and the action read from the observation token.

use rand::RngExt;
use rtg::kernels::decision_transformer::{
    Condition, Layout, LossTargets, MixerKind, NormPlacement, Shape, Side, Windows,
};
use rtg::kernels::layer_norm::EPSILON;
use rtg::kernels::{Activation, Denominator, Dropout, Head, Objective, Precision};
use rtg::nn::network::SequenceNetwork;
use rtg::nn::transformer::Transformer;
use rtg::random::Stream;

const SHAPE: Shape = Shape {
    observation: 5,
    action: 2,
    context: 7,
    width: 32,
    heads: 2,
    layers: 2,
    timesteps: 30,
    activation: Activation::Gelu,
    head: Head::Tanh { scale: 2.0 },
    condition: Condition::Token,
    mixer: MixerKind::Attention,
    deviation: None,
    positions: 0,
    norm_placement: NormPlacement::Pre,
    norm_epsilon: EPSILON,
    next_observation: None,
};

/// A batch that owns its numbers.
#[derive(Clone)]
struct Numbers {
    observations: Vec<f32>,
    actions: Vec<f32>,
    returns_to_go: Vec<f32>,
    timesteps: Vec<u32>,
    lengths: Vec<usize>,
    side: Side,
    context: usize,
}

impl Numbers {
    fn new(shape: &Shape, lengths: &[usize], side: Side) -> Self {
        let mut stream = Stream::new(3, "batch");
        let steps = lengths.len() * shape.context;
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
        };
        let mut actions = draw(steps * shape.action);
        if shape.head == Head::Logits {
            for row in actions.chunks_mut(shape.action) {
                let taken = row
                    .iter()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(b.1))
                    .unwrap()
                    .0;
                row.fill(0.0);
                row[taken] = 1.0;
            }
        }
        Self {
            observations: draw(steps * shape.observation),
            returns_to_go: draw(steps),
            timesteps: (0..steps)
                .map(|step| (step * 7 % shape.timesteps) as u32)
                .collect(),
            actions,
            lengths: lengths.to_vec(),
            side,
            context: shape.context,
        }
    }

    fn windows(&self) -> Windows<'_> {
        Windows {
            observations: &self.observations,
            actions: &self.actions,
            returns_to_go: &self.returns_to_go,
            timesteps: &self.timesteps,
            lengths: &self.lengths,
            side: self.side,
            context: self.context,
            targets: LossTargets::default(),
        }
    }
}

fn parameters(shape: &Shape) -> Vec<f32> {
    let mut stream = Stream::new(5, "parameters");
    let layout = Layout::new(shape);
    let mut parameters: Vec<f32> = (0..layout.len())
        .map(|_| stream.random_range(-0.3..0.3))
        .collect();
    for view in layout
        .views()
        .filter(|view| view.name.ends_with("norm.weight") || view.name.contains("norm_"))
    {
        parameters[view.range.clone()]
            .iter_mut()
            .for_each(|value| *value += 1.0);
    }
    parameters
}

fn composed(shape: &Shape, numbers: &Numbers) -> Vec<f32> {
    use dfdx::prelude::{Cpu, TensorFromVec};
    let layout = Layout::new(shape);
    let flat = parameters(shape);
    let parameters = Cpu::default().tensor_from_vec(flat.clone(), (flat.len(),));
    let transformer = Transformer {
        shape,
        layout: &layout,
        parameters: &parameters,
        dropout: None,
    };
    transformer.forward(&numbers.windows()).as_vec()
}

#[test]
fn the_fused_engine_gives_the_loss_and_gradient_of_the_composed_model() {
    let dropout = Dropout {
        probability_attention: 0.2,
        probability_residual: 0.1,
        probability_embedding: 0.3,
        key: 11,
    };
    let odd = [
        (SHAPE, vec![7, 1, 4, 0, 7], Side::Left),
        (
            Shape {
                heads: 1,
                activation: Activation::Relu,
                ..SHAPE
            },
            vec![7, 2, 7],
            Side::Right,
        ),
        (
            Shape {
                heads: 3,
                width: 96,
                layers: 1,
                ..SHAPE
            },
            vec![3],
            Side::Left,
        ),
        (
            Shape {
                norm_placement: NormPlacement::Post,
                ..SHAPE
            },
            vec![7, 2, 5],
            Side::Left,
        ),
        (
            Shape {
                context: 1,
                head: Head::Logits,
                ..SHAPE
            },
            vec![1, 1],
            Side::Right,
        ),
    ];
    for (shape, lengths, side) in odd {
        let numbers = Numbers::new(&shape, &lengths, side);
        let objective = if shape.head == Head::Logits {
            Objective::CrossEntropy
        } else {
            Objective::SquaredError
        };
        for (dropout, denominator) in [
            (None, Denominator::Valid),
            (Some(&dropout), Denominator::All),
        ] {
            let run = |fused: bool, threads: usize| {
                let parameters = parameters(&shape);
                let mut network =
                    SequenceNetwork::new(shape, fused.then_some(Precision::F32), threads);
                let windows = numbers.windows();
                let loss =
                    network.accumulate(&parameters, &windows, objective, denominator, dropout);
                let mut gradient = Vec::new();
                network.take_gradient(&mut gradient);
                (loss, gradient)
            };
            let (loss, gradient) = run(false, 1);
            for threads in [1, 2, 3] {
                let (fused_loss, fused_gradient) = run(true, threads);
                assert!(
                    (fused_loss / loss - 1.0).abs() < 1e-5,
                    "{shape:?}: {fused_loss} {loss}"
                );
                for view in Layout::new(&shape).views() {
                    let (expected, found) = (
                        &gradient[view.range.clone()],
                        &fused_gradient[view.range.clone()],
                    );
                    let size = expected
                        .iter()
                        .fold(1e-6_f32, |size, value| size.max(value.abs()));
                    for (expected, found) in expected.iter().zip(found) {
                        assert!(
                            (expected - found).abs() <= 2e-5 * size,
                            "{shape:?} {} with {threads} threads: {found} instead of {expected}",
                            view.name
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_future_does_not_change_a_prediction() {
    let before = Numbers::new(&SHAPE, &[7], Side::Right);
    let mut after = before.clone();
    let from = 4;
    after.observations[from * SHAPE.observation..].fill(9.0);
    after.returns_to_go[from..].fill(9.0);
    // The action of the step before is later than that step's observation.
    after.actions[(from - 1) * SHAPE.action..].fill(9.0);
    let (before, after) = (composed(&SHAPE, &before), composed(&SHAPE, &after));
    assert_eq!(before[..from * SHAPE.action], after[..from * SHAPE.action]);
    assert_ne!(before[from * SHAPE.action..], after[from * SHAPE.action..]);
}

#[test]
fn padding_does_not_change_a_prediction() {
    for side in [Side::Left, Side::Right] {
        let before = Numbers::new(&SHAPE, &[3], side);
        let first = before.windows().first_step(0);
        let mut after = before.clone();
        for step in (0..SHAPE.context).filter(|step| !(first..first + 3).contains(step)) {
            after.observations[step * SHAPE.observation..(step + 1) * SHAPE.observation].fill(5.0);
            after.actions[step * SHAPE.action..(step + 1) * SHAPE.action].fill(-10.0);
            after.returns_to_go[step] = 3.0;
        }
        let valid = first * SHAPE.action..(first + 3) * SHAPE.action;
        assert_eq!(
            composed(&SHAPE, &before)[valid.clone()],
            composed(&SHAPE, &after)[valid],
            "{side:?}"
        );
    }
}

#[test]
fn the_action_is_read_from_the_observation_token() {
    let before = Numbers::new(&SHAPE, &[7], Side::Right);
    let last = SHAPE.context - 1;
    let prediction = |numbers: &Numbers| composed(&SHAPE, numbers)[last * SHAPE.action..].to_vec();
    let mut own_action = before.clone();
    own_action.actions[last * SHAPE.action..].fill(9.0);
    assert_eq!(
        prediction(&before),
        prediction(&own_action),
        "a step's own action is not seen"
    );
    let mut observation = before.clone();
    observation.observations[last * SHAPE.observation..].fill(9.0);
    assert_ne!(
        prediction(&before),
        prediction(&observation),
        "a step's own observation is seen"
    );
}
