//! The whole model for a group of sequences: from tokens to predictions, and back to gradients.
//!
//! A group (`super::group`) passes forward through all layers, to the loss, and backward, before
//! the next group starts, so a thread stores the activations of one group only. `forward` fills
//! `memory::Memory`, `backward` reads it and adds to a gradient of all parameters.

pub(crate) mod backward;
pub(crate) mod deviations;
pub(crate) mod forward;
pub(crate) mod memory;
pub(crate) mod next_observations;
pub mod reference;
pub(crate) mod returns;
pub(crate) mod weights;

use super::group::Group;
use super::layout::Layout;
use super::mixer::Layer;
use super::network::Network;
use crate::buffer::Buffer;
use crate::dropout::Dropout;
use crate::layer_norm;
use weights::Weights;

/// The model, as its kernels read it.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) layout: &'a Layout,
    pub(crate) weights: &'a Weights,
}

impl<'a> Model<'a> {
    /// y = the embedding's norm of x, rows x C, and the vector that every token gets.
    pub(crate) fn embed_norm(&self, x: &[f32], y: &mut Buffer, statistics: &mut Vec<[f32; 2]>) {
        y.resize(x.len());
        let gain = self.network.of(&self.layout.embed_norm.weight);
        statistics.resize(x.len() / gain.len(), [0.0; 2]);
        let (level, bias) = (self.network.level, &self.weights.embed_bias);
        layer_norm::cpu::forward(level, x, gain, bias, y, statistics);
    }

    /// Whether this is the last layer.
    pub(crate) fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.network.shape.layers
    }

    /// Whether only the rows that answer continue behind this layer. If returns are predicted, all
    /// rows do.
    fn narrows(&self, layer: usize) -> bool {
        self.is_last(layer) && self.layout.return_head.is_none()
    }

    /// A layer, and the group that it processes.
    fn layer(&self, index: usize, group: &'a Group, dropout: Option<&'a Dropout>) -> Layer<'a> {
        Layer {
            network: self.network,
            group,
            dropout,
            index,
            last: self.narrows(index),
        }
    }
}
