//! Acting compared with the engine's predictions on the same windows.

use super::*;
use crate::activation::Activation;
use crate::decision_transformer::embedding::Steps;
use crate::decision_transformer::engine::Engine;
use crate::decision_transformer::shape::{Condition, MixerKind, NormPlacement, Prediction};
use crate::decision_transformer::testing::parameters;
use crate::decision_transformer::trunk::reference;
use crate::decision_transformer::windows::{LossTargets, Side, Windows};
use crate::likelihood::Entropy;
use crate::loss::{Denominator, Head, Objective};
use crate::precision::Precision;
use crate::testing::{assert_close, numbers, to_f64};

use shapes::{ADALN, BINS, CONVOLUTION, LINEAR, LSTM, POST, PREDICTED, SCAN, SHAPE, exact_shapes};

mod shapes;

/// Episodes of made-up numbers: what a row sees at a step depends on the row and the step only.
struct Episodes {
    shape: Shape,
    rows: usize,
    steps: usize,
    observations: Vec<f32>,
    returns_to_go: Vec<f32>,
    actions: Vec<f32>,
}

impl Episodes {
    fn new(shape: Shape, rows: usize, steps: usize) -> Self {
        Self {
            shape,
            rows,
            steps,
            observations: numbers(1, rows * steps * shape.observation),
            returns_to_go: numbers(2, rows * steps),
            actions: numbers(3, rows * steps * shape.action),
        }
    }

    fn at(&self, row: usize, step: usize) -> usize {
        row * self.steps + step
    }

    /// Runs the episodes of all rows of `active`; returns every action: rows x steps x A.
    fn act(&self, acting: &mut Acting, active: &[usize]) -> Vec<f32> {
        self.act_noting(acting, active, |_, _| {})
    }

    /// The same, with a look at the policy behind each step.
    fn act_noting(
        &self,
        acting: &mut Acting,
        active: &[usize],
        mut note: impl FnMut(&Acting, usize),
    ) -> Vec<f32> {
        let (s, a) = (self.shape.observation, self.shape.action);
        let mut all = vec![0.0; self.rows * self.steps * a];
        for row in active {
            acting.begin(*row);
        }
        for step in 0..self.steps {
            let (mut observations, mut returns_to_go) = (Vec::new(), Vec::new());
            let mut previous = Vec::new();
            for row in 0..self.rows {
                let at = self.at(row, step);
                observations.extend(&self.observations[at * s..(at + 1) * s]);
                returns_to_go.push(self.returns_to_go[at]);
                let before = at.saturating_sub(1);
                previous.extend(&self.actions[before * a..(before + 1) * a]);
            }
            let inputs = StepInputs {
                observations: &observations,
                returns_to_go: &returns_to_go,
                timesteps: &vec![step as u32; self.rows],
                previous_actions: &previous,
            };
            let mut actions = vec![f32::NAN; self.rows * a];
            acting.act(active, &inputs, &mut actions);
            note(acting, step);
            for row in 0..self.rows {
                let found = &actions[row * a..(row + 1) * a];
                if active.contains(&row) {
                    let at = self.at(row, step);
                    all[at * a..(at + 1) * a].copy_from_slice(found);
                } else {
                    assert!(found.iter().all(|x| x.is_nan()), "row {row} does not act");
                }
            }
        }
        all
    }

    /// Steps all rows; returns every action, every return-to-go that it was predicted with and what
    /// is expected of it.
    fn act_and_predict(&self, acting: &mut Acting) -> (Vec<f32>, [Vec<f32>; 2]) {
        let [mut returns, mut promised] = [(); 2].map(|()| vec![0.0; self.rows * self.steps]);
        let rows: Vec<usize> = (0..self.rows).collect();
        let actions = self.act_noting(acting, &rows, |acting, step| {
            for row in 0..self.rows {
                returns[self.at(row, step)] = acting.return_to_go(row);
                promised[self.at(row, step)] = acting.promised(row);
            }
        });
        (actions, [returns, promised])
    }

    /// The reference's predictions of the same returns-to-go, from the windows up to each step.
    fn reference_returns(&self, parameters: &[f32], which: reference::ReturnChoice) -> Vec<f64> {
        let exact = to_f64(parameters);
        let mut all = Vec::new();
        self.each_window(|windows| {
            let task = reference::Task {
                shape: &self.shape,
                windows,
                precision: Precision::F32,
                attention: Precision::F32,
                objective: Objective::SquaredError,
                denominator: Denominator::Valid,
                dropout: None,
                entropy: Entropy::default(),
            };
            all.extend(reference::predicted_returns(task, &exact, which).last());
        });
        all
    }

    /// What the naive streaming model predicts: actions and returns-to-go.
    fn reference_stream(&self, parameters: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let (s, a) = (self.shape.observation, self.shape.action);
        let exact = to_f64(parameters);
        let timesteps: Vec<u32> = (0..self.steps as u32).collect();
        let (mut actions, mut returns) = (Vec::new(), Vec::new());
        for row in 0..self.rows {
            let rows = self.at(row, 0)..self.at(row, self.steps);
            let steps = Steps {
                observations: &self.observations[rows.start * s..rows.end * s],
                actions: &self.actions[rows.start * a..rows.end * a],
                returns_to_go: &self.returns_to_go[rows],
                timesteps: &timesteps,
            };
            let found = super::reference::stream(&self.shape, &exact, steps);
            actions.extend(found.0);
            returns.extend(found.1);
        }
        (actions, returns)
    }

    /// The engine's predictions of the same actions.
    fn predict(&self, parameters: &[f32], level: Level) -> Vec<f32> {
        let (a, context) = (self.shape.action, self.shape.context);
        let mut engine = Engine::at(level, self.shape, 1, Precision::F32);
        let mut all = Vec::new();
        self.each_window(|windows| {
            let mut predictions = vec![0.0; context * a];
            engine.predict(parameters, windows, &mut predictions);
            all.extend(&predictions[(context - 1) * a..]);
        });
        all
    }

    /// Each step's window, row after row.
    fn each_window(&self, mut work: impl FnMut(&Windows<'_>)) {
        let Shape {
            observation: s,
            action: a,
            context,
            ..
        } = self.shape;
        for row in 0..self.rows {
            for step in 0..self.steps {
                let length = context.min(step + 1);
                let rows = self.at(row, step + 1 - length)..self.at(row, step) + 1;
                let first = context - length;
                let mut observations = vec![f32::NAN; context * s];
                observations[first * s..]
                    .copy_from_slice(&self.observations[rows.start * s..rows.end * s]);
                let mut actions = vec![f32::NAN; context * a];
                actions[first * a..].copy_from_slice(&self.actions[rows.start * a..rows.end * a]);
                let mut returns_to_go = vec![f32::NAN; context];
                returns_to_go[first..].copy_from_slice(&self.returns_to_go[rows]);
                let timesteps: Vec<u32> = (0..context)
                    .map(|i| (step + 1 + i).saturating_sub(context) as u32)
                    .collect();
                work(&Windows {
                    observations: &observations,
                    actions: &actions,
                    returns_to_go: &returns_to_go,
                    timesteps: &timesteps,
                    lengths: &[length],
                    side: Side::Left,
                    context,
                    targets: LossTargets::default(),
                });
            }
        }
    }
}

#[test]
fn actions_are_the_engines_predictions_in_growing_and_in_sliding_windows() {
    for shape in exact_shapes() {
        let parameters = parameters(&Layout::new(&shape));
        let episodes = Episodes::new(shape, 2, 20);
        for level in Level::available() {
            let mut acting = Acting::at(level, Memory::Exact, shape, &parameters, 2, 1);
            let found = episodes.act(&mut acting, &[0, 1]);
            assert_close(&found, &episodes.predict(&parameters, level), "actions");
        }
    }
}

#[test]
fn a_convolution_that_fits_into_the_window_acts_with_its_bits() {
    let adaln = Shape {
        condition: Condition::Adaln,
        context: 9,
        ..CONVOLUTION
    };
    let odd = Shape {
        layers: 1,
        width: 33,
        context: 3,
        ..CONVOLUTION
    };
    for shape in [CONVOLUTION, adaln, odd] {
        let parameters = parameters(&Layout::new(&shape));
        let episodes = Episodes::new(shape, 3, 40);
        for level in Level::available() {
            for threads in [1, 2] {
                let mut acting = Acting::at(level, Memory::Exact, shape, &parameters, 3, threads);
                let found = episodes.act(&mut acting, &[0, 1, 2]);
                assert_eq!(found, episodes.predict(&parameters, level), "{shape:?}");
            }
        }
    }
}

#[test]
fn a_predicted_return_is_the_references_and_the_action_follows_from_it() {
    let shapes = [
        PREDICTED,
        BINS,
        Shape {
            norm_placement: NormPlacement::Post,
            ..PREDICTED
        },
        Shape {
            layers: 1,
            width: 33,
            heads: 1,
            ..PREDICTED
        },
        Shape {
            context: 1,
            layers: 2,
            ..PREDICTED
        },
        // Narrower than the window, and wider, so that it slides.
        Shape {
            mixer: MixerKind::Convolution,
            heads: 1,
            ..PREDICTED
        },
        Shape {
            context: 5,
            mixer: MixerKind::Convolution,
            heads: 1,
            ..PREDICTED
        },
        Shape {
            mixer: MixerKind::Scan,
            heads: 1,
            ..PREDICTED
        },
        Shape {
            mixer: MixerKind::Linear,
            ..PREDICTED
        },
        Shape {
            mixer: MixerKind::Lstm,
            heads: 1,
            ..PREDICTED
        },
    ];
    for shape in shapes {
        let parameters = parameters(&Layout::new(&shape));
        for level in Level::available() {
            let mut episodes = Episodes::new(shape, 2, 16);
            let [one, two] = [1, 2].map(|threads| {
                let mut acting = Acting::at(level, Memory::Exact, shape, &parameters, 2, threads);
                episodes.act_and_predict(&mut acting)
            });
            assert_eq!(one, two, "one thread and two");
            let (actions, [returns, promised]) = one;
            // The history holds the predictions, not what the scenes said.
            assert_ne!(returns, episodes.returns_to_go);
            episodes.returns_to_go.clone_from(&returns);
            assert_close(&actions, &episodes.predict(&parameters, level), "actions");
            let expected = |which| episodes.reference_returns(&parameters, which);
            assert_close(&returns, &expected(Prediction::chosen), "returns-to-go");
            assert_close(&promised, &expected(Prediction::promised), "expectations");
            assert_eq!(returns == promised, shape.condition != BINS.condition);
        }
    }
}

#[test]
fn a_row_acts_with_the_same_bits_whatever_rows_act_beside_it() {
    let parameters = parameters(&Layout::new(&SHAPE));
    let episodes = Episodes::new(SHAPE, 100, 9);
    let a = SHAPE.action * episodes.steps;
    for level in Level::available() {
        let mut acting = Acting::at(level, Memory::Exact, SHAPE, &parameters, 100, 2);
        let mut alone = Acting::at(level, Memory::Exact, SHAPE, &parameters, 100, 1);
        let everyone: Vec<usize> = (0..100).rev().collect();
        let all = episodes.act(&mut acting, &everyone);
        for active in [&[7][..], &[99, 7, 30], &[30]] {
            let some = episodes.act(&mut acting, active);
            assert_eq!(
                some,
                episodes.act(&mut alone, active),
                "two threads and one"
            );
            for row in active {
                let part = row * a..(row + 1) * a;
                assert_eq!(some[part.clone()], all[part], "row {row} of {active:?}");
            }
        }
    }
}

#[test]
fn a_row_with_a_memory_acts_with_the_same_bits_on_two_threads() {
    [SCAN, LSTM].into_iter().for_each(check_two_threads);
}

fn check_two_threads(shape: Shape) {
    let parameters = parameters(&Layout::new(&shape));
    let episodes = Episodes::new(shape, 5, 15);
    for level in Level::available() {
        let act = |threads: usize, active: &[usize]| {
            let mut acting = Acting::at(level, Memory::Exact, shape, &parameters, 5, threads);
            episodes.act(&mut acting, active)
        };
        let all = act(1, &[0, 1, 2, 3, 4]);
        assert_eq!(all, act(2, &[0, 1, 2, 3, 4]));
        let row = 3 * 15 * shape.action..4 * 15 * shape.action;
        assert_eq!(
            all[row.clone()],
            act(2, &[3])[row],
            "alone, on both threads"
        );
    }
}

#[test]
fn an_episode_forgets_the_one_before_it() {
    [
        SHAPE,
        ADALN,
        POST,
        CONVOLUTION,
        PREDICTED,
        SCAN,
        LINEAR,
        LSTM,
    ]
    .into_iter()
    .for_each(check_forgetting);
}

fn check_forgetting(shape: Shape) {
    let parameters = parameters(&Layout::new(&shape));
    let episodes = Episodes::new(shape, 1, 15);
    let mut acting = Acting::new(shape, &parameters, 1, 1);
    let first = episodes.act(&mut acting, &[0]);
    assert_eq!(first, episodes.act(&mut acting, &[0]));
    acting.set_parameters(&parameters);
    assert_eq!(first, episodes.act(&mut acting, &[0]));
}

/// Shapes with attention, in which a window of `context` steps slides.
fn streaming_shapes() -> [Shape; 7] {
    let narrow = Shape {
        layers: 2,
        heads: 1,
        width: 33,
        context: 4,
        ..SHAPE
    };
    [
        SHAPE,
        narrow,
        Shape {
            layers: 1,
            ..narrow
        },
        Shape {
            context: 1,
            ..narrow
        },
        POST,
        ADALN,
        Shape {
            head: Head::Logits,
            activation: Activation::Relu,
            ..SHAPE
        },
    ]
}

#[test]
fn streaming_is_attention_over_the_tokens_of_the_last_steps_as_they_were() {
    for shape in streaming_shapes() {
        let parameters = parameters(&Layout::new(&shape));
        let episodes = Episodes::new(shape, 2, 24);
        let (expected, _) = episodes.reference_stream(&parameters);
        for level in Level::available() {
            let mut acting = Acting::at(level, Memory::Streaming, shape, &parameters, 2, 2);
            let found = episodes.act(&mut acting, &[0, 1]);
            assert_close(&found, &expected, "actions");
        }
    }
}

#[test]
fn streaming_predicts_the_references_returns_too() {
    let parameters = parameters(&Layout::new(&PREDICTED));
    for level in Level::available() {
        let mut episodes = Episodes::new(PREDICTED, 2, 25);
        let mut acting = Acting::at(level, Memory::Streaming, PREDICTED, &parameters, 2, 1);
        let (actions, [returns, _]) = episodes.act_and_predict(&mut acting);
        episodes.returns_to_go.clone_from(&returns);
        let (expected, expected_returns) = episodes.reference_stream(&parameters);
        assert_close(&actions, &expected, "actions");
        assert_close(&returns, &expected_returns, "returns-to-go");
    }
}

#[test]
fn streaming_is_exact_until_the_window_slides_and_differs_then() {
    let (parameters, a) = (parameters(&Layout::new(&SHAPE)), SHAPE.action);
    let episodes = Episodes::new(SHAPE, 1, 15);
    for level in Level::available() {
        let act = |memory| {
            let mut acting = Acting::at(level, memory, SHAPE, &parameters, 1, 1);
            episodes.act(&mut acting, &[0])
        };
        let (exact, streamed) = (act(Memory::Exact), act(Memory::Streaming));
        let full = SHAPE.context * a;
        assert_eq!(exact[..full], streamed[..full]);
        assert_ne!(exact[full..], streamed[full..]);
    }
}

#[test]
fn a_streaming_row_acts_with_the_same_bits_whatever_rows_act_beside_it() {
    let parameters = parameters(&Layout::new(&SHAPE));
    let episodes = Episodes::new(SHAPE, 40, 25);
    let a = SHAPE.action * episodes.steps;
    for level in Level::available() {
        let new = |threads| Acting::at(level, Memory::Streaming, SHAPE, &parameters, 40, threads);
        let everyone: Vec<usize> = (0..40).collect();
        let all = episodes.act(&mut new(1), &everyone);
        assert_eq!(all, episodes.act(&mut new(2), &everyone), "two threads");
        for active in [&[7][..], &[39, 7, 30]] {
            let some = episodes.act(&mut new(2), active);
            for row in active {
                let part = row * a..(row + 1) * a;
                assert_eq!(some[part.clone()], all[part], "row {row} of {active:?}");
            }
        }
    }
}

#[test]
fn two_threads_that_share_a_large_mlp_act_with_the_bits_of_one() {
    let large = Shape {
        width: 128,
        heads: 1,
        layers: 3,
        ..SHAPE
    };
    let shapes = [
        large,
        // Halves of different width, on some levels.
        Shape {
            width: 150,
            mixer: MixerKind::Convolution,
            ..large
        },
        Shape {
            condition: PREDICTED.condition,
            ..large
        },
        Shape {
            condition: Condition::Adaln,
            mixer: MixerKind::Scan,
            ..large
        },
    ];
    for shape in shapes {
        let parameters = parameters(&Layout::new(&shape));
        let episodes = Episodes::new(shape, 1, 12);
        for level in Level::available() {
            for memory in [Memory::Exact, Memory::Streaming] {
                let [one, two] = [1, 2].map(|threads| {
                    let mut acting = Acting::at(level, memory, shape, &parameters, 1, threads);
                    episodes.act(&mut acting, &[0])
                });
                assert_eq!(one, two, "{shape:?}");
            }
        }
    }
}
