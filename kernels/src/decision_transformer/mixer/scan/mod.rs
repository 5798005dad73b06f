//! A selective scan as a mixer (Decision Mamba, Ota 2024; the block of Mamba-1, Gu and Dao 2023):
//! each channel carries N numbers from token to token, and the tokens decide what is kept.
//!
//! With E = 2 C, r = ceil(C / 16), and n the normed tokens of a sequence, M x C:
//!
//! ```text
//! x = n Wx,  z = n Wz                       M x E each: the halves of one matrix, no bias
//! u = silu(filter(x))                       four taps and a bias for each channel
//! (d, B, C) = u Wi                          M x (r + N + N), no bias
//! Δ = ln(1 + e^(d Ws + bs))                 M x E
//! y = scan(u, Δ, B, C)                      with A = -e^log_decay
//! mix(n) = (y * silu(z)) Wo                 no bias, no dropout
//! ```
//!
//! A window of more tokens than a piece has is worked on piece by piece, so that what stands
//! between two products is in the cache. The gated numbers are computed again in backward.
//!
//! The ops between the products are [`selective_scan`](crate::selective_scan). Padding is
//! not computed: the memory is zero in front of a window's first valid step. In the last layer z, y
//! and all behind them have the rows of the observations only. Wi and Ws are f32 in either
//! precision, as all small products are.
//!
//! In acting ([`acting`]) the memory moves with the newest token while the window grows. Once it
//! slides, its first token has no memory before it, so the window is computed again.

pub(super) mod acting;
pub(super) mod backward;
pub(super) mod forward;
mod parts;
pub(super) mod reference;
pub(super) mod weights;

use super::Layer;
use crate::buffer::Buffer;
use crate::decision_transformer::shape::{Condition, Shape};
use crate::parameters::{Pair, Places};
use crate::selective_scan::{STATES, TAPS, cpu};
use std::ops::Range;

pub(crate) use weights::Weights;

/// E / C.
pub(crate) const EXPANSION: usize = 2;

/// r, for C.
pub(crate) fn rank(width: usize) -> usize {
    width.div_ceil(16)
}

/// Rows that a thread works on at a time: it keeps twice as many numbers of a token as attention.
pub(crate) fn rows_at_a_time(shape: &Shape) -> usize {
    shape.width.max(240)
}

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    width: usize,
    condition: Condition,
    /// Wx and Wz side by side, C x 2 E.
    input: Range<usize>,
    /// Taps, oldest first, x E, and right behind them the bias.
    filter: Pair,
    /// Wi, E x (r + 2 N).
    inputs: Range<usize>,
    /// Ws and bs, r x E.
    step: Pair,
    /// N x E.
    log_decay: Range<usize>,
    /// D, E.
    skip: Range<usize>,
    /// Wo, E x C.
    output: Range<usize>,
}

/// What forward keeps.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// In the last layer: the normed rows that ask.
    requested: Buffer,
    x: Buffer,
    z: Buffer,
    channels: Channels,
    y: Buffer,
    /// What the scans of the sequences note, concatenated.
    marks: Buffer,
}

/// What stands between the products, a row for each token.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    u: Buffer,
    /// d, B and C.
    inputs: Buffer,
    steps: Buffer,
}

/// Memory of a thread while it works on one layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    state: Buffer,
    scan: cpu::Scratch,
    gated: Buffer,
    y: Buffer,
    z: Buffer,
    u: Buffer,
    /// Of the first tokens of what was worked on before: of that behind, as backward goes.
    behind: Buffer,
    steps: Buffer,
    inputs: Buffer,
    x: Buffer,
    decay: Buffer,
    gathered: Buffer,
}

impl Channels {
    /// Makes room for this many tokens.
    fn resize(&mut self, at: &Parameters, tokens: usize) {
        self.u.resize(tokens * at.inner());
        self.inputs.resize(tokens * at.row());
        self.steps.resize(tokens * at.inner());
    }
}

impl Parameters {
    pub(super) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        let c = shape.width;
        let (e, r) = (EXPANSION.saturating_mul(c), rank(c));
        let mut matrix =
            |name: &str, dims: &[usize]| places.view(format!("{block}.scan.{name}"), dims);
        let input = matrix("input.weight", &[c, 2 * e]);
        let inputs = matrix("inputs.weight", &[e, r + 2 * STATES]);
        let log_decay = matrix("log_decay", &[STATES, e]);
        let skip = matrix("skip", &[e]);
        let output = matrix("output.weight", &[e, c]);
        Self {
            width: c,
            condition: shape.condition,
            input,
            inputs,
            log_decay,
            skip,
            output,
            filter: places.pair(&format!("{block}.scan.filter"), &[TAPS, e]),
            step: places.pair(&format!("{block}.scan.step"), &[r, e]),
        }
    }

    /// E.
    fn inner(&self) -> usize {
        EXPANSION * self.width
    }

    /// r.
    fn rank(&self) -> usize {
        rank(self.width)
    }

    /// r + 2 N: d, B and C of a token.
    fn row(&self) -> usize {
        self.rank() + 2 * STATES
    }

    /// The taps and the bias of the filter.
    fn bank(&self) -> Range<usize> {
        self.filter.weight.start..self.filter.bias.end
    }

    /// The first token of a sequence whose row is an output, and the distance to the next.
    fn requested(&self, layer: Layer<'_>) -> (usize, usize) {
        if layer.last {
            (self.condition.predicting_token(), self.condition.stride())
        } else {
            (0, 1)
        }
    }
}
