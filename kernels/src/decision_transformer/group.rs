//! The unit of work of one thread: a few windows whose valid tokens, concatenated, are the rows of
//! every matrix.

use super::shape::{Condition, Shape};
use super::windows::Windows;
use crate::buffer::Buffer;
use crate::dropout::cpu::{Masks, Rate, Row};
use crate::dropout::{self, Dropout, Site};
use crate::simd::Level;
use std::ops::Range;

/// One window in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) window: usize,
    pub(crate) steps: usize,
    pub(crate) tokens: usize,
    /// The first valid step in the padded window, and the first token of that step.
    pub(crate) first_step: usize,
    pub(crate) first_token: usize,
    /// The row of its first token, and the index of its first observation in the group.
    pub(crate) token_row: usize,
    pub(crate) step_row: usize,
}

impl Sequence {
    pub(crate) fn token_rows(&self) -> Range<usize> {
        self.token_row..self.token_row + self.tokens
    }

    pub(crate) fn step_rows(&self) -> Range<usize> {
        self.step_row..self.step_row + self.steps
    }

    /// The rows of this sequence in a layer's output.
    pub(crate) fn outputs(&self, last: bool) -> Range<usize> {
        if last {
            self.step_rows()
        } else {
            self.token_rows()
        }
    }
}

/// Windows that are processed together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) sequences: Vec<Sequence>,
    /// The number of token rows.
    pub(crate) tokens: usize,
    /// The rows that are observations.
    pub(crate) observations: Vec<usize>,
    /// The window of each row, and its position in the padded window.
    places: Vec<(usize, usize)>,
}

impl Group {
    pub(crate) fn clear(&mut self) {
        self.sequences.clear();
        self.observations.clear();
        self.places.clear();
        self.tokens = 0;
    }

    /// Adds a window; one without valid steps adds nothing.
    pub(crate) fn push(&mut self, condition: Condition, windows: &Windows<'_>, window: usize) {
        let steps = windows.lengths[window];
        if steps == 0 {
            return;
        }
        let first_step = windows.first_step(window);
        let (stride, tokens) = (condition.stride(), condition.tokens(steps));
        let first_token = stride * first_step;
        let (token_row, step_row) = (self.tokens, self.observations.len());
        self.sequences.push(Sequence {
            window,
            steps,
            tokens,
            first_step,
            first_token,
            token_row,
            step_row,
        });
        self.tokens += tokens;
        self.places
            .extend((0..tokens).map(|token| (window, first_token + token)));
        let observation = token_row + condition.predicting_token();
        self.observations
            .extend((0..steps).map(|step| observation + stride * step));
    }

    /// The number of rows in a layer's output: all tokens, or in the last layer the observations.
    pub(crate) fn outputs(&self, last: bool) -> usize {
        if last {
            self.observations.len()
        } else {
            self.tokens
        }
    }

    /// Copies the observations' rows.
    pub(crate) fn gather_observations(&self, from: &[f32], width: usize, to: &mut Buffer) {
        to.resize(self.observations.len() * width);
        for (row, to) in self.observations.iter().zip(to.chunks_mut(width)) {
            to.copy_from_slice(&from[row * width..(row + 1) * width]);
        }
    }

    /// Fills `rows` with the random bits of each token (of each observation, in the last layer) at
    /// a dropout site.
    pub(crate) fn rows(&self, dropout: &Dropout, site: Site, last: bool, rows: &mut Vec<Row>) {
        let row = |(window, token): &(usize, usize)| Row::new(dropout.key, site, *window, *token);
        rows.clear();
        if last {
            rows.extend(self.observations.iter().map(|at| row(&self.places[*at])));
        } else {
            rows.extend(self.places.iter().map(row));
        }
    }
}

/// Rows that a thread works on at a time: enough to amortise the memory traffic of weights and
/// their gradients, few enough that what stands between two products stays in the cache.
pub(crate) fn rows_at_a_time(shape: &Shape) -> usize {
    shape.width.max(384)
}

/// Cuts rows into pieces of at most about `most`, equally long but the last; a length suits all
/// register tiles and the chunks of a scan.
pub(crate) fn pieces(
    rows: usize,
    most: usize,
) -> impl DoubleEndedIterator<Item = Range<usize>> + use<> {
    const MULTIPLE: usize = 24;
    let count = rows.div_ceil(most).max(1);
    let length = rows.div_ceil(count).next_multiple_of(MULTIPLE);
    let starts = (0..rows).step_by(length.max(1));
    starts.map(move |start| start..rows.min(start + length))
}

/// The rate of a dropout site, if it is not zero.
pub(crate) fn rate(dropout: Option<&Dropout>, site: Site) -> Option<Rate> {
    let probability = dropout?.probability(site);
    (probability > 0.0).then(|| Rate::new(probability))
}

/// The gradient before dropout: `dy` itself if nothing was dropped.
pub(crate) fn undrop<'a>(
    level: Level,
    masks: Option<Masks<'_>>,
    dy: &'a [f32],
    memory: &'a mut Buffer,
) -> &'a [f32] {
    let Some(masks) = masks else {
        return dy;
    };
    memory.resize(dy.len());
    dropout::cpu::apply(level, masks, dy, memory);
    memory
}
