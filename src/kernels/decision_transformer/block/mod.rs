//! A block: a mixer and an MLP, each with a norm before it and a residual connection around it.
//!
//! With M rows of tokens x; in the last block only the observations' rows continue after the mixer:
//!
//! ```text
//! y  = x + drop(mixer(norm(x)))        some mixers have no dropout
//! x' = y + drop(MLP(norm(y)))
//! ```

pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod reference;

use super::mixer::Mixer;
use super::mlp;
use super::shape::Shape;
use crate::kernels::parameters::{Pair, Places};

/// Where the parameters of one block are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(crate) norm_1: Pair,
    pub(crate) mixer: Mixer,
    pub(crate) norm_2: Pair,
    pub(crate) mlp: mlp::Parameters,
}

impl Parameters {
    /// The parameters of block `index`.
    pub(crate) fn new(places: &mut Places, index: usize, shape: &Shape) -> Self {
        let (block, c) = (format!("block.{index}"), shape.width);
        Self {
            norm_1: places.pair(&format!("{block}.norm_1"), &[c]),
            mixer: Mixer::new(places, &block, shape),
            norm_2: places.pair(&format!("{block}.norm_2"), &[c]),
            mlp: mlp::Parameters::new(places, &block, c),
        }
    }
}
