//! A thread's memory for its current group. It grows to the size of the largest group.

use super::deviations::Deviations;
use super::next_observations::NextObservations;
use super::returns::Returns;
use crate::buffer::Buffer;
use crate::decision_transformer::block::cpu::{Scratch, Tape};
use crate::dropout::cpu::Row;

/// Activations of all layers, and scratch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The embedded tokens, before the norm.
    pub(crate) embedded: Buffer,
    pub(crate) embedded_statistics: Vec<[f32; 2]>,
    pub(crate) embedded_rows: Vec<Row>,
    /// The residual stream before each block, and after the last.
    pub(crate) streams: Vec<Buffer>,
    pub(crate) blocks: Vec<Tape>,
    pub(crate) final_statistics: Vec<[f32; 2]>,
    pub(crate) final_normed: Buffer,
    /// A return-to-go for each step, if the final norm is adaptive.
    pub(crate) returns_to_go: Vec<f32>,
    /// Predictions, and the loss's gradient with respect to the head's outputs: steps x A.
    pub(crate) predictions: Buffer,
    pub(crate) logits_gradient: Buffer,
    pub(crate) targets: Vec<f32>,
    /// Where the policy is stochastic.
    pub(crate) deviations: Deviations,
    /// Where returns-to-go are predicted.
    pub(crate) returns: Returns,
    /// Where next observations are predicted.
    pub(crate) next_observations: NextObservations,
    pub(crate) scratch: Scratch,
}
