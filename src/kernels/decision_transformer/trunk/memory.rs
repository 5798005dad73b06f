//! What a thread keeps of the group it works on. Grows to the largest group, then stays.

use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::block::cpu::{Scratch, Tape};
use crate::kernels::dropout::cpu::Row;

/// Activations of all layers, and scratch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The sums of the embedding, before its norm.
    pub(crate) embedded: Buffer,
    pub(crate) embedded_statistics: Vec<[f32; 2]>,
    pub(crate) embedded_rows: Vec<Row>,
    /// The residual stream in front of each block, and behind the last.
    pub(crate) streams: Vec<Buffer>,
    pub(crate) blocks: Vec<Tape>,
    pub(crate) final_statistics: Vec<[f32; 2]>,
    pub(crate) final_normed: Buffer,
    /// Where the final norm depends on them: a return-to-go for each step.
    pub(crate) returns_to_go: Vec<f32>,
    /// Predictions, and the loss's gradient at the head's numbers: steps x A.
    pub(crate) predictions: Buffer,
    pub(crate) logits_gradient: Buffer,
    pub(crate) targets: Vec<f32>,
    pub(crate) scratch: Scratch,
}
