//! The weights, packed for the products once for all groups and threads of a call.

use crate::kernels::decision_transformer::block::cpu::Weights as BlockWeights;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Layout;
use crate::kernels::decision_transformer::network::packing::{Matrix, Packing};
use crate::kernels::linear::cpu::Panels;

/// W for the forward products and W^T for the backward ones.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) embedding: [Panels; 3],
    pub(crate) blocks: Vec<BlockWeights>,
    pub(crate) head: Panels,
    pub(crate) head_transposed: Panels,
}

impl Weights {
    /// Packs all weights. `each` runs the packing of the blocks, possibly on several threads.
    pub(crate) fn pack(
        &mut self,
        packing: Packing,
        layout: &Layout,
        parameters: &[f32],
        each: impl FnOnce(&mut [BlockWeights], &(dyn Fn(usize, &mut BlockWeights) + Sync)),
    ) {
        let level = packing.level;
        embedding::cpu::pack(level, &layout.embedding, parameters, &mut self.embedding);
        let head = Matrix::of(parameters, &layout.head);
        head.pack(level, &mut self.head);
        if packing.backward() {
            head.pack_transposed(level, &mut self.head_transposed);
        }
        let layers = layout.blocks.len();
        self.blocks.resize_with(layers, Default::default);
        each(&mut self.blocks, &|index, block| {
            let last = index + 1 == layers;
            block.pack(&layout.blocks[index], packing, last, parameters);
        });
    }
}
