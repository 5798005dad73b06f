//! A small model, and other members of its family.

use crate::activation::Activation;
use crate::decision_transformer::shape::{
    Condition, Estimate, MixerKind, NormPlacement, Prediction, Shape,
};
use crate::layer_norm::EPSILON;
use crate::loss::Head;

pub(super) const SHAPE: Shape = Shape {
    observation: 5,
    action: 2,
    context: 6,
    width: 48,
    heads: 3,
    layers: 3,
    timesteps: 40,
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

/// The return-to-go outside the sequence: two tokens a step.
pub(super) const ADALN: Shape = Shape {
    condition: Condition::Adaln,
    ..SHAPE
};

/// A convolution, whose newest token depends on the 16 tokens of five and a third steps, all inside
/// the window.
pub(super) const CONVOLUTION: Shape = Shape {
    mixer: MixerKind::Convolution,
    heads: 1,
    ..SHAPE
};

/// A scan, whose memory is that of the window.
pub(super) const SCAN: Shape = Shape {
    mixer: MixerKind::Scan,
    heads: 1,
    ..SHAPE
};

/// Linear attention.
pub(super) const LINEAR: Shape = Shape {
    mixer: MixerKind::Linear,
    ..SHAPE
};

/// An LSTM, whose memory is that of the window, too.
pub(super) const LSTM: Shape = Shape {
    mixer: MixerKind::Lstm,
    heads: 1,
    ..SHAPE
};

/// The return-to-go behind the observation, from which it is predicted.
pub(super) const PREDICTED: Shape = Shape {
    condition: Condition::expectile(0.9),
    ..SHAPE
};

/// The same, from which its bin is predicted.
pub(super) const BINS: Shape = Shape {
    condition: Condition::Predicted {
        prediction: Prediction::Bins {
            bins: 9,
            optimism: 3.0,
            estimate: Some(Estimate {
                expectile: 0.8,
                weight: 0.7,
            }),
        },
        weight: 0.3,
        hides: true,
    },
    ..SHAPE
};

/// Norms behind the sums.
pub(super) const POST: Shape = Shape {
    norm_placement: NormPlacement::Post,
    ..SHAPE
};

/// Shapes whose windows grow, and slide or do not.
pub(super) fn exact_shapes() -> Vec<Shape> {
    let relu = Shape {
        activation: Activation::Relu,
        ..SHAPE
    };
    vec![
        SHAPE,
        Shape { layers: 1, ..relu },
        Shape {
            layers: 2,
            heads: 1,
            width: 33,
            ..relu
        },
        Shape {
            context: 1,
            width: 128,
            heads: 1,
            ..relu
        },
        Shape {
            head: Head::Logits,
            ..SHAPE
        },
        ADALN,
        Shape {
            positions: 2,
            norm_epsilon: 3e-3,
            ..SHAPE
        },
        // Wider than the window, so that it slides.
        Shape {
            context: 5,
            ..CONVOLUTION
        },
        Shape {
            context: 1,
            layers: 1,
            ..CONVOLUTION
        },
        Shape {
            context: 4,
            layers: 2,
            condition: Condition::Adaln,
            ..CONVOLUTION
        },
        Shape { layers: 1, ..ADALN },
        POST,
        Shape { layers: 1, ..POST },
        Shape {
            context: 4,
            norm_placement: NormPlacement::Post,
            ..CONVOLUTION
        },
        SCAN,
        Shape {
            layers: 1,
            width: 33,
            ..SCAN
        },
        Shape {
            context: 1,
            layers: 2,
            ..SCAN
        },
        Shape {
            condition: Condition::Adaln,
            context: 20,
            ..SCAN
        },
        LINEAR,
        Shape {
            layers: 1,
            width: 33,
            context: 9,
            ..LINEAR
        },
        LSTM,
        Shape {
            layers: 1,
            width: 33,
            ..LSTM
        },
        Shape {
            context: 1,
            layers: 2,
            ..LSTM
        },
        Shape {
            condition: Condition::Adaln,
            context: 20,
            ..LSTM
        },
        Shape {
            context: 1,
            layers: 2,
            ..ADALN
        },
    ]
}
