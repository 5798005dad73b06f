//! The two ends of a block's branch: what is added to the residual stream, and the gradients that come back.

use crate::kernels::buffer::Buffer;
use crate::kernels::dropout::cpu::{AddToResidual, Masks};

/// Where a branch of a block goes: `to` = `residual` + drop(branch). As many rows as the residual has.
pub(crate) struct Branch<'a> {
    pub(crate) masks: Option<Masks<'a>>,
    pub(crate) residual: &'a [f32],
    pub(crate) to: &'a mut [f32],
}

impl<'a> Branch<'a> {
    /// What to do with the elements of the branch's last product, C columns.
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

/// The gradients at both ends of a branch, and at its parameters.
pub(crate) struct Gradients<'a> {
    /// At the branch, behind its dropout's mask; a row for each of its rows.
    pub(crate) branch: &'a [f32],
    /// Written: at the normed rows.
    pub(crate) normed: &'a mut Buffer,
    /// Added to: at all parameters of the model.
    pub(crate) parameters: &'a mut [f32],
}
