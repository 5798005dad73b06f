//! The weights as the products read them, packed once for all groups and threads of a call.

use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::{Layout, Pair};
use crate::kernels::linear::cpu::Panels;
use crate::kernels::precision::Precision;
use crate::kernels::simd::Level;

/// W for the forward products and W^T for the backward ones.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) embedding: [Panels; 3],
    pub(crate) blocks: Vec<Block>,
    pub(crate) head: Panels,
    pub(crate) head_across: Panels,
}

/// The weights of one block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) query: Panels,
    pub(crate) keys_values: Panels,
    pub(crate) projection: Panels,
    pub(crate) up: Panels,
    pub(crate) down: Panels,
    /// In a last block that attends directly: keys and values of each head, instead of `keys_values`.
    pub(crate) keys: Vec<Panels>,
    pub(crate) values: Vec<Panels>,
    pub(crate) across: Across,
}

/// The transposed weights of one block.
#[derive(Debug, Default)]
pub(crate) struct Across {
    pub(crate) query: Panels,
    pub(crate) keys_values: Panels,
    pub(crate) projection: Panels,
    pub(crate) up: Panels,
    pub(crate) down: Panels,
}

/// One matrix inside the parameters: in x out, rows `stride` apart.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    inputs: usize,
    outputs: usize,
    stride: usize,
}

/// How the weights of the blocks are packed.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) level: Level,
    pub(crate) precision: Precision,
    /// Are the transposes wanted too?
    pub(crate) backward: bool,
    /// The heads of the last block, if it attends directly.
    pub(crate) direct: Option<usize>,
}

impl<'a> Matrix<'a> {
    fn of(parameters: &'a [f32], pair: &Pair) -> Self {
        let outputs = pair.bias.len();
        let data = &parameters[pair.weight.clone()];
        Self {
            data,
            inputs: data.len() / outputs,
            outputs,
            stride: outputs,
        }
    }

    fn columns(self, start: usize, outputs: usize) -> Self {
        Self {
            data: &self.data[start..],
            outputs,
            ..self
        }
    }

    fn pack(self, level: Level, panels: &mut Panels) {
        panels.pack(
            level,
            self.data,
            self.stride,
            self.inputs,
            self.outputs,
            None,
        );
    }

    fn pack_across(self, level: Level, panels: &mut Panels) {
        panels.pack_transposed(level, self.data, self.stride, self.outputs, self.inputs);
    }
}

impl Weights {
    /// Packs all weights. Blocks are handed to `each`, which may spread them over threads.
    pub(crate) fn pack(
        &mut self,
        packing: Packing,
        layout: &Layout,
        parameters: &[f32],
        each: impl FnOnce(&mut [Block], &(dyn Fn(usize, &mut Block) + Sync)),
    ) {
        let Packing {
            level,
            precision,
            backward,
            direct,
        } = packing;
        embedding::cpu::pack(level, layout, parameters, &mut self.embedding);
        let head = Matrix::of(parameters, &layout.head);
        head.pack(level, &mut self.head);
        if backward {
            head.pack_across(level, &mut self.head_across);
        }
        self.blocks.resize_with(layout.blocks.len(), Block::default);
        each(&mut self.blocks, &|index, block| {
            let at = &layout.blocks[index];
            let c = at.norm_1.bias.len();
            let qkv = Matrix::of(parameters, &at.qkv);
            let (query, keys_values) = (qkv.columns(0, c), qkv.columns(c, 2 * c));
            let projection = Matrix::of(parameters, &at.projection);
            let up = Matrix::of(parameters, &at.up);
            let down = Matrix::of(parameters, &at.down);
            query.pack(level, block.query.hold(precision));
            if let Some(heads) = direct.filter(|_| index + 1 == layout.blocks.len()) {
                let d = c / heads;
                block.keys.resize_with(heads, Panels::default);
                block.values.resize_with(heads, Panels::default);
                let panels = block.keys.iter_mut().zip(&mut block.values);
                for (head, (keys, values)) in panels.enumerate() {
                    qkv.columns(c + head * d, d).pack(level, keys);
                    qkv.columns(2 * c + head * d, d).pack(level, values);
                }
            } else {
                keys_values.pack(level, block.keys_values.hold(precision));
            }
            projection.pack(level, block.projection.hold(precision));
            up.pack(level, block.up.hold(precision));
            down.pack(level, block.down.hold(precision));
            if backward {
                let across = &mut block.across;
                query.pack_across(level, across.query.hold(precision));
                keys_values.pack_across(level, across.keys_values.hold(precision));
                projection.pack_across(level, across.projection.hold(precision));
                up.pack_across(level, across.up.hold(precision));
                down.pack_across(level, across.down.hold(precision));
            }
        });
    }
}
