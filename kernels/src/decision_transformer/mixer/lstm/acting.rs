//! The memory of a running episode: what each token gives to the gates by itself, and h and c
//! behind the newest.

use super::forward::{add, project};
use super::{Parameters, Weights};
use crate::buffer::Buffer;
use crate::decision_transformer::mixer::rows::Rows;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::lstm::cpu::{self, Before, Sequences, Tokens};
use std::ops::Range;

/// What is kept of the tokens in front of one layer.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// a, 4 C numbers each.
    a: Rows,
    /// h, C numbers each, of tokens that the memory has [passed](advance).
    hidden: Rows,
    /// h and c behind the newest of these.
    newest_hidden: Buffer,
    newest_cells: Buffer,
}

/// That of some tokens.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept<'a> {
    a: &'a [f32],
    hidden: &'a [f32],
}

/// Scratch memory of a row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A one for each token: there is one sequence.
    counts: Vec<usize>,
    a: Buffer,
    gates: Buffer,
    cells: Buffer,
    hidden: Buffer,
}

impl Cache {
    /// Resizes it to this many tokens.
    pub(in super::super) fn resize(&mut self, at: &Parameters, tokens: usize) {
        self.a.resize(at.row(), tokens);
        self.hidden.resize(at.width, tokens);
        self.newest_hidden.resize(at.width);
        self.newest_cells.resize(at.width);
    }

    /// Moves some tokens to the front and drops the others.
    pub(in super::super) fn forget(&mut self, at: &Parameters, kept: &Range<usize>) {
        self.a.forget(at.row(), kept);
        self.hidden.forget(at.width, kept);
    }

    /// Some tokens.
    pub(in super::super) fn kept(&self, at: &Parameters, tokens: &Range<usize>) -> Kept<'_> {
        Kept {
            a: self.a.of(at.row(), tokens),
            hidden: self.hidden.of(at.width, tokens),
        }
    }

    /// The places of a of some tokens.
    pub(in super::super) fn places(
        &mut self,
        at: &Parameters,
        tokens: &Range<usize>,
    ) -> &mut [f32] {
        self.a.places(at.row(), tokens)
    }
}

impl Kept<'_> {
    /// Copies what later tokens need of some tokens.
    pub(in super::super) fn copy_past(self, to: &mut [f32]) {
        to.copy_from_slice(self.a);
    }
}

/// Keeps new tokens.
pub(in super::super) fn keep(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    normed: &[f32],
    to: &mut [f32],
) {
    project(at, network, weights, normed, to);
}

/// Moves the memory past new tokens, which are kept behind all others of the episode; in front of
/// row 0 it is empty.
pub(in super::super) fn advance(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    cache: &mut Cache,
    new: &Range<usize>,
    scratch: &mut Scratch,
) {
    let (c, a) = (at.width, cache.a.of(at.row(), new));
    let before = if new.start == 0 {
        Before::default()
    } else {
        Before {
            hidden: &cache.newest_hidden,
            cells: &cache.newest_cells,
        }
    };
    pass_memory(at, network, weights, before, a, scratch);
    let newest = (new.len() - 1) * c..new.len() * c;
    (cache.hidden.places(c, new)).copy_from_slice(&scratch.hidden);
    (cache.newest_hidden).copy_from_slice(&scratch.hidden[newest.clone()]);
    (cache.newest_cells).copy_from_slice(&scratch.cells[newest]);
}

/// h and c of some tokens, in scratch memory.
fn pass_memory(
    at: &Parameters,
    network: Network<'_>,
    weights: &Weights,
    before: Before<'_>,
    a: &[f32],
    scratch: &mut Scratch,
) {
    let (c, tokens) = (at.width, a.len() / at.row());
    let Scratch {
        counts,
        gates,
        cells,
        hidden,
        ..
    } = scratch;
    counts.resize(tokens, 1);
    gates.resize(a.len());
    gates.copy_from_slice(a);
    cells.resize(tokens * c);
    hidden.resize(tokens * c);
    let to = Tokens {
        gates,
        cells,
        hidden,
    };
    let sequence = Sequences { width: c, counts };
    cpu::forward(network.level, sequence, &weights.hidden, before, to);
}

/// The branch of a few tokens that the memory has passed.
pub(in super::super) fn extend(
    at: &Parameters,
    kept: Kept<'_>,
    requested: &Range<usize>,
    branch: Branch<'_>,
) {
    let c = at.width;
    let hidden = &kept.hidden[requested.start * c..requested.end * c];
    add(hidden, branch);
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
    let a = &kept.a[..rows.end * at.row()];
    pass_memory(at, network, weights, Before::default(), a, scratch);
    let hidden = &scratch.hidden[rows.start * at.width..];
    add(hidden, branch);
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
    let c = at.width;
    let mut a = std::mem::take(&mut scratch.a);
    a.resize(normed.len() / c * at.row());
    project(at, network, weights, normed, &mut a);
    pass_memory(at, network, weights, Before::default(), &a, scratch);
    let newest = scratch.hidden.len() - c;
    add(&scratch.hidden[newest..], branch);
    scratch.a = a;
}
