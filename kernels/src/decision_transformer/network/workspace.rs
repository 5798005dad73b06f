//! Parts of the gradient that thread blocks of a device write, before they are summed.

use crate::adamw::cuda::{Piece, pieces};
use crate::device::backend::Address;
use crate::layer_norm::cuda::blocks as norm_blocks;
use crate::linear::cuda::{Slices, slices};
use crate::parameters::Pair;
use std::ops::Range;

/// Lays out the workspace, which begins at an address.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) at: Address,
    /// Numbers laid out so far.
    pub(crate) words: usize,
    /// Which part is added to which parameter.
    pub(crate) pieces: Vec<Piece>,
}

impl Workspace {
    /// An empty workspace.
    pub(crate) fn new(at: Address) -> Self {
        Self {
            at,
            words: 0,
            pieces: Vec::new(),
        }
    }

    /// Space for `count` parts of the gradient of some parameters, from 16 bytes on.
    pub(crate) fn take(&mut self, range: &Range<usize>, count: usize) -> Address {
        let from = self.words;
        self.pieces.extend(pieces(range, from, count));
        self.words += (range.len() * count).next_multiple_of(4);
        self.at.words(from)
    }

    /// Space for a weight and a bias, whose products have this many rows.
    pub(crate) fn linear(&mut self, pair: &Pair, rows: usize) -> Slices {
        let outputs = pair.bias.len();
        let count = slices(pair.weight.len() / outputs, outputs, rows);
        Slices {
            count,
            weight: self.take(&pair.weight, count),
            stride: outputs,
            weight_slice: pair.weight.len(),
            bias: self.take(&pair.bias, count),
            bias_slice: outputs,
        }
    }

    /// Space for the gain and the bias of a norm of this many rows.
    pub(crate) fn norm(&mut self, pair: &Pair, rows: usize) -> [Address; 2] {
        let (_, count) = norm_blocks(rows);
        [&pair.weight, &pair.bias].map(|range| self.take(range, count))
    }
}
