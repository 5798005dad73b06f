//! Packing of weights, once for all groups and threads of a call.

use crate::linear::cpu::Panels;
use crate::parameters::Pair;
use crate::precision::Precision;
use crate::simd::Level;

/// The purpose that weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward and backward passes. `shortcut`: whether the last layer may use the mixer's
    /// shortcut, if it has one.
    Training { shortcut: bool },
    /// Forward.
    Prediction,
    /// Acting, step by step.
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
    /// Whether the transposes are packed too.
    pub(crate) fn backward(self) -> bool {
        matches!(self.purpose, Purpose::Training { .. })
    }
}

/// A matrix inside the parameters: inputs x outputs, with rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    inputs: usize,
    outputs: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// The matrix of a weight.
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

    /// A weight without a bias.
    pub(crate) fn plain(data: &'a [f32], outputs: usize) -> Self {
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
