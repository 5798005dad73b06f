//! What the caches of acting are made of: a row of numbers for each token.

use crate::buffer::Buffer;
use std::ops::Range;

/// The rows of tokens. Their width is an argument, because a cache is made before it is known.
#[derive(Debug, Default)]
pub(super) struct Rows(Buffer);

/// The numbers of some tokens.
fn numbers(width: usize, tokens: &Range<usize>) -> Range<usize> {
    tokens.start * width..tokens.end * width
}

impl Rows {
    /// Resizes them to this many tokens.
    pub(super) fn resize(&mut self, width: usize, tokens: usize) {
        self.0.resize(tokens * width);
    }

    /// Moves some tokens to the front and drops the others.
    pub(super) fn forget(&mut self, width: usize, kept: &Range<usize>) {
        self.0.copy_within(numbers(width, kept), 0);
    }

    /// The rows of some tokens.
    pub(super) fn of(&self, width: usize, tokens: &Range<usize>) -> &[f32] {
        &self.0[numbers(width, tokens)]
    }

    /// The rows of some tokens, to be written.
    pub(super) fn places(&mut self, width: usize, tokens: &Range<usize>) -> &mut [f32] {
        &mut self.0[numbers(width, tokens)]
    }
}
