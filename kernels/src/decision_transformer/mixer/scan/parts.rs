//! What is worked on together: pieces of a group's rows, and of each its sequences' parts.

use super::Parameters;
use crate::decision_transformer::group::Sequence;
use crate::decision_transformer::mixer::Layer;
use crate::selective_scan::{CHUNK, STATES, marks};
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
