//! The deviations of a stochastic policy, and its loss ([`likelihood`]).
//!
//! The head's outputs are raw means then. Raw deviations come from a second head on the same rows,
//! or are parameters:
//!
//! ```text
//! z[k] = norm(x[k]) W + b,    l[k] = norm(x[k]) V + v   or   l, for all steps
//! ```

use super::Model;
use super::memory::Memory;
use crate::buffer::Buffer;
use crate::decision_transformer::embedding;
use crate::decision_transformer::group::Group;
use crate::decision_transformer::layout::LogSigma;
use crate::decision_transformer::network::Factors;
use crate::likelihood::{self, Deviation, Entropy, Likelihood, LikelihoodScales, Numbers};
use crate::precision::Precision;

/// What a thread keeps of a stochastic policy.
#[derive(Debug, Default)]
pub(crate) struct Deviations {
    /// z, steps x A.
    means: Buffer,
    /// l, steps x A or A, and the gradient there.
    raw: Buffer,
    gradient: Buffer,
    noise: Vec<f32>,
    back: Buffer,
}

/// With the head's outputs in `memory.predictions`: keeps them as means, and computes the raw
/// deviations.
pub(crate) fn forward(model: Model<'_>, memory: &mut Memory) {
    if model.layout.log_sigma.is_none() {
        return;
    }
    let Deviations { means, raw, .. } = &mut memory.deviations;
    means.resize(memory.predictions.len());
    means.copy_from_slice(&memory.predictions);
    compute(model, &memory.final_normed, raw);
}

/// The raw deviations of normed rows: rows x A or, if they are free, A. None for a deterministic
/// policy.
pub(crate) fn compute(model: Model<'_>, normed: &[f32], raw: &mut Buffer) {
    let network = model.network;
    match &model.layout.log_sigma {
        None => raw.resize(0),
        Some(LogSigma::Head(head)) => {
            let (c, a) = (network.shape.width, network.shape.action);
            raw.resize(normed.len() / c * a);
            let (weight, bias) = (model.weights.log_sigma.all(), network.of(&head.bias));
            network.linear((normed, c), weight, bias, raw);
        }
        Some(LogSigma::Free(range)) => {
            raw.resize(range.len());
            raw.copy_from_slice(network.of(range));
        }
    }
}

/// The part of the loss of a group, behind its forward, with the actions in `memory.targets`;
/// writes the gradient at the means to `memory.logits_gradient` and keeps that at the deviations.
pub(crate) fn loss(
    (model, deviation): (Model<'_>, Deviation),
    group: &Group,
    (entropy, count): (Entropy, usize),
    memory: &mut Memory,
) -> Likelihood {
    let shape = model.network.shape;
    let Memory {
        deviations,
        targets,
        logits_gradient,
        ..
    } = memory;
    let Deviations {
        means,
        raw,
        gradient,
        noise,
        ..
    } = deviations;
    logits_gradient.resize(means.len());
    gradient.resize(raw.len());
    if deviation == Deviation::Squashed {
        noise.resize(means.len(), 0.0);
        let mut rows = noise.chunks_mut(shape.action);
        for sequence in &group.sequences {
            let steps = sequence.first_step..sequence.first_step + sequence.steps;
            for (step, row) in steps.zip(&mut rows) {
                likelihood::noise(entropy.key, sequence.window, step, row);
            }
        }
    }
    let scales = LikelihoodScales {
        deviation,
        largest: shape.largest_action(),
        temperature: entropy.temperature,
        count,
        action: shape.action,
    };
    let numbers = Numbers {
        means,
        raw,
        actions: targets,
        noise,
    };
    likelihood::cpu::loss(scales, numbers, logits_gradient, gradient)
}

/// Adds the gradients of the raw deviations: of the parameters, and of the normed rows.
pub(crate) fn backward(
    model: Model<'_>,
    (normed, dnormed): (&[f32], &mut [f32]),
    deviations: &mut Deviations,
    factors: &mut Factors,
    parameters: &mut [f32],
) {
    let network = model.network;
    let Deviations { gradient, back, .. } = deviations;
    match &model.layout.log_sigma {
        None => {}
        Some(LogSigma::Head(head)) => {
            let (c, a) = (network.shape.width, network.shape.action);
            let pair = (normed, &**gradient);
            network.weight_gradient(Precision::F32, head, pair, factors, parameters);
            let weight = model.weights.log_sigma_transposed.all();
            network.linear_backward((gradient, a), weight, (back, c));
            embedding::cpu::add(network.level, back, dnormed);
        }
        Some(LogSigma::Free(range)) => {
            embedding::cpu::add(network.level, gradient, &mut parameters[range.clone()]);
        }
    }
}
