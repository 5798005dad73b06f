//! The weights as the products and the scan read them.

use super::Parameters;
use crate::decision_transformer::network::packing::{Matrix, Packing};
use crate::linear::cpu::Panels;

/// W for the forward products, and W^T for the backward ones.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(super) x: Panels,
    pub(super) z: Panels,
    pub(super) inputs: Panels,
    pub(super) step: Panels,
    pub(super) output: Panels,
    pub(super) transposed: Transposed,
    /// A, N x E.
    pub(super) decay: Vec<f32>,
    /// C zeros, where a product has no bias.
    pub(super) no_bias: Vec<f32>,
}

/// W^T.
#[derive(Debug, Default)]
pub(crate) struct Transposed {
    pub(super) x: Panels,
    pub(super) z: Panels,
    pub(super) inputs: Panels,
    pub(super) step: Panels,
    pub(super) output: Panels,
}

impl Weights {
    pub(in super::super) fn pack(&mut self, at: &Parameters, packing: Packing, parameters: &[f32]) {
        let Packing {
            level, precision, ..
        } = packing;
        let e = at.inner();
        let input = Matrix::plain(&parameters[at.input.clone()], 2 * e);
        let (x, z) = (input.columns(0, e), input.columns(e, e));
        let inputs = Matrix::plain(&parameters[at.inputs.clone()], at.row());
        let step = Matrix::of(parameters, &at.step);
        let output = Matrix::plain(&parameters[at.output.clone()], at.width);
        x.pack(level, self.x.hold(precision));
        z.pack(level, self.z.hold(precision));
        inputs.pack(level, &mut self.inputs);
        step.pack(level, &mut self.step);
        output.pack(level, self.output.hold(precision));
        if packing.backward() {
            let to = &mut self.transposed;
            x.pack_transposed(level, to.x.hold(precision));
            z.pack_transposed(level, to.z.hold(precision));
            inputs.pack_transposed(level, &mut to.inputs);
            step.pack_transposed(level, &mut to.step);
            output.pack_transposed(level, to.output.hold(precision));
        }
        self.decay.clear();
        (self.decay).extend(
            parameters[at.log_decay.clone()]
                .iter()
                .map(|log| -log.exp()),
        );
        self.no_bias.resize(at.width, 0.0);
    }
}
