//! The MLPs of one row's new tokens on two threads.
//!
//! A token or three are too few to share out, so the threads share the columns: of the hidden
//! numbers, then of the output. Each reads half of the weights, which is what an MLP of few tokens
//! takes its time for. An element has the same bits whichever columns are computed with it.

use super::helper::{End, Progress, lock};
use crate::buffer::Buffer;
use crate::decision_transformer::block::Parameters;
use crate::decision_transformer::mlp::half::Half;
use crate::decision_transformer::network::branch::Branch;
use crate::decision_transformer::trunk::Model;
use std::ops::Range;
use std::sync::Mutex;

/// What two threads leave for each other: the one that owns the row, which has the first half, and
/// its helper.
#[derive(Debug, Default)]
pub(super) struct Halves {
    input: Mutex<Input>,
    owner: Side,
    helper: Side,
}

/// The rows that both begin with.
#[derive(Debug, Default)]
struct Input {
    normed: Buffer,
    residual: Buffer,
}

/// What one thread makes: rows of all columns, with its own filled.
#[derive(Debug, Default)]
struct Side {
    hidden: Mutex<Buffer>,
    /// The owner's columns are written in place.
    output: Mutex<Buffer>,
    /// Two parts a layer: the owner's are the input and its hidden numbers, the helper's are its
    /// hidden numbers and its output.
    progress: Progress,
}

impl Halves {
    /// Whether it pays to share the MLPs of a model: where one core's cache does not hold them.
    /// Where it does, the threads wait for each other for longer than their halves save.
    pub(super) fn pay(model: Model<'_>) -> bool {
        /// Numbers in a megabyte.
        const CACHED: usize = 1 << 18;
        let weights = |block: &Parameters| block.mlp.up.weight.len() + block.mlp.down.weight.len();
        model.layout.blocks.iter().map(weights).sum::<usize>() > CACHED
    }

    /// A step begins.
    pub(super) fn begin(&self) {
        self.owner.progress.reset();
        self.helper.progress.reset();
    }

    /// The owner's guard: see [`Progress::guard`].
    pub(super) fn owning(&self) -> End<'_> {
        self.owner.progress.guard()
    }

    /// The helper's guard.
    pub(super) fn helping(&self) -> End<'_> {
        self.helper.progress.guard()
    }

    /// The owner's part of a layer, of which it has the half: computes the branch from `normed`.
    /// `hidden` is memory.
    pub(super) fn own(
        &self,
        half: Half<'_>,
        normed: &[f32],
        hidden: &mut Buffer,
        mut branch: Branch<'_>,
    ) {
        let (c, part) = (half.at.down.bias.len(), self.owner.progress.parts());
        {
            let mut input = lock(&self.input);
            copy(normed, &mut input.normed);
            copy(branch.residual, &mut input.residual);
        }
        self.owner.progress.complete();
        self.owner.compute_hidden(half, normed, hidden);
        self.helper.progress.wait_for(part + 1);
        self.helper.add_hidden(half.other(), hidden);
        half.output(hidden, branch.again());
        self.helper.progress.wait_for(part + 2);
        let output = lock(&self.helper.output);
        copy_columns(&output, branch.to, c, half.other().output_columns());
    }

    /// The helper's part of a layer.
    pub(super) fn help(&self, half: Half<'_>, hidden: &mut Buffer) {
        let part = self.helper.progress.parts();
        self.owner.progress.wait_for(part + 1);
        let input = lock(&self.input);
        self.helper.compute_hidden(half, &input.normed, hidden);
        self.owner.progress.wait_for(part + 2);
        self.owner.add_hidden(half.other(), hidden);
        let mut output = lock(&self.helper.output);
        output.resize(input.residual.len());
        let branch = Branch {
            masks: None,
            residual: &input.residual,
            to: &mut output,
        };
        half.output(hidden, branch);
        drop((output, input));
        self.helper.progress.complete();
    }
}

impl Side {
    /// Computes its columns of `hidden` and leaves a copy for the other thread.
    fn compute_hidden(&self, half: Half<'_>, normed: &[f32], hidden: &mut Buffer) {
        let (c, inner) = (half.at.down.bias.len(), half.at.up.bias.len());
        hidden.resize(normed.len() / c * inner);
        half.compute_hidden(normed, hidden);
        let mut copy = lock(&self.hidden);
        copy.resize(hidden.len());
        copy_columns(hidden, &mut copy, inner, half.hidden_columns());
        drop(copy);
        self.progress.complete();
    }

    /// Copies its columns to `hidden`.
    fn add_hidden(&self, half: Half<'_>, hidden: &mut [f32]) {
        let inner = half.at.up.bias.len();
        copy_columns(&lock(&self.hidden), hidden, inner, half.hidden_columns());
    }
}

fn copy(from: &[f32], to: &mut Buffer) {
    to.resize(from.len());
    to.copy_from_slice(from);
}

/// Copies some columns of rows that are `stride` long.
fn copy_columns(from: &[f32], to: &mut [f32], stride: usize, columns: Range<usize>) {
    for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(stride)) {
        to[columns.clone()].copy_from_slice(&from[columns.clone()]);
    }
}
