//! The engine compared with the naive whole model in f64.

mod half_precision;
mod shapes;

use self::shapes::{
    ADALN, CONVOLUTION, FREE, LSTM, POST, PREDICTED, SCAN, SMALL, SQUASHED, combinations, family,
    members,
};
use super::*;
use crate::activation::Activation;
use crate::adamw::{self, AdamW, Buffers, Step};
use crate::decision_transformer::shape::Condition;
use crate::decision_transformer::testing::{Batch, parameters};
use crate::decision_transformer::trunk::reference;
use crate::decision_transformer::windows::Side;
use crate::lamb;
use crate::loss::Head;
use crate::testing::{assert_close, assert_gradient, numbers, relative_error, to_f64};

const DROPOUT: Dropout = Dropout {
    probability_attention: 0.2,
    probability_residual: 0.1,
    probability_embedding: 0.3,
    key: 5,
};

const ENTROPY: Entropy = Entropy {
    temperature: 0.3,
    key: 11,
};

/// Compares loss, predictions and every gradient of several engines with the reference.
fn check(
    engines: &[(Level, usize)],
    shape: Shape,
    lengths: &[usize],
    side: Side,
    mean: (Objective, Denominator),
    dropout: Option<&Dropout>,
) {
    let layout = Layout::new(&shape);
    let batch = Batch::new(&shape, lengths, side);
    let windows = batch.windows();
    let parameters = parameters(&layout);
    let (objective, denominator) = mean;
    let task = reference::Task {
        shape: &shape,
        windows: &windows,
        precision: Precision::F32,
        attention: Precision::F32,
        objective,
        denominator,
        dropout,
        entropy: ENTROPY,
    };
    let exact = to_f64(&parameters);
    let (_, exact_loss, exact_gradient) = reference::loss_and_gradient(task, &exact);
    let untouched = reference::Task {
        dropout: None,
        ..task
    };
    let (exact_predictions, _, _) = reference::loss_and_gradient(untouched, &exact);

    // The last layer with keys and values, and without them.
    let ways = engines
        .iter()
        .flat_map(|engine| [(engine, false), (engine, true)]);
    for ((level, threads), direct) in ways {
        let mut engine = Engine::at(*level, shape, *threads, Precision::F32);
        engine.shortcut = direct;
        engine.set_entropy(ENTROPY);
        let mut gradient = vec![0.0; parameters.len()];
        let loss = engine.loss_and_gradient(
            &parameters,
            &windows,
            objective,
            denominator,
            dropout,
            &mut gradient,
        );
        assert!(
            (loss - exact_loss).abs() <= 1e-5 * exact_loss.abs(),
            "{loss}, not {exact_loss}"
        );
        for view in layout.views() {
            let expected = &exact_gradient[view.range.clone()];
            // A gradient that is zero but for rounding, such as that of the keys' bias, has no
            // scale.
            if expected.iter().any(|g| g.abs() > 1e-9) {
                let found = &gradient[view.range.clone()];
                let error = relative_error(found, expected);
                // A chain of many products, as in a scan, rounds more: up to twice what naive loops
                // in f32 round in the worst parameter.
                let allowed = if error < 1e-5 {
                    1e-5
                } else {
                    let (_, _, naive) = reference::loss_and_gradient(task, &parameters);
                    (2.0 * worst_error(&layout, &naive, &exact_gradient)).max(1e-5)
                };
                let name = &view.name;
                assert!(
                    error <= allowed,
                    "the gradient of {name} is off by {error:e}, {allowed:e} is allowed: {shape:?}"
                );
            }
        }
        let mut predictions = vec![f32::NAN; exact_predictions.len()];
        engine.predict(&parameters, &windows, &mut predictions);
        assert_close(&predictions, &exact_predictions, "predictions");
    }
}

/// The largest relative error among the parameters whose gradient is not zero but for rounding.
fn worst_error(layout: &Layout, found: &[f32], expected: &[f64]) -> f64 {
    let errors = layout.views().map(|view| {
        let expected = &expected[view.range.clone()];
        if expected.iter().all(|g| g.abs() <= 1e-9) {
            return 0.0;
        }
        relative_error(&found[view.range.clone()], expected)
    });
    errors.fold(0.0, f64::max)
}

fn fastest(threads: usize) -> [(Level, usize); 1] {
    [(Level::detect(), threads)]
}

const VALID: (Objective, Denominator) = (Objective::SquaredError, Denominator::Valid);

#[test]
fn every_instruction_set_and_number_of_threads_computes_the_reference() {
    let engines: Vec<_> = Level::available()
        .into_iter()
        .flat_map(|level| [(level, 1), (level, 2), (level, 3)])
        .collect();
    check(
        &engines,
        SMALL,
        &[7, 0, 3, 1, 7, 6],
        Side::Left,
        VALID,
        Some(&DROPOUT),
    );
}

#[test]
fn both_sides_of_padding_and_both_denominators_compute_the_reference() {
    for side in [Side::Left, Side::Right] {
        for denominator in [Denominator::Valid, Denominator::All] {
            for dropout in [None, Some(&DROPOUT)] {
                let mean = (Objective::SquaredError, denominator);
                check(&fastest(2), SMALL, &[2, 7, 5], side, mean, dropout);
            }
        }
    }
}

#[test]
fn odd_shapes_compute_the_reference() {
    odd_shapes_of(Shape {
        activation: Activation::Relu,
        ..SMALL
    });
}

#[test]
fn every_condition_and_mixer_computes_the_reference() {
    let levels = Level::available().into_iter();
    let engines: Vec<_> = levels.map(|level| (level, 3)).chain(fastest(1)).collect();
    let lengths = [7, 0, 3, 1, 7, 6];
    let mean = (Objective::SquaredError, Denominator::All);
    let dropped = |engines: &[_], shape| {
        check(engines, shape, &lengths, Side::Left, VALID, Some(&DROPOUT));
    };
    members().for_each(|shape| dropped(&engines, shape));
    combinations().for_each(|shape| dropped(&fastest(2), shape));
    for shape in family() {
        check(&fastest(2), shape, &[2, 7, 5], Side::Right, mean, None);
        let sums = (Objective::SquaredError, Denominator::Steps);
        check(&fastest(2), shape, &[2, 7, 5], Side::Right, sums, None);
    }
}

#[test]
fn odd_shapes_of_every_member_compute_the_reference() {
    members().for_each(odd_shapes_of);
}

/// Windows of more tokens than are worked on at a time.
#[test]
fn long_windows_compute_the_reference() {
    let levels = Level::available().into_iter();
    let engines: Vec<_> = levels.map(|level| (level, 2)).collect();
    let scan = Shape {
        condition: Condition::Adaln,
        ..SCAN
    };
    for shape in [SMALL, POST, SCAN, scan] {
        let shape = Shape {
            context: 170,
            timesteps: 200,
            width: 20,
            heads: 1,
            layers: 2,
            ..shape
        };
        let lengths = [170, 3, 133];
        assert!(shape.condition.tokens(133) > scan::rows_at_a_time(&shape));
        assert!(SMALL.condition.tokens(133) > rows_at_a_time(&shape));
        check(&engines, shape, &lengths, Side::Left, VALID, Some(&DROPOUT));
    }
}

/// Variants of a shape: a context of one, one layer, odd widths, many heads, long windows, logits.
fn odd_shapes_of(shape: Shape) {
    let heads = |heads| if shape.heads == 1 { 1 } else { heads };
    let shapes = [
        Shape {
            context: 1,
            width: 128,
            heads: 1,
            ..shape
        },
        Shape {
            layers: 1,
            width: 20,
            heads: heads(2),
            ..shape
        },
        Shape {
            layers: 2,
            width: 33,
            heads: 1,
            observation: 1,
            action: 1,
            ..shape
        },
        Shape {
            context: 50,
            width: 32,
            heads: heads(4),
            layers: 2,
            action: 6,
            ..shape
        },
        Shape {
            head: Head::Logits,
            ..shape
        },
    ];
    for shape in shapes {
        for dropout in [None, Some(&DROPOUT)] {
            // The errors of a few predictions may be so near zero, or their sum, that the gradient
            // is only rounding error (in PyTorch's f32, too).
            let windows = if shape.context == 1 || shape.action == 1 {
                3
            } else {
                1
            };
            let lengths = vec![shape.context; windows];
            check(&fastest(1), shape, &lengths, Side::Right, VALID, dropout);
        }
    }
    let logits = Shape {
        head: Head::Logits,
        ..shape
    };
    let mean = (Objective::CrossEntropy, Denominator::Valid);
    let dropout = Some(&DROPOUT);
    check(&fastest(2), logits, &[7, 4], Side::Left, mean, dropout);
}

#[test]
fn an_adaptive_norm_starts_as_the_unconditioned_model() {
    let mut engine = Engine::new(ADALN, 1);
    let mut weights = parameters(engine.layout());
    let mut predictions = |weights: &[f32], returns: f32| {
        let mut batch = Batch::new(&ADALN, &[7, 4], Side::Left);
        batch.returns_to_go.fill(returns);
        let mut all = vec![0.0; 2 * ADALN.context * ADALN.action];
        engine.predict(weights, &batch.windows(), &mut all);
        all
    };
    assert_ne!(predictions(&weights, 1.0), predictions(&weights, -2.0));
    weights[Layout::new(&ADALN).range("condition.weight").unwrap()].fill(0.0);
    assert_eq!(predictions(&weights, 1.0), predictions(&weights, -2.0));
}

#[test]
fn an_update_on_three_threads_is_the_update_on_one() {
    let engine = Engine::new(SMALL, 3);
    let step = Step {
        constants: AdamW::default(),
        rate: 1e-3,
        number: 3,
        clip: 0.5,
    };
    let start = parameters(engine.layout());
    let gradient = numbers(4, start.len());
    let after = |update: &dyn Fn(Buffers<'_>)| {
        let moments = || vec![0.1; start.len()];
        let (mut weights, mut mean, mut square) = (start.clone(), moments(), moments());
        update(Buffers {
            gradient: &gradient,
            weights: &mut weights,
            mean: &mut mean,
            square: &mut square,
        });
        (weights, mean, square)
    };
    let found = after(&|buffers| engine.update(&step, buffers));
    assert_eq!(found, after(&|buffers| adamw::update(&step, buffers)));
    let tensors = engine.layout().views().map(|view| lamb::Parameter {
        len: view.range.len(),
        columns: view.dims[view.dims.len() - 1],
        width: view.dims[view.dims.len() - 1] / if view.name.contains("qkv") { 3 } else { 1 },
    });
    let tensors: Vec<_> = tensors.collect();
    let found = after(&|buffers| engine.update_by_tensor(&tensors, &step, buffers));
    let expected = after(&|buffers| lamb::update(&tensors, &step, buffers));
    assert_eq!(found, expected);
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    let squared = (Objective::SquaredError, Some(&DROPOUT));
    check_reference_gradient(SMALL, &[squared, (Objective::CrossEntropy, None)]);
    family().for_each(|shape| check_reference_gradient(shape, &[squared]));
}

fn check_reference_gradient(shape: Shape, tasks: &[(Objective, Option<&Dropout>)]) {
    let shape = Shape {
        width: 6,
        context: 3,
        heads: shape.heads.min(2),
        layers: 2,
        ..shape
    };
    let batch = Batch::new(&shape, &[3, 1], Side::Left);
    for &(objective, dropout) in tasks {
        let task = reference::Task {
            shape: &shape,
            windows: &batch.windows(),
            precision: Precision::F32,
            attention: Precision::F32,
            objective,
            denominator: Denominator::Valid,
            dropout,
            entropy: ENTROPY,
        };
        let exact = to_f64(&parameters(&Layout::new(&shape)));
        let (_, _, gradient) = reference::loss_and_gradient(task, &exact);
        for view in Layout::new(&shape).views() {
            let loss = |part: &[f64]| {
                let mut moved = exact.clone();
                moved[view.range.clone()].copy_from_slice(part);
                reference::loss_and_gradient(task, &moved).1
            };
            assert_gradient(
                &exact[view.range.clone()],
                &gradient[view.range.clone()],
                loss,
            );
        }
    }
}

#[test]
fn the_same_step_gives_the_same_bits() {
    let kinds = [Precision::F32, Precision::Bf16].map(|kind| [(1, kind), (2, kind), (3, kind)]);
    for (threads, precision) in kinds.into_iter().flatten() {
        check_same_bits(SMALL, threads, precision);
    }
    for shape in family() {
        check_same_bits(shape, 2, Precision::F32);
        check_same_bits(shape, 3, Precision::Bf16);
    }
}

fn check_same_bits(shape: Shape, threads: usize, precision: Precision) {
    let batch = Batch::new(&shape, &[7; 40], Side::Left);
    let windows = batch.windows();
    let (objective, denominator) = VALID;
    let fresh = || Engine::at(Level::detect(), shape, threads, precision);
    let run = |engine: &mut Engine| {
        engine.set_entropy(ENTROPY);
        let parameters = parameters(engine.layout());
        let mut gradient = vec![0.0; parameters.len()];
        let loss = engine.loss_and_gradient(
            &parameters,
            &windows,
            objective,
            denominator,
            Some(&DROPOUT),
            &mut gradient,
        );
        (loss, engine.likelihood(), gradient)
    };
    let mut engine = fresh();
    let first = run(&mut engine);
    assert_eq!(first, run(&mut engine), "again, in used memory");
    assert_eq!(first, run(&mut fresh()), "in fresh memory");
}

#[test]
fn padding_changes_a_window_only_through_its_masks() {
    let wide = Shape {
        context: 9,
        ..SMALL
    };
    let (short, long) = (
        Batch::new(&SMALL, &[7], Side::Right),
        Batch::new(&wide, &[7], Side::Right),
    );
    let mut engine = Engine::new(SMALL, 1);
    let parameters = parameters(engine.layout());
    let mut tight = vec![0.0; 7 * 3];
    engine.predict(&parameters, &short.windows(), &mut tight);
    let mut padded = vec![0.0; 9 * 3];
    Engine::new(wide, 1).predict(&parameters, &long.windows(), &mut padded);
    assert_eq!(tight, padded[..7 * 3]);
    assert_eq!(padded[7 * 3..], [0.0; 6]);
}

#[test]
fn a_batch_of_padding_has_no_loss_and_no_gradient() {
    let batch = Batch::new(&SMALL, &[0, 0], Side::Left);
    let windows = batch.windows();
    let mut engine = Engine::new(SMALL, 2);
    let parameters = parameters(engine.layout());
    let mut gradient = vec![0.0; parameters.len()];
    let (objective, denominator) = VALID;
    let loss = engine.loss_and_gradient(
        &parameters,
        &windows,
        objective,
        denominator,
        None,
        &mut gradient,
    );
    assert!(loss.abs() < f64::MIN_POSITIVE);
    assert!(gradient.iter().all(|g| g.abs() < f32::MIN_POSITIVE));
    let mut predictions = vec![1.0; 2 * 7 * 3];
    engine.predict(&parameters, &windows, &mut predictions);
    assert!(predictions.iter().all(|y| y.abs() < f32::MIN_POSITIVE));
}

#[test]
fn gradients_are_accumulated() {
    let batch = Batch::new(&SMALL, &[4], Side::Left);
    let windows = batch.windows();
    let mut engine = Engine::new(SMALL, 2);
    let parameters = parameters(engine.layout());
    let mut once = vec![0.0; parameters.len()];
    let (objective, denominator) = VALID;
    engine.loss_and_gradient(
        &parameters,
        &windows,
        objective,
        denominator,
        None,
        &mut once,
    );
    let mut twice = once.clone();
    engine.loss_and_gradient(
        &parameters,
        &windows,
        objective,
        denominator,
        None,
        &mut twice,
    );
    let doubled: Vec<f64> = once.iter().map(|g| 2.0 * f64::from(*g)).collect();
    assert_close(&twice, &doubled, "the sum");
}

#[test]
fn an_engine_has_the_requested_precision() {
    assert!(Precision::F32.is_available());
    for precision in [Precision::F32, Precision::Bf16] {
        if precision.is_available() {
            let engine = Engine::with(SMALL, 1, precision);
            assert_eq!(engine.precision(), precision);
        }
    }
}

#[test]
fn the_loss_of_a_stochastic_policy_is_that_of_its_likelihood() {
    for shape in [SQUASHED, FREE] {
        let batch = Batch::new(&shape, &[7, 4], Side::Left);
        let mut engine = Engine::new(shape, 2);
        let parameters = parameters(engine.layout());
        let mut loss = |temperature| {
            engine.set_entropy(Entropy {
                temperature,
                ..ENTROPY
            });
            let (objective, denominator) = VALID;
            let loss = engine.loss(&parameters, &batch.windows(), objective, denominator);
            (loss, engine.likelihood())
        };
        let ((cold, likelihood), (warm, same)) = (loss(0.0), loss(0.3));
        assert_eq!(likelihood, same);
        assert!((cold - warm - f64::from(0.3_f32) * likelihood.entropy).abs() < 1e-9 * cold.abs());
        if shape == SQUASHED {
            assert!((cold - likelihood.negative_log).abs() < 1e-9 * cold.abs());
        }
    }
}
