//! The output of a block's branch, which is added to the residual stream, and the gradients of the
//! branch.

use crate::buffer::Buffer;
use crate::dropout::cpu::{AddToResidual, Masks};
use std::ops::Range;

/// The destination of a branch: `to` = `residual` + drop(branch), for as many rows as the residual
/// has.
pub(crate) struct Branch<'a> {
    pub(crate) masks: Option<Masks<'a>>,
    pub(crate) residual: &'a [f32],
    pub(crate) to: &'a mut [f32],
}

impl<'a> Branch<'a> {
    /// The same for a part of what is to be done.
    pub(crate) fn again(&mut self) -> Branch<'_> {
        Branch {
            to: &mut *self.to,
            ..*self
        }
    }

    /// Some of its rows, of C numbers.
    pub(crate) fn rows(&mut self, rows: &Range<usize>, width: usize) -> Branch<'_> {
        let numbers = rows.start * width..rows.end * width;
        Branch {
            masks: self.masks.map(|masks| masks.of(rows.clone())),
            residual: &self.residual[numbers.clone()],
            to: &mut self.to[numbers],
        }
    }

    /// The epilogue of the branch's last product, C columns.
    pub(crate) fn finish(self, bias: &'a [f32]) -> AddToResidual<'a> {
        AddToResidual {
            bias,
            masks: self.masks,
            residual: self.residual,
            to: self.to,
            stride: bias.len(),
        }
    }
}

/// The gradients of a branch's output, input and parameters.
pub(crate) struct Gradients<'a> {
    /// Of the branch's output, multiplied with its dropout mask; one row for each of its rows.
    pub(crate) branch: &'a [f32],
    /// Of the normed rows; overwritten.
    pub(crate) normed: &'a mut Buffer,
    /// Of all parameters of the model; added to.
    pub(crate) parameters: &'a mut [f32],
}
