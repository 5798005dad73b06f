//! A block: a mixer and an MLP, each with a norm before it and a residual connection around it.
//!
//! With M rows of tokens x; in the last block only the observations' rows continue after the mixer:
//!
//! ```text
//! y  = x + drop(mixer(norm(x)))        some mixers have no dropout
//! x' = y + drop(MLP(norm(y)))
//! ```
//!
//! With post-norm ([`NormPlacement::Post`]) the residual connection begins behind the norm, too:
//!
//! ```text
//! n  = norm_1(x)       y  = n + drop(mixer(n))       in the first block n = x
//! m  = norm_2(y)       x' = m + drop(MLP(m))
//! ```
//!
//! That is Vaswani's block, whose norms are behind its sums, cut in front of a norm instead of
//! behind it: `norm_1` of a block ends the block before it, and the model's last norm the last one.
//! The tokens of the first block come from the embedding's norm.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod reference;

use super::mixer::Mixer;
use super::mlp;
use super::shape::{NormPlacement, Shape};
use crate::parameters::{Pair, Places};

/// Where the parameters of one block are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(crate) placement: NormPlacement,
    /// None in the first block of a model with post-norm.
    pub(crate) norm_1: Option<Pair>,
    pub(crate) mixer: Mixer,
    pub(crate) norm_2: Pair,
    pub(crate) mlp: mlp::Parameters,
}

impl Parameters {
    /// The parameters of block `index`.
    pub(crate) fn new(places: &mut Places, index: usize, shape: &Shape) -> Self {
        let (block, c) = (format!("block.{index}"), shape.width);
        let placement = shape.norm_placement;
        let has_norm = placement == NormPlacement::Pre || index > 0;
        Self {
            placement,
            norm_1: has_norm.then(|| places.pair(&format!("{block}.norm_1"), &[c])),
            mixer: Mixer::new(places, &block, shape),
            norm_2: places.pair(&format!("{block}.norm_2"), &[c]),
            mlp: mlp::Parameters::new(places, &block, c),
        }
    }

    /// What the mixer is given: the tokens x behind `norm_1`, where it exists.
    pub(crate) fn mixed<'a>(&self, x: &'a [f32], normed: &'a [f32]) -> &'a [f32] {
        match &self.norm_1 {
            Some(_) => normed,
            None => x,
        }
    }

    /// Where a residual connection begins: in front of a norm or behind it.
    pub(crate) fn residual<'a, T>(&self, x: &'a [T], normed: &'a [T]) -> &'a [T] {
        match self.placement {
            NormPlacement::Pre => x,
            NormPlacement::Post => normed,
        }
    }
}
