//! The launches of a step, built once: forward pass and loss, and the parts of the gradient.
//!
//! The order and the work are those of `trunk`: M = 3 B K rows of tokens, valid ones first in each
//! window; after the last layer's mixer only the observations continue, B K rows. Rows after a
//! window's valid tokens contain finite numbers that no kernel uses, and zero gradients.

mod backward;

use super::memory::Memory;
use crate::decision_transformer::embedding::cuda::{Embed, Kind};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::network::cuda::Network;
use crate::device::backend::{Address, Launch};
use crate::device::parameters::Numbers;
use crate::dropout::Site;
use crate::dropout::cuda::Drop;
use crate::layer_norm::cuda::Norm;
use crate::loss::cuda::HeadAndLoss;
use crate::loss::{Denominator, Objective};
use crate::parameters::Pair;

/// What the launches depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) layout: &'a Layout,
    pub(crate) memory: &'a Memory,
    pub(crate) objective: Objective,
    pub(crate) denominator: Denominator,
}

impl Sequence<'_> {
    /// Predictions; with `learns`, also the loss and the gradient with respect to the head's
    /// outputs.
    pub(crate) fn forward(&self, learns: bool) -> Vec<Launch> {
        let mut launches = vec![self.embed()];
        let (memory, network) = (self.memory, &self.network);
        for (layer, at) in self.layout.blocks.iter().enumerate() {
            let streams = (memory.streams[layer], memory.streams[layer + 1]);
            let block = memory.blocks[layer];
            let next = self.layout.blocks.get(layer + 1);
            let next = next.zip(memory.blocks.get(layer + 1));
            at.forward_launches(network, layer, streams, &block, next, &mut launches);
        }
        launches.push(self.head_and_loss(learns));
        launches
    }

    fn head_and_loss(&self, learns: bool) -> Launch {
        let (memory, network) = (self.memory, &self.network);
        let norm = network.norm(
            &self.layout.final_norm,
            memory.streams[network.shape.layers],
            (
                Numbers::floats(memory.final_normed),
                memory.final_statistics,
            ),
            Drop::NONE,
            network.steps(),
        );
        let head = HeadAndLoss {
            norm,
            x: memory.final_normed,
            weight: network.parameter(&self.layout.head.weight),
            bias: network.parameter(&self.layout.head.bias),
            actions: memory.inputs.actions,
            lengths: memory.inputs.lengths,
            predictions: memory.predictions,
            dz: if learns { memory.dz } else { Address::NULL },
            losses: memory.block_losses,
            steps: network.steps() as i32,
            windows: network.windows as i32,
            context: network.shape.context as i32,
            width: network.shape.width as i32,
            action: network.shape.action as i32,
            is_tanh: 0,
            is_cross_entropy: 0,
            counts_all: 0,
            scale: 1.0,
        };
        let (objective, denominator) = (self.objective, self.denominator);
        head.of(network.shape.head, objective, denominator).launch()
    }

    /// The kinds of tokens: their inputs, how many numbers a step has, and their weights.
    fn kinds(&self) -> impl Iterator<Item = (Address, usize, &Pair)> {
        let (inputs, at) = (&self.memory.inputs, &self.layout.embedding);
        let shape = self.network.shape;
        let given = [
            (inputs.returns_to_go, 1),
            (inputs.observations, shape.observation),
            (inputs.actions, shape.action),
        ];
        (given.into_iter().zip(at.kinds())).map(|((input, width), pair)| (input, width, pair))
    }

    /// The stream before the first layer, and what the first layer's mixer reads.
    fn embed(&self) -> Launch {
        let (memory, network) = (self.memory, &self.network);
        let mut kinds = self.kinds().map(|(input, inputs, pair)| Kind {
            input,
            weight: network.parameter(&pair.weight),
            bias: network.parameter(&pair.bias),
            inputs: inputs as i32,
        });
        let mut kind = || kinds.next().expect("a step has three tokens");
        let norm = network.norm(
            &self.layout.embed_norm,
            memory.embedded,
            (
                Numbers::floats(memory.streams[0]),
                memory.embedded_statistics,
            ),
            network.drop(Site::Embedding),
            network.tokens(),
        );
        let first = self.layout.blocks.first().zip(memory.blocks.first());
        let next = first.and_then(|(at, block)| at.first_norm(network, memory.streams[0], block));
        let embed = Embed {
            return_to_go: kind(),
            observation: kind(),
            action: kind(),
            timesteps: memory.inputs.timesteps,
            lengths: memory.inputs.lengths,
            table: network.parameter(&self.layout.embedding.timestep),
            to: memory.embedded,
            norm,
            next: next.unwrap_or(Norm::NONE),
            steps: network.steps() as i32,
            context: network.shape.context as i32,
            width: network.shape.width as i32,
        };
        embed.launch()
    }
}
