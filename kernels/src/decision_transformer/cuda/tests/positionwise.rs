//! All between the attention of two layers in one launch, compared with a launch for each part: bit
//! by bit.

use super::model::{DROPOUT, SMALL, setup};
use crate::activation::Activation;
use crate::decision_transformer::cuda::trainer::{Trainer, TrainerSetup};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::Shape;
use crate::decision_transformer::testing::{Batch, parameters};
use crate::decision_transformer::windows::Side;
use crate::device::backend::Backend;
use crate::device::tests::backends;
use crate::precision::Precision;

/// The bits of loss, gradient and predictions.
fn bits(
    backend: Box<dyn Backend>,
    setup: TrainerSetup,
    batch: &Batch,
    positionwise: bool,
) -> (u64, Vec<u32>, Vec<u32>) {
    let (weights, windows) = (parameters(&Layout::new(&setup.shape)), batch.windows());
    let mut trainer = Trainer::new(backend, setup).unwrap();
    assert!(trainer.positionwise, "the kernel is made for this model");
    trainer.positionwise = positionwise;
    let zeros = vec![0.0; weights.len()];
    trainer.load(&weights, &zeros, &zeros).unwrap();
    let mut gradient = vec![f32::NAN; weights.len()];
    let loss = trainer
        .loss_and_gradient(&windows, DROPOUT.key, &mut gradient)
        .unwrap();
    let steps = windows.lengths.len() * windows.context;
    let mut predictions = vec![f32::NAN; steps * setup.shape.action];
    trainer.predict(&windows, &mut predictions).unwrap();
    let bits = |numbers: &[f32]| {
        assert!(numbers.iter().all(|x| x.is_finite()), "{:?}", setup.shape);
        numbers.iter().map(|x| x.to_bits()).collect()
    };
    (loss.to_bits(), bits(&gradient), bits(&predictions))
}

#[test]
fn one_launch_between_two_layers_gives_the_bits_of_its_parts() {
    let wide = Shape {
        width: 128,
        heads: 2,
        layers: 3,
        ..SMALL
    };
    let relu = Shape {
        activation: Activation::Relu,
        heads: 1,
        layers: 1,
        ..wide
    };
    // Rows of the last block of tokens are missing, those of the last layer, or none.
    let cases = [
        (wide, vec![7, 3, 7], true),
        (relu, vec![2; 16], true),
        (
            Shape {
                activation: Activation::Relu,
                layers: 2,
                context: 16,
                ..wide
            },
            vec![16, 0, 11],
            false,
        ),
    ];
    for (shape, lengths, drops) in cases {
        let batch = Batch::new(&shape, &lengths, Side::Left);
        let setup = TrainerSetup {
            precision: Precision::Bf16,
            dropout: drops.then_some(DROPOUT),
            ..setup(shape, lengths.len())
        };
        for (together, apart) in backends().into_iter().zip(backends()) {
            let together = bits(together, setup, &batch, true);
            let apart = bits(apart, setup, &batch, false);
            assert!(together == apart, "{shape:?}");
        }
    }
}
