//! A naive embedding.

use super::{Condition, Parameters, Steps};
use crate::parameters::Pair;
use crate::real::Real;

/// A token's step, input and parameters.
fn token<'a>(at: &'a Parameters, steps: Steps<'a>, token: usize) -> (usize, &'a [f32], &'a Pair) {
    let step = token / at.stride();
    let kind = token % at.stride();
    let (of_return, of_observation) = match at.condition {
        Condition::Token | Condition::Nullable => (Some(0), 1),
        Condition::Adaln => (None, 0),
        Condition::Predicted { .. } => (Some(1), 0),
    };
    let (all, pair) = match &at.return_to_go {
        Some(pair) if Some(kind) == of_return => (steps.returns_to_go, pair),
        _ if kind == of_observation => (steps.observations, &at.observation),
        _ => (steps.actions, &at.action),
    };
    let width = all.len() / steps.timesteps.len();
    (step, &all[step * width..(step + 1) * width], pair)
}

/// tokens(n) x C.
pub fn forward<R: Real>(at: &Parameters, parameters: &[R], steps: Steps<'_>) -> Vec<R> {
    let c = at.width();
    let mut x = Vec::new();
    for row in 0..(at.stride() * steps.timesteps.len()).saturating_sub(1) {
        let (step, input, pair) = token(at, steps, row);
        let table = at.timestep.start + steps.timesteps[step] as usize * c;
        for e in 0..c {
            let mut sum = parameters[pair.bias.start + e] + parameters[table + e];
            for (i, input) in input.iter().enumerate() {
                sum += R::from_f64((*input).into()) * parameters[pair.weight.start + i * c + e];
            }
            x.push(sum);
        }
    }
    x
}

/// Adds the gradients of the embedding's parameters, from dx (tokens(n) x C), to `gradient`.
pub fn backward<R: Real>(at: &Parameters, steps: Steps<'_>, dx: &[R], gradient: &mut [R]) {
    let c = at.width();
    for (row, dx) in dx.chunks(c).enumerate() {
        let (step, input, pair) = token(at, steps, row);
        let table = at.timestep.start + steps.timesteps[step] as usize * c;
        for (e, d) in dx.iter().enumerate() {
            gradient[pair.bias.start + e] += *d;
            gradient[table + e] += *d;
            for (i, input) in input.iter().enumerate() {
                gradient[pair.weight.start + i * c + e] += R::from_f64((*input).into()) * *d;
            }
        }
    }
}
