//! The scan of a running episode: what each token gives by itself, and the memory behind the
//! newest.

use super::forward::{choose, finish, multiply, output};
use super::parts::problem;
use super::{Channels, Parameters, Weights};
use crate::buffer::Buffer;
use crate::decision_transformer::mixer::rows::Rows;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::epilogue::Store;
use crate::linear::cpu::{Left, product};
use crate::selective_scan::{STATES, TAPS, cpu, elementwise};
use std::ops::Range;

/// What is kept of the tokens in front of one layer, E numbers each.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    x: Rows,
    z: Rows,
    /// y * silu(z), of tokens that the memory has [passed](advance).
    gated: Rows,
    /// h behind the newest of these, N x E.
    state: Buffer,
}

/// That of some tokens.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept<'a> {
    x: &'a [f32],
    z: &'a [f32],
    gated: &'a [f32],
}

/// Where that of some tokens goes.
#[derive(Default)]
pub(crate) struct Places<'a> {
    x: &'a mut [f32],
    z: &'a mut [f32],
}

/// Memory while a row is worked on.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    x: Buffer,
    z: Buffer,
    channels: Channels,
    y: Buffer,
    gated: Buffer,
    state: Buffer,
}

impl Cache {
    /// Makes it hold this many tokens.
    pub(in super::super) fn resize(&mut self, at: &Parameters, tokens: usize) {
        let e = at.inner();
        for rows in [&mut self.x, &mut self.z, &mut self.gated] {
            rows.resize(e, tokens);
        }
        self.state.resize(STATES * e);
    }

    /// Moves some tokens to the front.
    pub(in super::super) fn forget(&mut self, at: &Parameters, kept: &Range<usize>) {
        for rows in [&mut self.x, &mut self.z, &mut self.gated] {
            rows.forget(at.inner(), kept);
        }
    }

    /// Some tokens.
    pub(in super::super) fn kept(&self, at: &Parameters, tokens: &Range<usize>) -> Kept<'_> {
        let e = at.inner();
        Kept {
            x: self.x.of(e, tokens),
            z: self.z.of(e, tokens),
            gated: self.gated.of(e, tokens),
        }
    }

    /// The places of some tokens.
    pub(in super::super) fn places(
        &mut self,
        at: &Parameters,
        tokens: &Range<usize>,
    ) -> Places<'_> {
        let e = at.inner();
        Places {
            x: self.x.places(e, tokens),
            z: self.z.places(e, tokens),
        }
    }
}

impl Places<'_> {
    /// Copies what later tokens need of some tokens.
    pub(in super::super) fn copy_past(self, from: Kept<'_>) {
        self.x.copy_from_slice(from.x);
    }
}

/// Keeps new tokens.
pub(in super::super) fn keep(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    to: Places<'_>,
) {
    let (c, stride) = (at.width, at.inner());
    for (weight, to) in [(&weights.x, to.x), (&weights.z, to.z)] {
        let left = Left::rows(normed, normed.len() / c, c);
        product(network.level, left, weight.all(), Store { to, stride });
    }
}

/// Moves the memory past new tokens, which are kept behind all others of the episode; from row 0 on
/// it is empty.
pub(in super::super) fn advance(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    cache: &mut Cache,
    new: &Range<usize>,
    scratch: &mut Scratch,
) {
    let e = at.inner();
    if new.start == 0 {
        cache.state.fill(0.0);
    }
    let first = new.start.saturating_sub(TAPS - 1);
    let x = cache.x.of(e, &(first..new.end));
    filter(at, network, (x, new.start - first), &mut scratch.channels);
    let (all, requested) = (0..new.len(), (0, 1));
    choose(at, network, weights, &mut scratch.channels, all.clone());
    let problem = problem(at, network, weights, &scratch.channels, all, requested);
    scratch.y.resize(new.len() * e);
    let y = &mut scratch.y;
    cpu::forward(network.level, problem, &mut cache.state, &mut [], y);
    let gated = cache.gated.places(e, new);
    elementwise::gate(network.level, y, cache.z.of(e, new), gated);
}

/// u of the tokens of x behind its first `before`.
fn filter(
    at: &Parameters,
    network: Network<'_>,
    (x, before): (&[f32], usize),
    channels: &mut Channels,
) {
    let e = at.inner();
    channels.resize(at, x.len() / e - before);
    let (bank, u) = (network.of(&at.bank()), &mut channels.u);
    elementwise::filter(network.level, e, bank, before, x, u);
}

/// The branch of a few tokens that the memory has passed.
pub(in super::super) fn extend(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    kept: Kept<'_>,
    requested: &Range<usize>,
    branch: Branch<'_>,
) {
    let e = at.inner();
    let gated = &kept.gated[requested.start * e..requested.end * e];
    output(at, network, weights, gated, branch);
}

/// The branch of a run of tokens, with the memory empty in front of the first kept one.
pub(in super::super) fn pass(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    kept: Kept<'_>,
    rows: &Range<usize>,
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let e = at.inner();
    let x = &kept.x[..rows.end * e];
    let z = &kept.z[rows.start * e..rows.end * e];
    whole(at, network, weights, (x, z), scratch, branch);
}

/// The branch of the newest token, from all normed ones.
pub(in super::super) fn answer(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let (c, e) = (at.width, at.inner());
    let (mut x, mut z) = (
        std::mem::take(&mut scratch.x),
        std::mem::take(&mut scratch.z),
    );
    x.resize(normed.len() / c * e);
    z.resize(e);
    multiply(network, (normed, c), &weights.x, (&mut x, e));
    let newest = &normed[normed.len() - c..];
    multiply(network, (newest, c), &weights.z, (&mut z, e));
    whole(at, network, weights, (&x, &z), scratch, branch);
    (scratch.x, scratch.z) = (x, z);
}

/// The branch of the last tokens of x, as many as z has, with the memory empty in front of the
/// first.
fn whole(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    (x, z): (&[f32], &[f32]),
    scratch: &mut Scratch,
    branch: Branch<'_>,
) {
    let e = at.inner();
    let tokens = x.len() / e;
    filter(at, network, (x, 0), &mut scratch.channels);
    choose(at, network, weights, &mut scratch.channels, 0..tokens);
    let requested = (tokens - z.len() / e, 1);
    let problem = problem(
        at,
        network,
        weights,
        &scratch.channels,
        0..tokens,
        requested,
    );
    scratch.state.resize(STATES * e);
    scratch.state.fill(0.0);
    scratch.y.resize(z.len());
    let (y, state) = (&mut scratch.y, &mut scratch.state);
    cpu::forward(network.level, problem, state, &mut [], y);
    finish(at, network, weights, (y, z), &mut scratch.gated, branch);
}
