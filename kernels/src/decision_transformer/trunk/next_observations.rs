//! The head for each step's next observation, which learns with the others and has no part in
//! acting (kristery/Elastic-DT, `decision_transformer/model.py`).
//!
//! It reads what the action is predicted from, and the predicted action a itself:
//!
//! ```text
//! y[k] = [norm(x[k]), a[k]] W + b                W: (C + A) x S
//! loss = weight * mean |y[k] - s[k + 1]|^2       the mean is over steps and the S numbers
//! ```
//!
//! The gradient goes through the predicted action too, so the policy must be deterministic. For
//! discrete actions a are the logits.

use super::Model;
use super::memory::Memory;
use crate::buffer::Buffer;
use crate::decision_transformer::embedding;
use crate::decision_transformer::group::Group;
use crate::decision_transformer::windows::Windows;
use crate::loss::{self, Head, Objective};
use crate::precision::Precision;

/// What a thread keeps of this head.
#[derive(Debug, Default)]
pub(crate) struct NextObservations {
    /// The head's inputs, steps x (C + A), and the gradient there.
    inputs: Buffer,
    inputs_gradient: Buffer,
    /// Steps x S.
    predictions: Buffer,
    targets: Vec<f32>,
    gradient: Buffer,
    /// The gradient at the normed rows, steps x C.
    back: Buffer,
}

/// The part of the loss of a group, behind its forward, of batches with `steps` steps; keeps the
/// gradient. 0 without this head.
pub(crate) fn loss(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    steps: usize,
    memory: &mut Memory,
) -> f64 {
    let shape = model.network.shape;
    let (Some(weight), Some(head)) = (shape.next_observation, &model.layout.next_observation)
    else {
        return 0.0;
    };
    let (c, a, s) = (shape.width, shape.action, shape.observation);
    let NextObservations {
        inputs,
        predictions,
        targets,
        gradient,
        ..
    } = &mut memory.next_observations;
    let rows = memory.final_normed.len() / c;
    inputs.resize(rows * (c + a));
    let sources = (memory.final_normed.chunks(c)).zip(memory.predictions.chunks(a));
    for (row, (normed, action)) in inputs.chunks_mut(c + a).zip(sources) {
        row[..c].copy_from_slice(normed);
        row[c..].copy_from_slice(action);
    }
    predictions.resize(rows * s);
    let (matrix, bias) = (
        &model.weights.next_observation,
        model.network.of(&head.bias),
    );
    model
        .network
        .linear((inputs, c + a), matrix.all(), bias, predictions);
    targets.clear();
    for sequence in &group.sequences {
        (windows.next_observations(sequence.window)).for_each(|next| targets.extend(next));
    }
    gradient.resize(rows * s);
    // The head is linear, as that of logits.
    let (linear, objective) = (Head::Logits, Objective::SquaredError);
    let count = steps * s;
    let loss = loss::cpu::loss(linear, objective, predictions, targets, s, count, gradient);
    gradient.iter_mut().for_each(|dy| *dy *= weight);
    f64::from(weight) * loss
}

/// Adds the gradients of the head's parameters, and what comes through the predicted actions to
/// `memory.logits_gradient`; keeps the gradient at the normed rows for [`add_to_normed`].
pub(crate) fn backward(model: Model<'_>, memory: &mut Memory, parameters: &mut [f32]) {
    let Some(head) = &model.layout.next_observation else {
        return;
    };
    let (network, shape) = (model.network, model.network.shape);
    let (c, a) = (shape.width, shape.action);
    let NextObservations {
        inputs,
        inputs_gradient,
        gradient,
        back,
        ..
    } = &mut memory.next_observations;
    let factors = &mut memory.scratch.factors;
    let pair = (&**inputs, &**gradient);
    network.weight_gradient(Precision::F32, head, pair, factors, parameters);
    let weight = model.weights.next_observation_transposed.all();
    let to = (&mut *inputs_gradient, c + a);
    network.linear_backward((gradient, shape.observation), weight, to);
    back.resize(memory.final_normed.len());
    let rows = inputs_gradient.chunks(c + a).zip(back.chunks_mut(c));
    let actions = memory.predictions.chunks(a);
    let actions = actions.zip(memory.logits_gradient.chunks_mut(a));
    for ((row, back), (action, dz)) in rows.zip(actions) {
        back.copy_from_slice(&row[..c]);
        for ((dz, y), dy) in dz.iter_mut().zip(action).zip(&row[c..]) {
            *dz += dy * shape.head.slope(*y);
        }
    }
}

/// Adds what [`backward`] keeps to the gradient of the normed rows.
pub(crate) fn add_to_normed(model: Model<'_>, memory: &NextObservations, dnormed: &mut [f32]) {
    if model.layout.next_observation.is_some() {
        embedding::cpu::add(model.network.level, &memory.back, dnormed);
    }
}
