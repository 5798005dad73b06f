//! How weights are packed, once for all groups and threads of a call.

use crate::kernels::linear::cpu::Panels;
use crate::kernels::parameters::Pair;
use crate::kernels::precision::Precision;
use crate::kernels::simd::Level;

/// What weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward and backward. `shortcut`: may the last layer take the mixer's shorter way, if it has one?
    Training { shortcut: bool },
    /// Forward.
    Prediction,
    /// Step by step.
    Acting,
}

/// How weights are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub(crate) level: Level,
    pub(crate) precision: Precision,
    pub(crate) purpose: Purpose,
}

impl Packing {
    /// Are the transposes wanted too?
    pub(crate) fn backward(self) -> bool {
        matches!(self.purpose, Purpose::Training { .. })
    }
}

/// One matrix inside the parameters: in x out, rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    inputs: usize,
    outputs: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// A weight.
    pub(crate) fn of(parameters: &'a [f32], at: &Pair) -> Self {
        let outputs = at.bias.len();
        let data = &parameters[at.weight.clone()];
        Self {
            data,
            inputs: data.len() / outputs,
            outputs,
            stride: outputs,
        }
    }

    /// Some of its columns.
    pub(crate) fn columns(self, start: usize, outputs: usize) -> Self {
        Self {
            data: &self.data[start..],
            outputs,
            ..self
        }
    }

    /// For x W.
    pub(crate) fn pack(self, level: Level, panels: &mut Panels) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        panels.pack(level, self.data, self.stride, inputs, outputs, None);
    }

    /// For dy W^T.
    pub(crate) fn pack_transposed(self, level: Level, panels: &mut Panels) {
        panels.pack_transposed(level, self.data, self.stride, self.outputs, self.inputs);
    }
}
