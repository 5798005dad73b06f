//! The second head: each step's return-to-go from its observation token ([`Condition::Predicted`]).
//!
//! Actions and returns are predicted from different tokens, so all tokens go through the last
//! layer:
//!
//! ```text
//! y[k] = norm(x[3 k]) W + b              norm: the last norm, which the action's token has too
//! ```
//!
//! y is a return-to-go, and the loss is [`expectile`] regression on those of the data; or it is the
//! logits of [`bins`](super::super::bins), and the loss is the cross-entropy of the data's. Behind
//! the logits there may be an estimate, again an expectile of the return-to-go, whose errors are
//! not scaled (kristery/Elastic-DT, `scripts/train_edt.py`).

use super::Model;
use super::memory::Memory;
use crate::buffer::Buffer;
use crate::decision_transformer::bins;
use crate::decision_transformer::group::Group;
use crate::decision_transformer::shape::{Condition, Estimate, Prediction};
use crate::decision_transformer::windows::Windows;
use crate::expectile::{self, Scales};
use crate::loss::{self, Head, Objective};
use crate::precision::Precision;

/// What a thread keeps of the second head.
#[derive(Debug, Default)]
pub(crate) struct Returns {
    /// The tokens that actions are predicted from, behind the last block.
    pub(crate) predicting: Buffer,
    observations: Buffer,
    normed: Buffer,
    statistics: Vec<[f32; 2]>,
    predictions: Buffer,
    gradient: Buffer,
    /// Returns-to-go, or a one in the place of a step's bin.
    targets: Vec<f32>,
}

/// Copies of each step the token that its action is predicted from, and the observation's.
pub(crate) fn gather(model: Model<'_>, group: &Group, memory: &mut Memory) {
    let c = model.network.shape.width;
    let (x, returns) = (
        &memory.streams[model.layout.blocks.len()],
        &mut memory.returns,
    );
    group.gather_observations(x, c, &mut returns.predicting);
    returns.observations.resize(returns.predicting.len());
    let to = returns.observations.chunks_mut(c);
    for (row, to) in observations(model, group).zip(to) {
        to.copy_from_slice(&x[row * c..(row + 1) * c]);
    }
}

/// The rows of the observations' tokens.
fn observations<'a>(model: Model<'_>, group: &'a Group) -> impl Iterator<Item = usize> + 'a {
    let behind = model.network.shape.condition.predicting_token();
    group.observations.iter().map(move |row| row - behind)
}

/// The numbers that the head gives for each row of x, C numbers each.
pub(crate) fn predict(
    model: Model<'_>,
    x: &[f32],
    (normed, statistics): (&mut Buffer, &mut Vec<[f32; 2]>),
    predictions: &mut [f32],
) {
    let network = model.network;
    let Some(head) = &model.layout.return_head else {
        return;
    };
    network.norm(&model.layout.final_norm, x, normed, statistics);
    let x = (&**normed, network.shape.width);
    let bias = network.of(&head.bias);
    network.linear(x, model.weights.return_head.all(), bias, predictions);
}

/// The part of the loss of a group, behind its forward; keeps the gradient. 0 without this head.
pub(crate) fn loss(
    model: Model<'_>,
    group: &Group,
    windows: &Windows<'_>,
    (scale, count): (f64, usize),
    memory: &mut Memory,
) -> f64 {
    let Condition::Predicted {
        prediction, weight, ..
    } = model.network.shape.condition
    else {
        return 0.0;
    };
    let Returns {
        observations,
        normed,
        statistics,
        predictions,
        gradient,
        targets,
        ..
    } = &mut memory.returns;
    let (rows, numbers) = (group.observations.len(), prediction.numbers());
    predictions.resize(rows * numbers);
    predict(model, observations, (normed, statistics), predictions);
    gradient.resize(rows * numbers);
    let sequences = || group.sequences.iter();
    let found = sequences().flat_map(|at| windows.sequence(at.window).returns_to_go);
    let (loss, estimate) = match prediction {
        Prediction::Expectile(expectile) => {
            targets.clear();
            targets.extend(found);
            let scales = Scales {
                expectile,
                scale,
                count,
            };
            let loss = expectile::cpu::loss(scales, predictions, targets, gradient);
            (loss, None)
        }
        Prediction::Bins { bins, estimate, .. } => {
            let rows = predictions.chunks(numbers).zip(found);
            let rows = rows.zip(gradient.chunks_mut(numbers));
            let (head, objective) = (Head::Logits, Objective::CrossEntropy);
            let losses = rows.map(|((y, found), dy)| {
                targets.clear();
                targets.resize(bins, 0.0);
                targets[bins::of_number(*found, bins)] = 1.0;
                let (y, dy) = (&y[..bins], &mut dy[..bins]);
                loss::cpu::loss(head, objective, y, targets, bins, count, dy)
            });
            (losses.sum(), estimate)
        }
    };
    gradient.iter_mut().for_each(|dy| *dy *= weight);
    let mut total = f64::from(weight) * loss;
    if let Some(Estimate { expectile, weight }) = estimate {
        let scales = Scales {
            expectile,
            scale: 1.0,
            count,
        };
        let found = sequences().flat_map(|at| windows.unbinned_returns(at.window));
        let rows = predictions
            .chunks(numbers)
            .zip(gradient.chunks_mut(numbers));
        for ((y, dy), found) in rows.zip(found) {
            let (y, dy) = (&y[numbers - 1..], &mut dy[numbers - 1..]);
            total += f64::from(weight) * expectile::cpu::loss(scales, y, &[*found], dy);
            dy[0] *= weight;
        }
    }
    total
}

/// With the gradient at the tokens that actions are predicted from in `scratch.stream`: makes it
/// that of all tokens.
pub(crate) fn backward(
    model: Model<'_>,
    group: &Group,
    memory: &mut Memory,
    parameters: &mut [f32],
) {
    let (network, layout) = (model.network, model.layout);
    let Some(head) = &layout.return_head else {
        return;
    };
    let c = network.shape.width;
    let scratch = &mut memory.scratch;
    let Returns {
        observations: x,
        normed,
        statistics,
        gradient,
        ..
    } = &mut memory.returns;
    let pair = (&**normed, &**gradient);
    let factors = &mut scratch.factors;
    network.weight_gradient(Precision::F32, head, pair, factors, parameters);
    let weight = model.weights.return_head_transposed.all();
    let numbers = head.bias.len();
    network.linear_backward((gradient, numbers), weight, (&mut scratch.normed, c));
    // The normed rows are not read any more.
    normed.fill(0.0);
    let (norm, given) = (&layout.final_norm, (&**x, &**statistics));
    network.norm_backward(norm, given, &scratch.normed, normed, parameters);
    let all = &mut scratch.branch;
    all.resize(group.tokens * c);
    all.fill(0.0);
    let rows = (group.observations.iter().copied()).zip(scratch.stream.chunks(c));
    for (row, from) in rows.chain(observations(model, group).zip(normed.chunks(c))) {
        all[row * c..(row + 1) * c].copy_from_slice(from);
    }
    std::mem::swap(&mut scratch.stream, &mut scratch.branch);
}
