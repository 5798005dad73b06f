//! Half of an MLP's columns: the share of one of two threads in a few rows.

use super::Parameters;
use super::cpu::Weights;
use crate::activation::cpu::Activate;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::dropout::cpu::AddToResidual;
use crate::linear::cpu::{Left, product};
use std::ops::Range;

/// The first or the second half of the columns of both products.
#[derive(Clone, Copy)]
pub(crate) struct Half<'a> {
    pub(crate) at: &'a Parameters,
    pub(crate) network: Network<'a>,
    pub(crate) weights: &'a Weights,
    /// 0 or 1
    pub(crate) index: usize,
}

impl Half<'_> {
    /// The other half.
    pub(crate) fn other(self) -> Self {
        let index = 1 - self.index;
        Self { index, ..self }
    }

    /// The columns of the hidden numbers.
    pub(crate) fn hidden_columns(self) -> Range<usize> {
        self.weights.up.all().halves()[self.index].1.clone()
    }

    /// The columns of the output.
    pub(crate) fn output_columns(self) -> Range<usize> {
        self.weights.down.all().halves()[self.index].1.clone()
    }

    /// Computes its columns of `hidden`, rows x all.
    pub(crate) fn compute_hidden(self, normed: &[f32], hidden: &mut [f32]) {
        let (c, inner) = (self.at.down.bias.len(), self.at.up.bias.len());
        let (right, columns) = &self.weights.up.all().halves()[self.index];
        let finish = Activate {
            activation: self.network.shape.activation,
            bias: &self.network.of(&self.at.up.bias)[columns.clone()],
            slope: &mut [],
            output: &mut hidden[columns.start..],
            stride: inner,
        };
        let left = Left::rows(normed, normed.len() / c, c);
        product(self.network.level, left, *right, finish);
    }

    /// Computes its columns of the branch from all hidden numbers.
    pub(crate) fn output(self, hidden: &[f32], branch: Branch<'_>) {
        let (c, inner) = (self.at.down.bias.len(), self.at.up.bias.len());
        let (right, columns) = &self.weights.down.all().halves()[self.index];
        let Branch { residual, to, .. } = branch;
        let finish = AddToResidual {
            bias: &self.network.of(&self.at.down.bias)[columns.clone()],
            masks: None,
            residual: &residual[columns.start..],
            to: &mut to[columns.start..],
            stride: c,
        };
        let left = Left::rows(hidden, hidden.len() / inner, inner);
        product(self.network.level, left, *right, finish);
    }
}
