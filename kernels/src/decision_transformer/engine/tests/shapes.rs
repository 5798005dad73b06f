//! A small model, and the other members of its family.

use crate::activation::Activation;
use crate::decision_transformer::shape::{
    Condition, Estimate, MixerKind, NormPlacement, Prediction, Shape,
};
use crate::layer_norm::EPSILON;
use crate::likelihood::Deviation;
use crate::loss::Head;

pub(super) const SMALL: Shape = Shape {
    observation: 5,
    action: 3,
    context: 7,
    width: 96,
    heads: 3,
    layers: 3,
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

/// The return-to-go outside the sequence: two tokens a step.
pub(super) const ADALN: Shape = Shape {
    condition: Condition::Adaln,
    ..SMALL
};

/// Return tokens that can be absent.
const NULLABLE: Shape = Shape {
    condition: Condition::Nullable,
    ..SMALL
};

/// A convolution instead of attention.
pub(super) const CONVOLUTION: Shape = Shape {
    mixer: MixerKind::Convolution,
    heads: 1,
    ..SMALL
};

/// The return-to-go behind the observation, from which it is predicted.
pub(super) const PREDICTED: Shape = Shape {
    condition: Condition::expectile(0.9),
    ..SMALL
};

/// The same, from which its bin is predicted.
pub(super) const BINS: Shape = Shape {
    condition: Condition::Predicted {
        prediction: Prediction::Bins {
            bins: 7,
            optimism: 2.0,
            estimate: None,
        },
        weight: 0.3,
        hides: true,
    },
    ..SMALL
};

/// The same with an expectile beside the bins, and next observations.
pub(super) const ESTIMATE: Shape = Shape {
    condition: Condition::Predicted {
        prediction: Prediction::Bins {
            bins: 4,
            optimism: 2.0,
            estimate: Some(Estimate {
                expectile: 0.8,
                weight: 0.7,
            }),
        },
        weight: 0.3,
        hides: true,
    },
    next_observation: Some(0.6),
    ..SMALL
};

/// Next observations behind the token of an observation.
pub(super) const NEXT: Shape = Shape {
    next_observation: Some(1.4),
    ..SMALL
};

/// A selective scan instead of attention.
pub(super) const SCAN: Shape = Shape {
    mixer: MixerKind::Scan,
    heads: 1,
    ..SMALL
};

/// Linear attention, with the square of scores in short windows only.
pub(super) const LINEAR: Shape = Shape {
    mixer: MixerKind::Linear,
    ..SMALL
};

/// A long short-term memory instead of attention.
pub(super) const LSTM: Shape = Shape {
    mixer: MixerKind::Lstm,
    heads: 1,
    ..SMALL
};

/// A stochastic policy whose deviation depends on the state.
pub(super) const SQUASHED: Shape = Shape {
    deviation: Some(Deviation::Squashed),
    ..SMALL
};

/// The same with one deviation for all states, where returns-to-go are predicted, too.
pub(super) const FREE: Shape = Shape {
    deviation: Some(Deviation::Free),
    ..PREDICTED
};

/// A vector for every token, and another epsilon.
pub(super) const POSITION: Shape = Shape {
    positions: 4,
    norm_epsilon: 3e-3,
    ..SMALL
};

/// Norms behind the sums.
pub(super) const POST: Shape = Shape {
    norm_placement: NormPlacement::Post,
    ..SMALL
};

const MEMBERS: [Shape; 13] = [
    POST,
    ESTIMATE,
    NEXT,
    NULLABLE,
    POSITION,
    SQUASHED,
    FREE,
    ADALN,
    CONVOLUTION,
    PREDICTED,
    SCAN,
    LINEAR,
    LSTM,
];

const COMBINATIONS: [Shape; 15] = [
    Shape {
        norm_placement: NormPlacement::Post,
        ..ESTIMATE
    },
    Shape {
        condition: Condition::Adaln,
        ..NEXT
    },
    Shape {
        norm_placement: NormPlacement::Post,
        deviation: Some(Deviation::Free),
        ..BINS
    },
    Shape {
        norm_placement: NormPlacement::Post,
        ..FREE
    },
    Shape {
        norm_placement: NormPlacement::Post,
        layers: 1,
        ..ADALN
    },
    Shape {
        norm_placement: NormPlacement::Post,
        ..CONVOLUTION
    },
    Shape {
        positions: 1,
        norm_epsilon: 3e-3,
        ..ADALN
    },
    Shape {
        deviation: Some(Deviation::Squashed),
        ..ADALN
    },
    Shape {
        condition: Condition::expectile(0.99),
        ..CONVOLUTION
    },
    Shape {
        condition: Condition::Adaln,
        ..SCAN
    },
    Shape {
        condition: Condition::expectile(0.5),
        ..SCAN
    },
    Shape {
        condition: Condition::Adaln,
        ..CONVOLUTION
    },
    Shape {
        condition: Condition::expectile(0.9),
        ..LINEAR
    },
    Shape {
        condition: Condition::Adaln,
        ..LSTM
    },
    Shape {
        condition: Condition::expectile(0.5),
        ..LSTM
    },
];

/// Every other condition, mixer and distribution.
pub(super) fn members() -> impl Iterator<Item = Shape> {
    MEMBERS.into_iter()
}

/// Pairs of these.
pub(super) fn combinations() -> impl Iterator<Item = Shape> {
    COMBINATIONS.into_iter()
}

/// All of them.
pub(super) fn family() -> impl Iterator<Item = Shape> {
    members().chain(combinations())
}
