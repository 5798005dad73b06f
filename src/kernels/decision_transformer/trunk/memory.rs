//! What a thread keeps of the group it works on. Grows to the largest group, then stays.

use crate::kernels::attention;
use crate::kernels::buffer::Buffer;
use crate::kernels::dropout::cpu::Row;
use crate::kernels::linear::cpu::{Panels, Tiles};

/// Activations of all layers, and scratch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The sums of the embedding, before its norm.
    pub(crate) embedded: Buffer,
    pub(crate) embedded_statistics: Vec<[f32; 2]>,
    pub(crate) embedded_rows: Vec<Row>,
    /// The residual stream in front of each block, and behind the last.
    pub(crate) streams: Vec<Buffer>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_statistics: Vec<[f32; 2]>,
    pub(crate) final_normed: Buffer,
    /// Predictions, and the loss's gradient at the head's numbers: steps x A.
    pub(crate) predictions: Buffer,
    pub(crate) targets: Vec<f32>,
    pub(crate) gradients: Gradients,
    pub(crate) attention: attention::cpu::Scratch,
}

/// Activations of one block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) statistics_1: Vec<[f32; 2]>,
    pub(crate) normed_1: Buffer,
    /// In the last block: the observations' rows of the norm and of the stream.
    pub(crate) asking: Buffer,
    pub(crate) asking_stream: Buffer,
    pub(crate) q: Buffer,
    pub(crate) kv: Buffer,
    /// In the last block, if it attends directly: u, a and r of `attention::direct`, and its q is divided by sqrt d.
    pub(crate) asked: Buffer,
    pub(crate) gathered: Buffer,
    pub(crate) sums: Buffer,
    pub(crate) attended: Buffer,
    pub(crate) logs: Buffer,
    pub(crate) projection_rows: Vec<Row>,
    pub(crate) middle: Buffer,
    pub(crate) statistics_2: Vec<[f32; 2]>,
    pub(crate) normed_2: Buffer,
    /// The slope of the activation; only GELU needs it.
    pub(crate) hidden_slope: Buffer,
    pub(crate) hidden: Buffer,
    pub(crate) mlp_rows: Vec<Row>,
}

/// Gradients on their way back through one block.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    pub(crate) logits: Buffer,
    pub(crate) stream: Buffer,
    pub(crate) branch: Buffer,
    pub(crate) hidden: Buffer,
    pub(crate) normed: Buffer,
    pub(crate) attended: Buffer,
    pub(crate) q: Buffer,
    pub(crate) kv: Buffer,
    /// At u, a and r of `attention::direct`.
    pub(crate) asked: Buffer,
    pub(crate) gathered: Buffer,
    pub(crate) sums: Buffer,
    pub(crate) panels: Panels,
    pub(crate) tiles: Tiles,
}
