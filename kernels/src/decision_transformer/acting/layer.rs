//! One block of the model for a few tokens of one row.

use super::halves::Halves;
use crate::buffer::Buffer;
use crate::decision_transformer::block;
use crate::decision_transformer::mixer::acting::{self as mixer, Actor, Cache};
use crate::decision_transformer::mlp::cpu as mlp;
use crate::decision_transformer::mlp::half::Half;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use crate::decision_transformer::shape::NormPlacement;
use crate::decision_transformer::trunk::Model;
use std::ops::Range;

/// A block with its weights.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) network: Network<'a>,
    pub(super) at: &'a block::Parameters,
    weights: &'a block::cpu::Weights,
    newest: usize,
}

/// Scratch memory of a row in a block.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) mixer: mixer::Scratch,
    middle: Buffer,
    pub(super) statistics: Vec<[f32; 2]>,
    normed: Buffer,
    mlp: mlp::Tape,
    /// The hidden numbers of an MLP that two threads share.
    pub(super) hidden: Buffer,
}

impl<'a> Layer<'a> {
    /// Layer `index` of a model, where the newest token is the `newest`-th of its step.
    pub(super) fn new(model: Model<'a>, index: usize, newest: usize) -> Self {
        Self {
            network: model.network,
            at: &model.layout.blocks[index],
            weights: &model.weights.blocks[index],
            newest,
        }
    }

    /// What the layer makes of tokens before its mixer: their norm and, in `x`, where its residual
    /// connection begins.
    pub(super) fn norm(self, x: &mut Buffer, normed: &mut Buffer, statistics: &mut Vec<[f32; 2]>) {
        normed.resize(x.len());
        self.norm_into(x, normed, statistics);
    }

    /// The same into rows that have the right length.
    pub(super) fn norm_into(
        self,
        x: &mut [f32],
        normed: &mut [f32],
        statistics: &mut Vec<[f32; 2]>,
    ) {
        match &self.at.norm_1 {
            Some(norm) => {
                statistics.resize(x.len() / self.network.shape.width, [0.0; 2]);
                self.network.norm_into(norm, x, normed, statistics);
            }
            None => normed.copy_from_slice(x),
        }
        if self.at.placement == NormPlacement::Post {
            x.copy_from_slice(normed);
        }
    }

    /// Its mixer.
    pub(super) fn mixer(self) -> Actor<'a> {
        Actor {
            network: self.network,
            mixer: &self.at.mixer,
            weights: &self.weights.mixer,
            newest: self.newest,
        }
    }

    /// Moves what the mixer carries past new tokens, which are kept.
    pub(super) fn advance(self, cache: &mut Cache, new: &Range<usize>, scratch: &mut Scratch) {
        self.mixer().advance(cache, new, &mut scratch.mixer);
    }

    /// A half of its MLP.
    pub(super) fn half(self, index: usize) -> Half<'a> {
        Half {
            at: &self.at.mlp,
            network: self.network,
            weights: &self.weights.mlp,
            index,
        }
    }

    /// The mixer's branch, as `mix` makes it, beside `residual`: a row of `scratch.middle` for each
    /// of its rows.
    pub(super) fn mix(
        self,
        residual: &[f32],
        scratch: &mut Scratch,
        mix: impl FnOnce(Actor<'a>, &mut mixer::Scratch, Branch<'_>),
    ) {
        scratch.middle.resize(residual.len());
        let branch = Branch {
            masks: None,
            residual,
            to: &mut scratch.middle,
        };
        mix(self.mixer(), &mut scratch.mixer, branch);
    }

    /// Writes x', from `scratch.middle`; with `halves`, a helper does half of it.
    pub(super) fn finish(self, scratch: &mut Scratch, halves: Option<&Halves>, behind: &mut [f32]) {
        let Scratch {
            middle,
            statistics,
            normed,
            mlp: tape,
            hidden,
            ..
        } = scratch;
        self.network
            .norm(&self.at.norm_2, middle, normed, statistics);
        let branch = Branch {
            masks: None,
            residual: self.at.residual(middle, normed),
            to: behind,
        };
        if let Some(halves) = halves {
            return halves.own(self.half(0), normed, hidden, branch);
        }
        let (at, weights) = (&self.at.mlp, &self.weights.mlp);
        let rows = 0..statistics.len();
        tape.resize(at, rows.len());
        mlp::forward(at, self.network, weights, normed, (tape, rows), branch);
    }
}
