//! The backward pass: from the gradient of the head's outputs to the parts of the gradient of every
//! parameter.

use super::Sequence;
use crate::decision_transformer::embedding::cuda::{EmbedBackward, KindGradient, table_slices};
use crate::decision_transformer::network::cuda::{ExtraGradient, PLAIN, observations};
use crate::device::backend::Launch;
use crate::dropout::Site;
use crate::linear::cuda::{Matrix, Rows, weight_gradient};
use crate::precision::Precision;

impl Sequence<'_> {
    /// Writes every part of the gradient to the workspace, after `forward(true)`.
    pub(crate) fn backward(&self) -> Vec<Launch> {
        let mut launches = Vec::new();
        self.head_back(&mut launches);
        for (layer, at) in self.layout.blocks.iter().enumerate().rev() {
            let before = match layer.checked_sub(1) {
                Some(layer) => Site::Mlp { layer },
                None => Site::Embedding,
            };
            let (x, block) = (self.memory.streams[layer], self.memory.blocks[layer]);
            at.backward_launches(&self.network, layer, x, before, &block, &mut launches);
        }
        self.embed_back(&mut launches);
        launches
    }

    /// Down to the gradient after the last block.
    fn head_back(&self, launches: &mut Vec<Launch>) {
        let (memory, network) = (self.memory, &self.network);
        let (scratch, head) = (&network.scratch, &self.layout.head);
        let (c, a, steps) = (network.shape.width, network.shape.action, network.steps());
        let dz = Matrix::new(memory.dz, a);
        let normed = Matrix::new(memory.final_normed, c);
        let (exact, parts) = (Precision::F32, memory.parts.head);
        let weight = weight_gradient(exact, (c, a, steps), (normed, dz), parts);
        let factors = (dz, network.exact_weight(head));
        let back = network.linear_back(exact, (steps, c, a), factors, PLAIN, scratch.normed);
        launches.extend(weight.and(back).launches());
        let layers = network.shape.layers;
        let drop = network.drop(Site::Mlp { layer: layers - 1 });
        let dropped = network.storage.numbers(scratch.dropped);
        launches.push(network.norm_back(
            &self.layout.final_norm,
            (
                memory.streams[layers],
                memory.final_statistics,
                scratch.normed,
            ),
            ExtraGradient::Nothing,
            (scratch.stream[0], Some((drop, dropped))),
            (steps, observations()),
            memory.parts.final_norm,
        ));
    }

    /// From the gradient before the first block.
    fn embed_back(&self, launches: &mut Vec<Launch>) {
        let (memory, network) = (self.memory, &self.network);
        let (scratch, parts) = (&network.scratch, &memory.parts);
        let (c, steps) = (network.shape.width, network.steps());
        launches.push(network.norm_back(
            &self.layout.embed_norm,
            (memory.embedded, memory.embedded_statistics, scratch.dropped),
            ExtraGradient::Nothing,
            (scratch.stream[0], None),
            (network.tokens(), Rows::ALL),
            parts.embed_norm,
        ));
        let mut kinds = self
            .kinds()
            .zip(&parts.inputs)
            .map(|((input, inputs, _), parts)| KindGradient::new(input, inputs, steps, *parts));
        let mut kind = || kinds.next().expect("a step has three tokens");
        let (slices, slice_steps) = table_slices(steps);
        let gradients = EmbedBackward {
            return_to_go: kind(),
            observation: kind(),
            action: kind(),
            dx: scratch.stream[0],
            timesteps: memory.inputs.timesteps,
            lengths: memory.inputs.lengths,
            table: parts.table,
            steps: steps as i32,
            context: network.shape.context as i32,
            width: c as i32,
            table_rows: network.shape.timesteps as i32,
            slice_steps: slice_steps as i32,
            slices: slices as i32,
        };
        launches.push(gradients.launch());
    }
}
