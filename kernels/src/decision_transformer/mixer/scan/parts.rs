//! What is worked on together: pieces of a group's rows, and of each its sequences' parts.

use super::{Channels, Parameters, Weights};
use crate::decision_transformer::group::Sequence;
use crate::decision_transformer::mixer::Layer;
use crate::decision_transformer::network::Network;
use crate::selective_scan::{CHUNK, Problem, STATES, marks};
use std::ops::Range;

/// The tokens of a sequence that are in a piece.
pub(super) struct Part {
    /// Their rows, and those of their outputs.
    pub(super) rows: Range<usize>,
    pub(super) outputs: Range<usize>,
    /// Tokens of the sequence in front of them and behind them.
    pub(super) before: usize,
    pub(super) behind: usize,
    /// The first of them with an output, and the distance to the next.
    pub(super) requested: (usize, usize),
    /// What the scan notes of them, and so on to the end of the sequence.
    pub(super) marks: Range<usize>,
}

impl Part {
    fn of(
        at: &Parameters,
        layer: Layer<'_>,
        sequence: &Sequence,
        piece: &Range<usize>,
        first_mark: usize,
    ) -> Option<Self> {
        let all = sequence.token_rows();
        let rows = all.start.max(piece.start)..all.end.min(piece.end);
        if rows.is_empty() {
            return None;
        }
        let (first, stride) = at.requested(layer);
        let (before, behind) = (rows.start - all.start, all.end - rows.end);
        let outputs = |tokens: usize| tokens.saturating_sub(first).div_ceil(stride);
        let start = sequence.outputs(layer.last).start;
        let number = STATES * at.inner();
        let passed = (before / CHUNK).saturating_sub(1) * number;
        let end = first_mark + marks(sequence.tokens, at.inner());
        Some(Self {
            outputs: start + outputs(before)..start + outputs(before + rows.len()),
            rows,
            before,
            behind,
            requested: (first + stride * outputs(before) - before, stride),
            marks: first_mark + passed..end,
        })
    }
}

impl Part {
    /// The scan of its tokens.
    pub(super) fn problem<'a>(
        &self,
        at: &Parameters,
        network: Network<'a>,
        weights: &'a Weights,
        channels: &'a Channels,
    ) -> Problem<'a> {
        let (rows, requested) = (self.rows.clone(), self.requested);
        Problem {
            continues: self.before > 0,
            ..problem(at, network, weights, channels, rows, requested)
        }
    }
}

/// The parts of a piece, in order.
pub(super) fn parts<'a>(
    at: &'a Parameters,
    layer: Layer<'a>,
    piece: &'a Range<usize>,
) -> impl Iterator<Item = Part> + 'a {
    let mut first_mark = 0;
    layer.group.sequences.iter().filter_map(move |sequence| {
        let part = Part::of(at, layer, sequence, piece, first_mark);
        first_mark += marks(sequence.tokens, at.inner());
        part
    })
}

/// The rows of a piece's outputs.
pub(super) fn outputs(at: &Parameters, layer: Layer<'_>, piece: &Range<usize>) -> Range<usize> {
    let mut outputs = parts(at, layer, piece).map(|part| part.outputs);
    let first = outputs.next().unwrap_or_default();
    first.start..outputs.last().unwrap_or(first).end
}

/// The scan of some rows, of which the first begins a sequence or continues from a state.
pub(super) fn problem<'a>(
    at: &Parameters,
    network: Network<'a>,
    weights: &'a Weights,
    channels: &'a Channels,
    rows: Range<usize>,
    requested: (usize, usize),
) -> Problem<'a> {
    let (e, stride) = (at.inner(), at.row());
    Problem {
        width: e,
        u: &channels.u[rows.start * e..rows.end * e],
        steps: &channels.steps[rows.start * e..rows.end * e],
        inputs: &channels.inputs[rows.start * stride + at.rank()..],
        stride,
        decay: &weights.decay,
        skip: network.of(&at.skip),
        requested,
        continues: false,
    }
}
