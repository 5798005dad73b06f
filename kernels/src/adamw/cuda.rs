//! The end of a step on a GPU: the twins of the structs in `adamw.cu`, and their launches.

use super::AdamW;
use crate::device::backend::{Address, Launch, LaunchWork, WIDE};
use crate::device::parameters::parameters;
use std::ops::Range;

parameters! {
    /// See `adamw.cu`.
    Piece {
        from: u64,
        stride: u64,
        to: u32,
        length: u32,
        slices: u32,
    }
}

parameters! {
    /// See `adamw.cu`.
    AddUp {
        pieces: Address,
        workspace: Address,
        gradient: Address,
        squares: Address,
        block_losses: Address,
        losses: Address,
        clock: Address,
        loss_blocks: i32,
        adds: i32,
        divisor: i32,
    }
}

parameters! {
    /// See `adamw.cu`.
    Update {
        weights: Address,
        halves: Address,
        mean: Address,
        square: Address,
        gradient: Address,
        squares: Address,
        rates: Address,
        norms: Address,
        clock: Address,
        largest: f64,
        count: u32,
        pieces: i32,
        accumulation: i32,
        beta_1: f32,
        other_1: f32,
        beta_2: f32,
        other_2: f32,
        epsilon: f32,
    }
}

parameters! {
    /// The numbers of AdamW that change from step to step.
    Rates {
        keep: f32,
        rate: f32,
        root: f32,
    }
}

/// Numbers of a piece: four for each thread of a block.
const MOST_LENGTH: usize = 1024;
/// Blocks of the update; each adds up the squares of all pieces for itself.
const MOST_BLOCKS: usize = 512;

/// The pieces of a range of the gradient, whose `slices` begin at `from` in the workspace, one
/// after the other.
pub(crate) fn pieces(range: &Range<usize>, from: usize, slices: usize) -> Vec<Piece> {
    let starts = (0..range.len()).step_by(MOST_LENGTH);
    let piece = |start: usize| Piece {
        from: (from + start) as u64,
        stride: range.len() as u64,
        to: (range.start + start) as u32,
        length: (range.len() - start).min(MOST_LENGTH) as u32,
        slices: slices as u32,
    };
    starts.map(piece).collect()
}

impl AddUp {
    pub(crate) fn launch(&self, pieces: &[Piece]) -> Launch {
        let numbers = pieces
            .iter()
            .map(|piece| (piece.slices as usize + 1) * piece.length as usize);
        let work = LaunchWork::of(numbers.sum(), 0);
        Launch::new("add_up", [pieces.len(), 1, 1], WIDE, self).doing(work)
    }
}

impl Update {
    /// The same with these constants.
    pub(crate) fn of(self, adamw: &AdamW) -> Self {
        let fixed = adamw.coefficients(0.0, 1, 1.0);
        Self {
            beta_1: fixed.beta_1,
            other_1: fixed.other_1,
            beta_2: fixed.beta_2,
            other_2: fixed.other_2,
            epsilon: fixed.epsilon,
            ..self
        }
    }

    pub(crate) fn launch(&self) -> Launch {
        let blocks = (self.count as usize)
            .div_ceil(WIDE as usize)
            .min(MOST_BLOCKS);
        // Weights and moments are read and written, the gradient is read; a copy is written.
        let count = self.count as usize;
        let copy = if self.halves == Address::NULL {
            0
        } else {
            count.div_ceil(2)
        };
        let work = LaunchWork::of(7 * count + copy, 0);
        Launch::new("update", [blocks, 1, 1], WIDE, self).doing(work)
    }
}

impl Rates {
    /// Those of a step with this learning rate; `step` counts from 1.
    pub(crate) fn of(adamw: &AdamW, rate: f64, step: u64) -> Self {
        let coefficients = adamw.coefficients(rate, step, 1.0);
        Self {
            keep: coefficients.keep,
            rate: coefficients.rate,
            root: coefficients.root,
        }
    }
}
