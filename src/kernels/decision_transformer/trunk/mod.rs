//! The whole model for a group of sequences: tokens in, predictions out, gradients back.
//!
//! A group (`super::group`) goes forward through all layers, to the loss, and backward, before the next group
//! starts, so no activation of more than one group exists in a thread. `forward` fills `memory::Memory`, `backward`
//! reads it and adds to a gradient of all parameters.

pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod memory;
pub mod reference;
pub(crate) mod weights;

use super::group::Group;
use super::layout::Layout;
use super::mixer::Layer;
use super::network::Network;
use crate::kernels::dropout::Dropout;
use weights::Weights;

/// The model as the kernels need it.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) layout: &'a Layout,
    pub(crate) weights: &'a Weights,
}

impl<'a> Model<'a> {
    /// Is this the layer where only the observations' rows go on?
    pub(crate) fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.network.shape.layers
    }

    /// A layer's work on a group.
    fn layer(&self, index: usize, group: &'a Group, dropout: Option<&'a Dropout>) -> Layer<'a> {
        Layer {
            network: self.network,
            group,
            dropout,
            index,
            last: self.is_last(index),
        }
    }
}
