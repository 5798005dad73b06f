//! The weights, packed for the products once for all groups and threads of a call.

use crate::decision_transformer::block::cpu::Weights as BlockWeights;
use crate::decision_transformer::embedding;
use crate::decision_transformer::layout::{Layout, LogSigma};
use crate::decision_transformer::network::packing::{Matrix, Packing, Purpose};
use crate::decision_transformer::position;
use crate::linear::cpu::Panels;

/// W for the forward products and W^T for the backward ones.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) embedding: [Panels; 3],
    /// The bias of the embedding's norm, with the vector that every token gets.
    pub(crate) embed_bias: Vec<f32>,
    pub(crate) blocks: Vec<BlockWeights>,
    pub(crate) head: Panels,
    pub(crate) head_transposed: Panels,
    pub(crate) return_head: Panels,
    pub(crate) return_head_transposed: Panels,
    pub(crate) next_observation: Panels,
    pub(crate) next_observation_transposed: Panels,
    pub(crate) log_sigma: Panels,
    pub(crate) log_sigma_transposed: Panels,
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
        position::bias(layout, parameters, &mut self.embed_bias);
        let log_sigma = match &layout.log_sigma {
            Some(LogSigma::Head(head)) => Some(head),
            Some(LogSigma::Free(_)) | None => None,
        };
        for (head, panels, transposed) in [
            (
                Some(&layout.head),
                &mut self.head,
                &mut self.head_transposed,
            ),
            (
                layout.return_head.as_ref(),
                &mut self.return_head,
                &mut self.return_head_transposed,
            ),
            (
                layout.next_observation.as_ref(),
                &mut self.next_observation,
                &mut self.next_observation_transposed,
            ),
            (
                log_sigma,
                &mut self.log_sigma,
                &mut self.log_sigma_transposed,
            ),
        ] {
            if let Some(head) = head {
                let head = Matrix::of(parameters, head);
                head.pack(level, panels);
                if packing.backward() {
                    head.pack_transposed(level, transposed);
                }
            }
        }
        // In training all tokens go through the last layer where returns are predicted.
        let narrows = layout.return_head.is_none() || packing.purpose == Purpose::Acting;
        let layers = layout.blocks.len();
        self.blocks.resize_with(layers, Default::default);
        each(&mut self.blocks, &|index, block| {
            let last = narrows && index + 1 == layers;
            block.pack(&layout.blocks[index], packing, last, parameters);
        });
    }
}
