//! The whole model for a group of sequences: tokens in, predictions out, gradients back.
//!
//! A *group* is a few windows whose valid tokens lie one behind the other as the rows of every matrix. It is the
//! unit of work of one thread: forward through all layers, loss, and backward, before the next group starts, so
//! no activation of more than one group exists in a thread. `forward` fills `memory::Memory`, `backward` reads
//! it and adds to a gradient of all parameters.
//!
//! A block has M rows of tokens and as many queries, except the last, where only the observations' rows go on:
//!
//! ```text
//! n1 = norm(x)                    M x C      q = n1 Wq + bq     queries x C      kv = n1 Wkv + bkv    M x 2 C
//! y  = x + drop(attention(q, kv) Wo + bo)     queries x C
//! x' = y + drop(f(norm(y) Wu + bu) Wd + bd)   queries x C
//! ```
//!
//! In training the last block mostly attends to n1 itself, without keys and values (`direct`).

pub(crate) mod backward;
mod direct;
pub(crate) mod forward;
pub(crate) mod memory;
pub mod reference;
pub(crate) mod weights;

use crate::kernels::attention::{Visible, cpu::Masked};
use crate::kernels::decision_transformer::embedding::tokens;
use crate::kernels::decision_transformer::layout::{Layout, Shape};
use crate::kernels::decision_transformer::windows::Windows;
use crate::kernels::dropout::{
    Dropout, Site,
    cpu::{Rate, Row},
};
use crate::kernels::precision::Precision;
use crate::kernels::simd::Level;
use std::ops::Range;
use weights::Weights;

/// The model as the kernels need it.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub(crate) level: Level,
    pub(crate) precision: Precision,
    pub(crate) shape: &'a Shape,
    pub(crate) layout: &'a Layout,
    pub(crate) parameters: &'a [f32],
    pub(crate) weights: &'a Weights,
    /// Does the last layer attend directly?
    pub(crate) direct: bool,
}

impl<'a> Model<'a> {
    /// Is this the layer where only observations ask?
    pub(crate) fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.shape.layers
    }

    pub(crate) fn of(&self, range: &Range<usize>) -> &'a [f32] {
        &self.parameters[range.clone()]
    }
}

/// One window in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) window: usize,
    pub(crate) steps: usize,
    /// The first valid step in the padded window.
    pub(crate) first_step: usize,
    /// The row of its first token, and of its first observation among the group's.
    pub(crate) token_row: usize,
    pub(crate) step_row: usize,
}

impl Sequence {
    pub(crate) fn token_rows(&self) -> Range<usize> {
        self.token_row..self.token_row + tokens(self.steps)
    }

    pub(crate) fn step_rows(&self) -> Range<usize> {
        self.step_row..self.step_row + self.steps
    }
}

/// Windows that are worked on together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) sequences: Vec<Sequence>,
    /// Rows of tokens.
    pub(crate) tokens: usize,
    /// The rows that hold observations.
    pub(crate) observations: Vec<usize>,
    /// Window and padded position of each row.
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
    pub(crate) fn push(&mut self, windows: &Windows<'_>, window: usize) {
        let steps = windows.lengths[window];
        if steps == 0 {
            return;
        }
        let first_step = windows.first_step(window);
        let (token_row, step_row) = (self.tokens, self.observations.len());
        self.sequences.push(Sequence {
            window,
            steps,
            first_step,
            token_row,
            step_row,
        });
        self.tokens += tokens(steps);
        self.places
            .extend((0..tokens(steps)).map(|token| (window, 3 * first_step + token)));
        self.observations
            .extend((0..steps).map(|step| token_row + 3 * step + 1));
    }

    /// The rows that a layer's queries come from: (how many, who sees whom).
    pub(crate) fn queries(&self, last: bool) -> (usize, Visible) {
        if last {
            (self.observations.len(), Visible::OBSERVATIONS)
        } else {
            (self.tokens, Visible::TOKENS)
        }
    }

    /// Fills `rows` with the random bits of each token, or of each observation, at a site.
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

/// The rate of a site, if anything is dropped there.
pub(crate) fn rate(dropout: Option<&Dropout>, site: Site) -> Option<Rate> {
    let probability = dropout?.probability(site);
    (probability > 0.0).then(|| Rate::new(probability))
}

/// The masks of a sequence's attention probabilities, if any is dropped.
pub(crate) fn masked<'a>(
    dropout: Option<&'a Dropout>,
    layer: usize,
    sequence: &Sequence,
) -> Option<Masked<'a>> {
    let dropout = dropout.filter(|dropout| dropout.probability_attention > 0.0)?;
    let first = 3 * sequence.first_step;
    Some(Masked {
        dropout,
        layer,
        window: sequence.window,
        first,
    })
}
