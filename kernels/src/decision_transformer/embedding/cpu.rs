//! The embedding as interleaved matrix products.

use super::{Parameters, Steps};
use crate::epilogue::{Accumulate, Finish};
use crate::linear::cpu::{Left, Panels, product};
use crate::parameters::Pair;
use crate::simd::{Level, Simd, dispatched};

/// The kinds of tokens: their inputs, how many a sequence has, and their weights.
fn kinds<'a>(
    at: &'a Parameters,
    steps: Steps<'a>,
) -> impl Iterator<Item = (&'a [f32], usize, &'a Pair)> {
    let n = steps.timesteps.len();
    let returns = (at.return_to_go.as_ref()).map(|pair| (steps.returns_to_go, n, pair));
    let (before, behind) = at.around_the_observation(returns);
    (before.into_iter())
        .chain([(steps.observations, n, &at.observation)])
        .chain(behind)
        .chain([(steps.actions, n.saturating_sub(1), &at.action)])
}

/// Packs the weights of each kind.
pub(crate) fn pack(level: Level, at: &Parameters, parameters: &[f32], panels: &mut [Panels; 3]) {
    for (pair, panels) in at.kinds().zip(panels) {
        let c = pair.bias.len();
        let weight = &parameters[pair.weight.clone()];
        panels.pack(level, weight, c, weight.len() / c, c, None);
    }
}

/// Writes x, tokens(n) x C.
pub(crate) fn forward(
    level: Level,
    at: &Parameters,
    parameters: &[f32],
    panels: &[Panels; 3],
    steps: Steps<'_>,
    x: &mut [f32],
) {
    for (kind, (input, rows, pair)) in kinds(at, steps).enumerate() {
        if rows > 0 {
            let to = &mut x[kind * pair.bias.len()..];
            let timesteps = &steps.timesteps[..rows];
            embed(
                level,
                at,
                parameters,
                (pair, &panels[kind]),
                input,
                timesteps,
                to,
            );
        }
    }
}

/// Writes one token, C numbers: the `kind`-th of its step.
pub(crate) fn forward_one(
    level: Level,
    at: &Parameters,
    parameters: &[f32],
    panels: &[Panels; 3],
    (kind, input): (usize, &[f32]),
    timestep: u32,
    x: &mut [f32],
) {
    if let Some(pair) = at.kinds().nth(kind) {
        let kind = (pair, &panels[kind]);
        embed(level, at, parameters, kind, input, &[timestep], x);
    }
}

/// Writes the tokens of one kind to every p-th row, one for each timestep.
fn embed(
    level: Level,
    at: &Parameters,
    parameters: &[f32],
    (pair, panels): (&Pair, &Panels),
    input: &[f32],
    timesteps: &[u32],
    to: &mut [f32],
) {
    let width = pair.bias.len();
    let finish = Embed {
        bias: &parameters[pair.bias.clone()],
        table: &parameters[at.timestep.clone()],
        timesteps,
        to,
        stride: at.stride() * width,
        width,
    };
    let left = Left::rows(input, timesteps.len(), pair.weight.len() / width);
    product(level, left, panels.all(), finish);
}

/// Adds the gradients of the embedding's parameters, from dx (tokens(n) x C), to `gradient`.
pub(crate) fn backward(
    level: Level,
    at: &Parameters,
    steps: Steps<'_>,
    dx: &[f32],
    gradient: &mut [f32],
    scratch: &mut Panels,
) {
    let stride = at.stride() * at.width();
    for (kind, (input, rows, pair)) in kinds(at, steps).enumerate() {
        if rows == 0 {
            continue;
        }
        let c = pair.bias.len();
        let sums = &mut gradient[pair.bias.clone()];
        scratch.pack(level, &dx[kind * c..], stride, rows, c, Some(sums));
        let finish = Accumulate {
            to: &mut gradient[pair.weight.clone()],
            stride: c,
        };
        let left = Left::columns(input, rows, pair.weight.len() / c);
        product(level, left, scratch.all(), finish);
    }
    let c = at.width();
    for (timestep, dx) in steps.timesteps.iter().zip(dx.chunks(stride)) {
        let start = at.timestep.start + *timestep as usize * c;
        for dx in dx.chunks(c) {
            add(level, dx, &mut gradient[start..start + c]);
        }
    }
}

dispatched! {
    /// to += x
    pub(crate) fn add(x: &[f32], to: &mut [f32]) = add_with;
}

#[inline(always)]
fn add_with<S: Simd>(s: S, x: &[f32], to: &mut [f32]) {
    for (x, to) in x.chunks(S::LANES).zip(to.chunks_mut(S::LANES)) {
        s.store(s.add(s.load(to), s.load(x)), to);
    }
}

/// Every p-th row of to = product + bias + the timestep's row of the table.
struct Embed<'a> {
    bias: &'a [f32],
    table: &'a [f32],
    timesteps: &'a [u32],
    to: &'a mut [f32],
    /// Distance between rows of the same kind.
    stride: usize,
    width: usize,
}

impl Finish for Embed<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let time = self.timesteps[row] as usize * self.width + column;
        let time = s.load(&self.table[time..time + lanes]);
        let bias = s.load(&self.bias[column..column + lanes]);
        let at = row * self.stride + column;
        s.store(
            s.add(s.add(value, bias), time),
            &mut self.to[at..at + lanes],
        );
    }
}
