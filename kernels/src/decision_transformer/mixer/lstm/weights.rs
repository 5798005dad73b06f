//! The weights as the products read them.

use super::Parameters;
use crate::decision_transformer::network::packing::{Matrix, Packing};
use crate::linear::cpu::Panels;

/// W for the forward products, and W^T for the backward ones.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(super) input: Panels,
    pub(super) hidden: Panels,
    pub(super) transposed: Transposed,
}

/// W^T.
#[derive(Debug, Default)]
pub(crate) struct Transposed {
    pub(super) input: Panels,
    pub(super) hidden: Panels,
}

impl Weights {
    pub(in super::super) fn pack(&mut self, at: &Parameters, packing: Packing, parameters: &[f32]) {
        let Packing {
            level, precision, ..
        } = packing;
        let input = Matrix::of(parameters, &at.input);
        let hidden = Matrix::plain(&parameters[at.hidden.clone()], at.row());
        input.pack(level, self.input.hold(precision));
        hidden.pack(level, &mut self.hidden);
        if packing.backward() {
            let to = &mut self.transposed;
            input.pack_transposed(level, to.input.hold(precision));
            hidden.pack_transposed(level, &mut to.hidden);
        }
    }
}
