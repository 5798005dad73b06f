//! The convolution in a running episode: a cache of the normed tokens in its reach.

use super::{Parameters, TokenSelection};
use crate::decision_transformer::mixer::rows::Rows;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use std::ops::Range;

/// One layer's normed input tokens.
#[derive(Debug, Default)]
pub(crate) struct Cache(Rows);

impl Cache {
    /// Resizes it to this many tokens.
    pub(in super::super) fn resize(&mut self, at: &Parameters, tokens: usize) {
        self.0.resize(at.width, tokens);
    }

    /// Moves some tokens to the front and drops the others.
    pub(in super::super) fn forget(&mut self, at: &Parameters, kept: &Range<usize>) {
        self.0.forget(at.width, kept);
    }

    /// The entries of some tokens.
    pub(in super::super) fn kept(&self, at: &Parameters, tokens: &Range<usize>) -> &[f32] {
        self.0.of(at.width, tokens)
    }

    /// The places of some tokens.
    pub(in super::super) fn places(
        &mut self,
        at: &Parameters,
        tokens: &Range<usize>,
    ) -> &mut [f32] {
        self.0.places(at.width, tokens)
    }
}

/// The branch of the newest tokens, of which the last is the `newest`-th of its step, from all kept
/// ones.
pub(in super::super) fn extend(
    at: &Parameters,
    network: Network<'_>,
    kept: &[f32],
    (requested, newest): (&Range<usize>, usize),
    branch: Branch<'_>,
) {
    at.convolve(network, kept, at.up_to(requested, newest), branch);
}

/// The branch of a run of tokens; the first cached one begins a step.
pub(in super::super) fn pass(
    at: &Parameters,
    network: Network<'_>,
    kept: &[f32],
    rows: &Range<usize>,
    branch: Branch<'_>,
) {
    let selection = TokenSelection {
        first: rows.start,
        stride: 1,
        kind: rows.start % at.condition.stride(),
    };
    at.convolve(network, kept, selection, branch);
}

/// The branch of the newest token, from all normed ones.
pub(in super::super) fn answer(
    at: &Parameters,
    network: Network<'_>,
    normed: &[f32],
    newest: usize,
    branch: Branch<'_>,
) {
    let tokens = normed.len() / at.width;
    let requested = at.up_to(&(tokens - 1..tokens), newest);
    at.convolve(network, normed, requested, branch);
}
