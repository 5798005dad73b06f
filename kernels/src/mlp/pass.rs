//! What one pass through a network keeps for its backward pass.

use super::layout::{Activation, Layout, Place, Shape};
use crate::buffer::Buffer;
use crate::dropout::Site;
use crate::dropout::cpu::Row;
use std::ops::Range;

/// Rows whose part of a norm's gradient is added up at once, so that its bits do not depend on how
/// rows are divided. Shares of rows are multiples of it.
pub(super) const CHUNK: usize = 32;

/// The activations of one forward pass, and the gradients of the backward pass that follows it.
/// Keep one for each pass of an update and reuse it: its memory grows to the largest batch.
#[derive(Debug, Default)]
pub struct Pass {
    pub(super) rows: usize,
    pub(super) members: Range<usize>,
    /// The number of the parameters that the pass was made with.
    pub(super) version: u64,
    /// All parts of the input side by side: rows x width.
    pub(super) input: Buffer,
    pub(super) hidden: Vec<Hidden>,
    pub(super) outputs: Buffer,
    pub(super) input_gradients: Buffer,
    pub(super) drops: bool,
    /// Where batches are divided: the passes of this process's parts, which have the activations.
    pub(super) parts: Vec<Part>,
}

/// The pass of a part of the rows.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) rows: Range<usize>,
    pub(super) pass: Pass,
    /// Those at this part's outputs.
    pub(super) output_gradients: Buffer,
    /// The part's gradient at the parameters.
    pub(super) gradient: Buffer,
}

/// One hidden layer; each array is members x rows x width, or empty if the layer does not need it.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// The input of the next layer.
    pub(super) output: Buffer,
    /// f' at each number; `ReLU` needs none.
    pub(super) slope: Buffer,
    /// The input of the norm.
    pub(super) unnormed: Buffer,
    pub(super) statistics: Vec<[f32; 2]>,
    pub(super) masks: Vec<Row>,
    /// The gradient at the linear layer's output.
    pub(super) delta: Buffer,
    /// The gradient at the norm's output.
    pub(super) branch: Buffer,
    /// Of each chunk of rows, the gradient of the norm's gain and bias: members x chunks x 2 width.
    pub(super) norms: Buffer,
}

impl Pass {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The outputs of the last forward pass, members x rows x outputs.
    pub fn outputs(&self) -> &[f32] {
        &self.outputs
    }

    /// The gradients at the input part of the last backward pass, members x rows x width of the
    /// part.
    pub fn input_gradients(&self) -> &[f32] {
        &self.input_gradients
    }

    /// The gradient at that input part, rows x width: the members' gradients, added up in their
    /// order.
    ///
    /// # Panics
    /// If `to` has another length.
    pub fn sum_input_gradients(&self, to: &mut [f32]) {
        let len = self.input_gradients.len() / self.members.len().max(1);
        assert_eq!(to.len(), len, "a gradient for each number of the part");
        to.fill(0.0);
        for member in self.input_gradients.chunks(len.max(1)) {
            for (to, gradient) in to.iter_mut().zip(member) {
                *to += gradient;
            }
        }
    }

    /// Copies these rows of the input, and resizes all arrays of the forward pass. Dropout's masks
    /// follow from the numbers of the rows.
    pub(super) fn begin(
        &mut self,
        (shape, layout): (&Shape, &Layout),
        members: Range<usize>,
        (inputs, of): (&[&[f32]], Range<usize>),
        dropout_key: Option<u64>,
    ) {
        let rows = of.len();
        self.rows = rows;
        self.members = members.clone();
        self.drops = dropout_key.is_some() && shape.dropout > 0.0;
        self.input.resize(rows * shape.width());
        gather(shape, inputs, of.clone(), &mut self.input);
        let count = members.len();
        self.outputs.resize(count * rows * shape.outputs);
        self.hidden.resize_with(shape.hidden.len(), Hidden::default);
        for (index, (hidden, layer)) in self.hidden.iter_mut().zip(layout.layers()).enumerate() {
            let len = count * rows * layer.outputs;
            hidden.output.resize(len);
            let keeps_slope = shape.activation != Activation::Relu;
            hidden.slope.resize(if keeps_slope { len } else { 0 });
            let (unnormed, statistics) = match shape.norm {
                Some(_) => (len, count * rows),
                None => (0, 0),
            };
            hidden.unnormed.resize(unnormed);
            hidden.statistics.resize(statistics, [0.0; 2]);
            hidden.masks.clear();
            if let Some(key) = dropout_key.filter(|_| self.drops) {
                let rows = members.clone().flat_map(|member| {
                    let row = move |row| Row::new(key, Site::Mlp { layer: index }, row, member);
                    of.clone().map(row)
                });
                hidden.masks.extend(rows);
            }
        }
    }

    /// Copies the cotangents of an input part, one for each member, and resizes every hidden layer
    /// to the rows of `pass`.
    pub(super) fn begin_tangents(
        &mut self,
        shape: &Shape,
        layout: &Layout,
        pass: &Self,
        (part, cotangents): (usize, &[f32]),
    ) {
        let rows = pass.members.len() * pass.rows;
        let (columns, width) = (shape.part(part), shape.width());
        self.input.resize(rows * width);
        self.input.fill(0.0);
        let to = self.input.chunks_mut(width);
        for (to, from) in to.zip(cotangents.chunks(columns.len())) {
            to[columns.clone()].copy_from_slice(from);
        }
        self.hidden.resize_with(shape.hidden.len(), Hidden::default);
        for (hidden, layer) in self.hidden.iter_mut().zip(layout.layers()) {
            hidden.output.resize(rows * layer.outputs);
        }
    }
}

/// What the backward pass reads of a hidden layer.
pub(super) struct Forward<'a> {
    output: &'a [f32],
    slope: &'a [f32],
    pub(super) unnormed: &'a [f32],
    pub(super) statistics: &'a [[f32; 2]],
    pub(super) masks: &'a [Row],
}

impl Hidden {
    /// What the backward pass reads; and what it writes: delta, branch, norms.
    pub(super) fn split(&mut self) -> (Forward<'_>, &mut [f32], &mut [f32], &mut [f32]) {
        let forward = Forward {
            output: &self.output,
            slope: &self.slope,
            unnormed: &self.unnormed,
            statistics: &self.statistics,
            masks: &self.masks,
        };
        (forward, &mut self.delta, &mut self.branch, &mut self.norms)
    }
}

impl<'a> Forward<'a> {
    /// The array from which f' is computed: for `ReLU` its own output.
    pub(super) fn kept(&self, shape: &Shape) -> &'a [f32] {
        match (shape.activation, shape.norm.map(|norm| norm.place)) {
            (Activation::Relu, Some(Place::AfterActivation)) => self.unnormed,
            (Activation::Relu, _) => self.output,
            _ => self.slope,
        }
    }
}

/// How many rows the parts of an input have.
pub(super) fn rows(shape: &Shape, inputs: &[&[f32]]) -> usize {
    assert_eq!(
        inputs.len(),
        shape.inputs.len(),
        "one array for each input part"
    );
    let rows = inputs[0].len() / shape.inputs[0];
    for (part, width) in inputs.iter().zip(&shape.inputs) {
        assert_eq!(
            part.len(),
            rows * width,
            "an input part is rows x its width"
        );
    }
    rows
}

/// Copies the parts of these rows side by side.
pub(super) fn gather(shape: &Shape, inputs: &[&[f32]], rows: Range<usize>, to: &mut [f32]) {
    let width = shape.width();
    let mut start = 0;
    for (part, &columns) in inputs.iter().zip(&shape.inputs) {
        let from = &part[rows.start * columns..rows.end * columns];
        for (from, to) in from.chunks(columns).zip(to.chunks_mut(width)) {
            to[start..start + columns].copy_from_slice(from);
        }
        start += columns;
    }
}

/// Cuts an array of members x rows x width into the shares of rows, member after member.
pub(super) fn shares<T>(
    whole: &mut [T],
    rows: usize,
    share: usize,
    width: usize,
) -> impl Iterator<Item = &mut [T]> {
    whole
        .chunks_mut((rows * width).max(1))
        .flat_map(move |member| member.chunks_mut((share * width).max(1)))
}
