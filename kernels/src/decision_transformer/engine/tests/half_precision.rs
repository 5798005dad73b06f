//! bfloat16 compared with the exact gradient and with the reference that rounds, too.

use super::*;

/// The root of the squared error, relative to the expected norm.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    let (mut error, mut scale) = (0.0, 0.0);
    for (found, expected) in found.iter().zip(expected) {
        error += (f64::from(*found) - expected).powi(2);
        scale += expected.powi(2);
    }
    (error / scale).sqrt()
}

/// An f32 number at a tie of bfloat16 may be rounded to the other side in f64, so the engine
/// differs from the reference, as does the reference itself in f32 and f64. Each rounded product is
/// compared to 1e-5 in `linear`; this test shows that the engine rounds where the reference does.
#[test]
fn half_precision_is_near_the_exact_gradient_and_nearer_to_the_reference_that_rounds() {
    check_half_precision(SMALL);
    check_half_precision(ADALN);
    check_half_precision(CONVOLUTION);
    check_half_precision(PREDICTED);
    check_half_precision(SCAN);
    check_half_precision(LSTM);
    check_half_precision(FREE);
}

fn check_half_precision(shape: Shape) {
    let layout = Layout::new(&shape);
    let batch = Batch::new(&shape, &[7, 0, 3, 1, 7, 6], Side::Left);
    let windows = batch.windows();
    let mut parameters = parameters(&layout);
    for view in layout.views() {
        if !view.name.contains("norm") {
            parameters[view.range.clone()]
                .iter_mut()
                .for_each(|x| *x *= 0.3);
        }
    }
    let (objective, denominator) = VALID;
    let reference = |precision| {
        let task = reference::Task {
            shape: &shape,
            windows: &windows,
            precision,
            attention: Precision::F32,
            objective,
            denominator,
            dropout: Some(&DROPOUT),
            entropy: ENTROPY,
        };
        let (_, loss, gradient) = reference::loss_and_gradient(task, &to_f64(&parameters));
        (loss, gradient)
    };
    let (exact_loss, exact) = reference(Precision::F32);
    let (_, rounding) = reference(Precision::Bf16);
    for level in Level::available() {
        let mut engine = Engine::at(level, shape, 2, Precision::Bf16);
        engine.set_entropy(ENTROPY);
        let mut gradient = vec![0.0; parameters.len()];
        let loss = engine.loss_and_gradient(
            &parameters,
            &windows,
            objective,
            denominator,
            Some(&DROPOUT),
            &mut gradient,
        );
        assert!((loss / exact_loss - 1.0).abs() < 1e-3);
        for view in layout.views() {
            let range = view.range.clone();
            if exact[range.clone()].iter().all(|g| g.abs() < 1e-9) {
                continue;
            }
            let found = &gradient[range.clone()];
            let far = distance(found, &exact[range.clone()]);
            let near = distance(found, &rounding[range]);
            assert!(far < 1e-2, "{} is off by {far:e}", view.name);
            assert!(near < 0.8 * far, "{}: {near:e} and {far:e}", view.name);
        }
    }
}
