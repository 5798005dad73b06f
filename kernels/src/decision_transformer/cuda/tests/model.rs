//! Loss, predictions and gradient of the whole model, compared with the naive model in f64.

use crate::activation::Activation;
use crate::adamw::AdamW;
use crate::decision_transformer::cuda::trainer::{Trainer, TrainerSetup};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::{Condition, MixerKind, NormPlacement, Shape};
use crate::decision_transformer::testing::{Batch, parameters};
use crate::decision_transformer::trunk::reference;
use crate::decision_transformer::windows::Side;
use crate::device::backend::Backend;
use crate::device::tests::backends;
use crate::dropout::Dropout;
use crate::layer_norm::EPSILON;
use crate::likelihood::Entropy;
use crate::loss::{Denominator, Head, Objective};
use crate::precision::Precision;
use crate::testing::{assert_close, to_f64};

pub(super) const SMALL: Shape = Shape {
    observation: 5,
    action: 3,
    context: 7,
    width: 96,
    heads: 3,
    layers: 2,
    timesteps: 30,
    activation: Activation::Gelu,
    head: Head::Tanh { scale: 0.8 },
    condition: Condition::Token,
    mixer: MixerKind::Attention,
    deviation: None,
    positions: 0,
    norm_placement: NormPlacement::Pre,
    norm_epsilon: EPSILON,
    next_observation: None,
};

pub(super) const DROPOUT: Dropout = Dropout {
    probability_attention: 0.2,
    probability_residual: 0.1,
    probability_embedding: 0.3,
    key: 5,
};

pub(super) fn setup(shape: Shape, windows: usize) -> TrainerSetup {
    TrainerSetup {
        shape,
        windows,
        accumulation: 1,
        most_steps: 1,
        precision: Precision::F32,
        dropout: None,
        objective: Objective::SquaredError,
        denominator: Denominator::Valid,
        adamw: AdamW::default(),
        largest_norm: 0.25,
        dataset_bytes: 0,
    }
}

/// Compares exact f32 with f64: to 1e-5 of the largest number of each parameter's gradient.
fn check(backend: Box<dyn Backend>, setup: TrainerSetup, lengths: &[usize], side: Side) {
    let shape = setup.shape;
    let layout = Layout::new(&shape);
    let batch = Batch::new(&shape, lengths, side);
    let windows = batch.windows();
    let weights = parameters(&layout);
    let task = reference::Task {
        shape: &shape,
        windows: &windows,
        precision: Precision::F32,
        attention: Precision::F32,
        objective: setup.objective,
        denominator: setup.denominator,
        dropout: setup.dropout.as_ref(),
        entropy: Entropy::default(),
    };
    let exact = to_f64(&weights);
    let (_, exact_loss, exact_gradient) = reference::loss_and_gradient(task, &exact);
    let untouched = reference::Task {
        dropout: None,
        ..task
    };
    let (exact_predictions, _, _) = reference::loss_and_gradient(untouched, &exact);

    let mut trainer = Trainer::new(backend, setup).unwrap();
    let zeros = vec![0.0; weights.len()];
    trainer.load(&weights, &zeros, &zeros).unwrap();
    let mut gradient = vec![f32::NAN; weights.len()];
    let key = DROPOUT.key;
    let loss = trainer
        .loss_and_gradient(&windows, key, &mut gradient)
        .unwrap();
    assert!(
        (loss - exact_loss).abs() <= 1e-5 * exact_loss,
        "{loss}, not {exact_loss}"
    );
    for view in layout.views() {
        let expected = &exact_gradient[view.range.clone()];
        let found = &gradient[view.range.clone()];
        if expected.iter().any(|g| g.abs() > 1e-9) {
            assert_close(
                found,
                expected,
                &format!("the gradient of {} of {shape:?}", view.name),
            );
        } else {
            assert!(found.iter().all(|g| g.abs() < 1e-6), "{}", view.name);
        }
    }
    let mut predictions = vec![f32::NAN; exact_predictions.len()];
    trainer.predict(&windows, &mut predictions).unwrap();
    assert_close(&predictions, &exact_predictions, "predictions");
}

fn check_both_orders(setup: TrainerSetup, lengths: &[usize], side: Side) {
    for backend in backends() {
        check(backend, setup, lengths, side);
    }
}

#[test]
fn padded_windows_on_either_side_give_the_reference() {
    let full = TrainerSetup {
        dropout: Some(DROPOUT),
        ..setup(SMALL, 4)
    };
    check_both_orders(full, &[7, 0, 3, 1], Side::Left);
    let all = TrainerSetup {
        denominator: Denominator::All,
        ..full
    };
    check_both_orders(all, &[2, 7, 5, 7], Side::Right);
}

#[test]
fn odd_shapes_give_the_reference() {
    let relu = Shape {
        activation: Activation::Relu,
        heads: 1,
        ..SMALL
    };
    let shapes = [
        // With fewer layers, f32 itself differs from f64 by more than 1e-5 here, in the CPU engine
        // too.
        Shape {
            context: 1,
            width: 128,
            layers: 3,
            ..relu
        },
        Shape {
            layers: 1,
            width: 20,
            heads: 2,
            ..relu
        },
        Shape {
            width: 33,
            observation: 1,
            action: 1,
            ..relu
        },
        Shape {
            context: 30,
            width: 32,
            heads: 4,
            layers: 1,
            action: 6,
            ..relu
        },
        // More channels in a head than attention processes at a time.
        Shape {
            context: 2,
            width: 160,
            layers: 1,
            ..relu
        },
    ];
    for shape in shapes {
        let setup = TrainerSetup {
            dropout: Some(DROPOUT),
            ..setup(shape, 1)
        };
        check_both_orders(setup, &[shape.context], Side::Right);
    }
}

#[test]
fn discrete_actions_give_the_reference() {
    let logits = Shape {
        head: Head::Logits,
        layers: 3,
        width: 32,
        heads: 2,
        ..SMALL
    };
    let setup = TrainerSetup {
        objective: Objective::CrossEntropy,
        ..setup(logits, 2)
    };
    check_both_orders(setup, &[7, 4], Side::Left);
}

#[test]
fn a_batch_of_padding_has_no_loss_and_no_gradient() {
    for backend in backends() {
        let batch = Batch::new(&SMALL, &[0, 0], Side::Left);
        let mut trainer = Trainer::new(backend, setup(SMALL, 2)).unwrap();
        let weights = parameters(&Layout::new(&SMALL));
        let zeros = vec![0.0; weights.len()];
        trainer.load(&weights, &zeros, &zeros).unwrap();
        let mut gradient = vec![f32::NAN; weights.len()];
        let loss = trainer
            .loss_and_gradient(&batch.windows(), 0, &mut gradient)
            .unwrap();
        assert!(loss.abs() < f64::MIN_POSITIVE);
        assert!(gradient.iter().all(|g| g.abs() < f32::MIN_POSITIVE));
    }
}

/// The root of the squared error, relative to the expected norm.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    let (mut error, mut scale) = (0.0, 0.0);
    for (found, expected) in found.iter().zip(expected) {
        error += (f64::from(*found) - expected).powi(2);
        scale += expected.powi(2);
    }
    (error / scale).sqrt()
}

/// Numbers at a tie may round to either side, so each rounded product is compared to 1e-5 in
/// `products`; this test shows that the model rounds where the reference does, and stays within
/// 1e-2 of the exact gradient. How much nearer one parameter's gradient is depends on the last bits
/// of the mathematics library.
#[test]
fn rounding_precisions_are_near_the_exact_gradient_and_nearer_to_the_reference_that_rounds() {
    // The second has whole tiles, which tensor cores multiply.
    let whole = Shape {
        width: 128,
        heads: 2,
        ..SMALL
    };
    check_rounding(&SMALL);
    check_rounding(&whole);
}

fn check_rounding(shape: &Shape) {
    let layout = Layout::new(shape);
    let batch = Batch::new(shape, &[7, 3, 7], Side::Left);
    let windows = batch.windows();
    let mut weights = parameters(&layout);
    for view in layout.views().filter(|view| !view.name.contains("norm")) {
        for x in &mut weights[view.range.clone()] {
            *x *= 0.3;
        }
    }
    let reference = |precision: Precision| {
        // Heads of whole tiles are multiplied in bfloat16, too.
        let whole_heads = precision == Precision::Bf16 && shape.width.is_multiple_of(64);
        let task = reference::Task {
            shape,
            windows: &windows,
            precision,
            attention: if whole_heads {
                precision
            } else {
                Precision::F32
            },
            objective: Objective::SquaredError,
            denominator: Denominator::Valid,
            dropout: Some(&DROPOUT),
            entropy: Entropy::default(),
        };
        let (_, loss, gradient) = reference::loss_and_gradient(task, &to_f64(&weights));
        (loss, gradient)
    };
    let (exact_loss, exact) = reference(Precision::F32);
    for (precision, most) in [(Precision::Bf16, 1e-2), (Precision::Tf32, 2e-3)] {
        let (_, rounding) = reference(precision);
        for backend in backends() {
            let setup = TrainerSetup {
                precision,
                dropout: Some(DROPOUT),
                ..setup(*shape, 3)
            };
            let mut trainer = Trainer::new(backend, setup).unwrap();
            let zeros = vec![0.0; weights.len()];
            trainer.load(&weights, &zeros, &zeros).unwrap();
            let mut gradient = zeros;
            let key = DROPOUT.key;
            let loss = trainer
                .loss_and_gradient(&windows, key, &mut gradient)
                .unwrap();
            assert!((loss / exact_loss - 1.0).abs() < 1e-3);
            let mut ratios = Vec::new();
            for view in layout.views() {
                let range = view.range.clone();
                if exact[range.clone()].iter().all(|g| g.abs() < 1e-9) {
                    continue;
                }
                let far = distance(&gradient[range.clone()], &exact[range.clone()]);
                let near = distance(&gradient[range.clone()], &rounding[range]);
                assert!(far < most, "{precision:?}: {} is off by {far:e}", view.name);
                assert!(near < far, "{}: {near:e} and {far:e}", view.name);
                ratios.push(near / far);
            }
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            assert!(mean < 0.6, "{precision:?}: {mean}");
        }
    }
}
