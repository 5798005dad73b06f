//! Passes of batches that are divided: this process computes the rows of its parts, and outputs and
//! gradients are completed with those of the other processes.
//!
//! A row's numbers do not depend on the rows that are computed with it, so outputs and gradients at
//! inputs have the bits of an undivided pass. A gradient at the parameters is a sum over rows: it
//! is computed part by part, and the parts are added up in their order.

use super::backward::{self, Gradient, Want};
use super::network::Network;
use super::pass::{self, Part, Pass};
use super::pool::Pool;
use super::{forward, inference};
use crate::buffer::Buffer;
use std::fmt;
use std::ops::Range;

/// How a batch is divided into parts, of which each process computes some.
pub trait DividedBatch: fmt::Debug + Send + Sync {
    /// The parts of this process.
    fn own(&self) -> Range<usize>;

    /// The rows of a part, of a batch of `rows`.
    fn rows(&self, part: usize, rows: usize) -> Range<usize>;

    /// The rows of all parts of this process.
    fn own_rows(&self, rows: usize) -> Range<usize>;

    /// `to` becomes the sum over all parts, added up in their order; `mine` are the vectors of
    /// [`own`](Self::own).
    fn sum(&self, mine: &[&[f32]], to: &mut [f32]);

    /// Completes an array of blocks x `rows` x width, of which this process knows its
    /// [rows](Self::own_rows) in every block.
    fn complete(&self, blocks: usize, rows: usize, array: &mut [f32]);
}

/// A forward pass, with packed weights.
pub(super) fn forward(
    network: &Network,
    pool: &Pool,
    division: &dyn DividedBatch,
    members: Range<usize>,
    (inputs, dropout_key): (&[&[f32]], Option<u64>),
    pass: &mut Pass,
) {
    let (rows, width) = (pass::rows(&network.shape, inputs), network.shape.outputs);
    let count = members.len();
    pass.rows = rows;
    pass.members = members.clone();
    pass.outputs.resize(count * rows * width);
    pass.parts.resize_with(division.own().len(), Part::default);
    for (part, index) in pass.parts.iter_mut().zip(division.own()) {
        part.rows = division.rows(index, rows);
        let of = (&network.shape, &network.layout);
        let inputs = (inputs, part.rows.clone());
        part.pass.begin(of, members.clone(), inputs, dropout_key);
        forward::forward(network, pool, &mut part.pass);
        copy(
            &part.pass.outputs,
            &part.rows,
            (count, rows),
            &mut pass.outputs,
        );
    }
    division.complete(count, rows, &mut pass.outputs);
}

/// The backward pass of [`forward()`].
pub(super) fn backward(
    network: &Network,
    pool: &Pool,
    division: &dyn DividedBatch,
    output_gradients: &[f32],
    want: Want<'_>,
    pass: &mut Pass,
) {
    let (count, rows) = (pass.members.len(), pass.rows);
    let wants_parameters = !matches!(want.parameters, Gradient::Skip);
    let width = want.input_part.map_or(0, |part| network.shape.inputs[part]);
    pass.input_gradients.resize(count * rows * width);
    for part in &mut pass.parts {
        let outputs = network.shape.outputs;
        let len = part.rows.len() * outputs;
        part.output_gradients.resize(count * len);
        let members = output_gradients.chunks((rows * outputs).max(1));
        for (from, to) in members.zip(part.output_gradients.chunks_mut(len.max(1))) {
            to.copy_from_slice(&from[part.rows.start * outputs..][..len]);
        }
        let mut own = Want {
            parameters: Gradient::Skip,
            input_part: want.input_part,
        };
        if wants_parameters {
            part.gradient.resize(network.layout.len());
            own.parameters = Gradient::Set(&mut part.gradient);
        }
        backward::backward(network, pool, &part.output_gradients, own, &mut part.pass);
        let gradients = &part.pass.input_gradients;
        copy(
            gradients,
            &part.rows,
            (count, rows),
            &mut pass.input_gradients,
        );
    }
    division.complete(count, rows, &mut pass.input_gradients);
    let member = network.layout.member_len();
    let range = pass.members.start * member..pass.members.end * member;
    let own = || -> Vec<&[f32]> {
        let parts = pass.parts.iter();
        parts.map(|part| &part.gradient[range.clone()]).collect()
    };
    match want.parameters {
        Gradient::Skip => {}
        Gradient::Set(to) => division.sum(&own(), &mut to[range.clone()]),
        Gradient::Add(to) => {
            let mut sum = Buffer::default();
            sum.resize(range.len());
            division.sum(&own(), &mut sum);
            for (to, value) in to[range.clone()].iter_mut().zip(&sum[..]) {
                *to += value;
            }
        }
    }
}

/// The outputs of all members, with packed weights.
pub(super) fn infer(
    network: &Network,
    pool: &Pool,
    division: &dyn DividedBatch,
    (rows, inputs): (usize, &[&[f32]]),
    outputs: &mut [f32],
) {
    let own = division.own_rows(rows);
    let widths = network.shape.inputs.iter();
    let parts = inputs.iter().zip(widths);
    let parts = parts.map(|(part, width)| &part[own.start * width..own.end * width]);
    let count = network.shape.members;
    let mut found = vec![0.0; count * own.len() * network.shape.outputs];
    let parts: Vec<&[f32]> = parts.collect();
    inference::infer(network, pool, own.len(), &parts, &mut found);
    copy(&found, &own, (count, rows), outputs);
    division.complete(count, rows, outputs);
}

/// Copies an array of blocks x these rows x width to its place in one of blocks x all rows x width.
fn copy(from: &[f32], these: &Range<usize>, (blocks, rows): (usize, usize), to: &mut [f32]) {
    let width = to.len() / (blocks * rows).max(1);
    let len = these.len() * width;
    let all = to.chunks_mut((rows * width).max(1));
    for (from, to) in from.chunks(len.max(1)).zip(all) {
        to[these.start * width..][..len].copy_from_slice(from);
    }
}
