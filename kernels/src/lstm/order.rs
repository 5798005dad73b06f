//! Rows of several sequences, token after token.

use crate::buffer::Buffer;
use std::cmp::Reverse;

/// The first tokens of all sequences, then their second ones, and so on, each time with the longest
/// sequence first. So the sequences that have a token are the first rows of the token before, and
/// the rows of a token are a matrix.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The first row and the number of tokens of each sequence, the longest first.
    longest: Vec<(usize, usize)>,
    /// The place of each row.
    places: Vec<usize>,
    counts: Vec<usize>,
}

impl Order {
    /// Becomes the order of sequences with these numbers of tokens, whose rows are concatenated.
    pub(crate) fn fill(&mut self, tokens: impl Iterator<Item = usize>) {
        let mut rows = 0;
        self.longest.clear();
        for tokens in tokens {
            self.longest.push((rows, tokens));
            rows += tokens;
        }
        // No two have the same first row, unless one of them is empty.
        (self.longest).sort_unstable_by_key(|(start, tokens)| (Reverse(*tokens), *start));
        self.places.resize(rows, 0);
        self.counts.clear();
        let mut place = 0;
        for token in 0..self.longest.first().map_or(0, |(_, tokens)| *tokens) {
            let count = (self.longest).partition_point(|(_, tokens)| *tokens > token);
            for (at, (start, _)) in self.longest[..count].iter().enumerate() {
                self.places[start + token] = place + at;
            }
            self.counts.push(count);
            place += count;
        }
    }

    /// How many sequences have a first token, a second one, and so on.
    pub(crate) fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// The place of a row.
    pub(crate) fn place(&self, row: usize) -> usize {
        self.places[row]
    }

    /// Copies rows of concatenated sequences to their places.
    pub(crate) fn gather(&self, width: usize, from: &[f32], to: &mut Buffer) {
        to.resize(from.len());
        for (row, place) in from.chunks(width).zip(&self.places) {
            to[place * width..(place + 1) * width].copy_from_slice(row);
        }
    }

    /// The inverse of [`gather`](Self::gather).
    pub(crate) fn scatter(&self, width: usize, from: &[f32], to: &mut Buffer) {
        to.resize(from.len());
        for (row, place) in to.chunks_mut(width).zip(&self.places) {
            row.copy_from_slice(&from[place * width..(place + 1) * width]);
        }
    }
}
