//! A long short-term memory as a mixer (PyTorch's `nn.LSTM` with one layer): the first model of
//! sequences with a memory, as a baseline for those after it.
//!
//! With n the normed tokens of a sequence, M x C:
//!
//! ```text
//! a = n Wi + b                M x 4 C: the gates i, f, g and o side by side
//! h = recurrence(a, Wh)       M x C
//! mix(n) = h                  no projection, no dropout
//! ```
//!
//! The recurrence is [`lstm`](crate::lstm). PyTorch has two biases, of which only the sum
//! has an effect; here b is that sum. Padding is not computed: the memory is zero in front of a
//! window's first valid step. In the last layer h is computed for all tokens, and the observations'
//! rows continue. Products with Wi follow the precision; those with Wh are f32 in either, because
//! they follow each other.
//!
//! In acting ([`acting`]) the memory moves with the newest token while the window grows. Once it
//! slides, its first token has no memory before it, so the window is computed again.

pub(super) mod acting;
pub(super) mod backward;
pub(super) mod forward;
pub(super) mod reference;
pub(super) mod weights;

use crate::buffer::Buffer;
use crate::decision_transformer::shape::Shape;
use crate::lstm::cpu::{Kept, Sequences};
use crate::lstm::{GATES, Order};
use crate::parameters::{Pair, Places};
use std::ops::Range;

pub(crate) use weights::Weights;

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    width: usize,
    /// Wi, C x 4 C, and b.
    input: Pair,
    /// Wh, C x 4 C.
    hidden: Range<usize>,
}

/// What the forward pass stores, a row for each token in the order of the recurrence.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    order: Order,
    /// The normed tokens.
    inputs: Buffer,
    gates: Buffer,
    cells: Buffer,
    hidden: Buffer,
}

/// Scratch memory of a thread in one layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The gradients of h, of a, and of the normed tokens.
    hidden: Buffer,
    gates: Buffer,
    inputs: Buffer,
    /// For each sequence.
    carried: Buffer,
    /// h of the tokens before.
    before: Buffer,
}

impl Parameters {
    pub(super) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        let c = shape.width;
        let matrix = [c, GATES.saturating_mul(c)];
        Self {
            width: c,
            input: places.pair(&format!("{block}.lstm.input"), &matrix),
            hidden: places.view(format!("{block}.lstm.hidden.weight"), &matrix),
        }
    }

    /// Numbers in a row of gates.
    fn row(&self) -> usize {
        GATES * self.width
    }

    /// Sequences in this order.
    fn sequences<'a>(&self, order: &'a Order) -> Sequences<'a> {
        Sequences {
            width: self.width,
            counts: order.counts(),
        }
    }
}

impl Tape {
    fn kept(&self) -> Kept<'_> {
        Kept {
            gates: &self.gates,
            cells: &self.cells,
            hidden: &self.hidden,
        }
    }
}
