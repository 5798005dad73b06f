//! The two losses of a Decision Transformer, composed of dfdx operations.
//!
//! Continuous actions: squared error over the action numbers of valid steps. Discrete actions:
//! cross-entropy of the logits against the one-hot action of valid steps. The denominator is the
//! recipe's: `official` counts valid steps only (`training/seq_trainer.py`), `corl` counts padding
//! as well (`algorithms/offline/dt.py`), `d3rlpy` too, but not the action numbers
//! (`decision_transformer_impl.py`).

use dfdx::prelude::*;

use super::transformer::Traced;
use rtg_kernels::decision_transformer::Windows;
use rtg_kernels::{Denominator, Objective};

/// The scalar loss of predictions B x K x A on the actions of the windows.
pub fn loss(
    predictions: Traced<(usize, usize, usize)>,
    windows: &Windows,
    objective: Objective,
    denominator: Denominator,
) -> Traced<()> {
    let shape = *predictions.shape();
    let (batch, context, width) = shape;
    let device = Cpu::default();
    let mut mask = vec![0.0; batch * context * width];
    let mut targets = mask.clone();
    for (b, &length) in windows.lengths.iter().enumerate() {
        let first = windows.first_step(b);
        let valid = (b * context + first) * width..(b * context + first + length) * width;
        mask[valid.clone()].fill(1.0);
        targets[valid.clone()].copy_from_slice(&windows.actions[valid]);
    }
    let steps = match denominator {
        Denominator::Valid => windows.steps(),
        Denominator::All | Denominator::Steps => batch * context,
    };
    let mask = device.tensor_from_vec(mask, shape);
    let targets = device.tensor_from_vec(targets, shape);
    match objective {
        Objective::SquaredError => {
            let count = objective.count(denominator, steps, width).max(1);
            ((predictions - targets) * mask).square().sum() / count as f32
        }
        Objective::CrossEntropy => {
            let log_probabilities = predictions.log_softmax::<Axis<2>>();
            (log_probabilities * targets * mask).sum() / -(steps.max(1) as f32)
        }
    }
}
