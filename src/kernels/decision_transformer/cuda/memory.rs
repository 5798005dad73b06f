//! What a model and a batch need on the device, and where each lies.

use crate::kernels::activation::Activation;
use crate::kernels::adamw::cuda::{Piece, pieces};
use crate::kernels::decision_transformer::layout::{Layout, Pair, Shape};
use crate::kernels::device::backend::{Address, Backend, Error};
use crate::kernels::layer_norm::cuda::blocks as norm_blocks;
use crate::kernels::linear::cuda::{Slices, slices};
use crate::kernels::loss::cuda::blocks as loss_blocks;
use std::ops::Range;

/// Hands out memory: counts it first, then allocates.
type Take<'a> = dyn FnMut(usize) -> Result<Address, Error> + 'a;

/// One batch: B windows of K steps, valid steps first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs {
    pub(crate) observations: Address,
    pub(crate) actions: Address,
    pub(crate) returns_to_go: Address,
    pub(crate) timesteps: Address,
    pub(crate) lengths: Address,
    pub(crate) first_steps: Address,
}

/// What forward keeps of a block. With M rows of tokens; in the last layer `q` and all behind it have the
/// observations' rows alone, and keys and values lie by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) normed_1: Address,
    pub(crate) statistics_1: Address,
    pub(crate) q: Address,
    pub(crate) q_stride: usize,
    pub(crate) kv: Address,
    pub(crate) kv_stride: usize,
    pub(crate) attended: Address,
    pub(crate) logs: Address,
    pub(crate) middle: Address,
    pub(crate) normed_2: Address,
    pub(crate) statistics_2: Address,
    pub(crate) hidden_input: Address,
    pub(crate) hidden: Address,
}

/// What backward needs besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    pub(crate) dz: Address,
    pub(crate) normed: Address,
    pub(crate) stream: [Address; 2],
    pub(crate) dropped: Address,
    pub(crate) hidden: Address,
    pub(crate) attended: Address,
    pub(crate) deltas: Address,
    /// M x 3 C: queries, keys and values beside each other, or, in the last layer, keys and values.
    pub(crate) qkv: Address,
    /// The last layer's queries.
    pub(crate) q: Address,
}

/// What a plan of several steps needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clock: Address,
    pub(crate) starts: Address,
    pub(crate) keys: Address,
    pub(crate) rates: Address,
    pub(crate) losses: Address,
    pub(crate) norms: Address,
}

/// All memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) parameters: Address,
    pub(crate) gradient: Address,
    pub(crate) mean: Address,
    pub(crate) square: Address,
    pub(crate) inputs: Inputs,
    pub(crate) plan: Plan,
    pub(crate) embedded: Address,
    pub(crate) embedded_statistics: Address,
    pub(crate) streams: Vec<Address>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_normed: Address,
    pub(crate) final_statistics: Address,
    pub(crate) predictions: Address,
    pub(crate) scratch: Scratch,
    pub(crate) workspace: Workspace,
    pub(crate) block_losses: Address,
    pub(crate) pieces: Address,
    pub(crate) squares: Address,
}

/// Parts of the gradient that blocks leave, before they are added up.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) at: Address,
    pub(crate) table: Address,
    /// Return-to-go, observation, action.
    pub(crate) inputs: [Slices; 3],
    pub(crate) embed_norm: [Address; 2],
    pub(crate) blocks: Vec<BlockParts>,
    pub(crate) final_norm: [Address; 2],
    pub(crate) head: Slices,
    pub(crate) pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockParts {
    pub(crate) norm_1: [Address; 2],
    pub(crate) qkv: Slices,
    pub(crate) projection: Slices,
    pub(crate) norm_2: [Address; 2],
    pub(crate) up: Slices,
    pub(crate) down: Slices,
}

/// Sizes of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) windows: usize,
    /// Steps and batches of the longest plan.
    pub(crate) steps: usize,
    pub(crate) parts: usize,
}

/// Lays out the workspace.
struct Places {
    words: usize,
    pieces: Vec<Piece>,
}

impl Places {
    fn take(&mut self, range: &Range<usize>, count: usize) -> usize {
        let from = self.words;
        self.pieces.extend(pieces(range, from, count));
        self.words += range.len() * count;
        from
    }

    /// Slices of a weight and a bias, as offsets; the addresses are filled in later.
    fn linear(&mut self, pair: &Pair, rows: usize) -> Slices {
        let outputs = pair.bias.len();
        let count = slices(pair.weight.len() / outputs, outputs, rows);
        Slices {
            count,
            weight: Address(self.take(&pair.weight, count) as u64),
            stride: outputs,
            weight_slice: pair.weight.len(),
            bias: Address(self.take(&pair.bias, count) as u64),
            bias_slice: outputs,
        }
    }

    fn norm(&mut self, pair: &Pair, rows: usize) -> [Address; 2] {
        let (_, count) = norm_blocks(rows);
        [&pair.weight, &pair.bias].map(|range| Address(self.take(range, count) as u64))
    }
}

impl Workspace {
    /// As offsets in words, and how many words.
    fn lay_out(layout: &Layout, steps: usize) -> (Self, usize) {
        let tokens = 3 * steps;
        let mut places = Places {
            words: 0,
            pieces: Vec::new(),
        };
        let table = Address(places.take(&layout.timestep, 1) as u64);
        let inputs = [&layout.return_to_go, &layout.observation, &layout.action]
            .map(|pair| places.linear(pair, steps));
        let embed_norm = places.norm(&layout.embed_norm, tokens);
        let last = layout.blocks.len().saturating_sub(1);
        let blocks = layout.blocks.iter().enumerate().map(|(layer, block)| {
            let rows = if layer == last { steps } else { tokens };
            BlockParts {
                norm_1: places.norm(&block.norm_1, tokens),
                qkv: places.linear(&block.qkv, tokens),
                projection: places.linear(&block.projection, rows),
                norm_2: places.norm(&block.norm_2, rows),
                up: places.linear(&block.up, rows),
                down: places.linear(&block.down, rows),
            }
        });
        let blocks = blocks.collect();
        let final_norm = places.norm(&layout.final_norm, steps);
        let head = places.linear(&layout.head, steps);
        let workspace = Self {
            at: Address::NULL,
            table,
            inputs,
            embed_norm,
            blocks,
            final_norm,
            head,
            pieces: places.pieces,
        };
        (workspace, places.words)
    }

    /// Turns offsets into addresses.
    fn place(&mut self, at: Address) {
        let move_one = |address: &mut Address| *address = at.words(address.0 as usize);
        let move_slices = |slices: &mut Slices| {
            move_one(&mut slices.weight);
            move_one(&mut slices.bias);
        };
        self.at = at;
        move_one(&mut self.table);
        self.inputs.iter_mut().for_each(move_slices);
        for block in &mut self.blocks {
            block
                .norm_1
                .iter_mut()
                .chain(&mut block.norm_2)
                .for_each(move_one);
            [&mut block.qkv, &mut block.projection]
                .into_iter()
                .chain([&mut block.up, &mut block.down])
                .for_each(move_slices);
        }
        self.embed_norm
            .iter_mut()
            .chain(&mut self.final_norm)
            .for_each(move_one);
        move_slices(&mut self.head);
    }
}

impl Memory {
    /// Allocates, if it fits.
    pub(crate) fn allocate(
        backend: &mut dyn Backend,
        shape: &Shape,
        layout: &Layout,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let mut words = 0;
        Self::take(shape, layout, sizes, &mut |count| {
            words += count as u64;
            Ok(Address::NULL)
        })?;
        let needed = 4 * words;
        if let Some(free) = backend.free_bytes()?.filter(|free| *free < needed) {
            return Err(Error::Memory { needed, free });
        }
        Self::take(shape, layout, sizes, &mut |count| backend.allocate(count))
    }

    fn take(
        shape: &Shape,
        layout: &Layout,
        sizes: Sizes,
        take: &mut Take<'_>,
    ) -> Result<Self, Error> {
        let c = shape.width;
        let steps = sizes.windows * shape.context;
        let tokens = 3 * steps;
        let (mut workspace, words) = Workspace::lay_out(layout, steps);
        workspace.place(take(words)?);
        let mut streams = Vec::new();
        let mut blocks = Vec::new();
        for layer in 0..shape.layers {
            streams.push(take(tokens * c)?);
            blocks.push(Block::take(shape, steps, layer + 1 == shape.layers, take)?);
        }
        streams.push(take(steps * c)?);
        Ok(Self {
            parameters: take(layout.len())?,
            gradient: take(layout.len())?,
            mean: take(layout.len())?,
            square: take(layout.len())?,
            inputs: Inputs {
                observations: take(steps * shape.observation)?,
                actions: take(steps * shape.action)?,
                returns_to_go: take(steps)?,
                timesteps: take(steps)?,
                lengths: take(sizes.windows)?,
                first_steps: take(sizes.windows)?,
            },
            plan: Plan {
                clock: take(1)?,
                starts: take(sizes.parts * sizes.windows)?,
                keys: take(2 * sizes.parts)?,
                rates: take(3 * sizes.steps)?,
                losses: take(2 * sizes.parts)?,
                norms: take(2 * sizes.steps)?,
            },
            embedded: take(tokens * c)?,
            embedded_statistics: take(2 * tokens)?,
            streams,
            final_normed: take(steps * c)?,
            final_statistics: take(2 * steps)?,
            predictions: take(steps * shape.action)?,
            scratch: Scratch {
                dz: take(steps * shape.action)?,
                normed: take(tokens * c)?,
                stream: [take(tokens * c)?, take(tokens * c)?],
                dropped: take(tokens * c)?,
                hidden: take(tokens * 4 * c)?,
                attended: take(tokens * c)?,
                deltas: take(tokens * shape.heads)?,
                qkv: take(tokens * 3 * c)?,
                q: take(steps * c)?,
            },
            block_losses: take(2 * loss_blocks(steps))?,
            // A piece has 32 bytes in C.
            pieces: take(8 * workspace.pieces.len())?,
            squares: take(2 * workspace.pieces.len())?,
            blocks,
            workspace,
        })
    }
}

impl Block {
    fn take(shape: &Shape, steps: usize, last: bool, take: &mut Take<'_>) -> Result<Self, Error> {
        let (c, tokens) = (shape.width, 3 * steps);
        let rows = if last { steps } else { tokens };
        let (q, q_stride, kv, kv_stride) = if last {
            (take(steps * c)?, c, take(tokens * 2 * c)?, 2 * c)
        } else {
            let qkv = take(tokens * 3 * c)?;
            (qkv, 3 * c, qkv.words(c), 3 * c)
        };
        let gelu = shape.activation == Activation::Gelu;
        Ok(Self {
            normed_1: take(tokens * c)?,
            statistics_1: take(2 * tokens)?,
            q,
            q_stride,
            kv,
            kv_stride,
            attended: take(rows * c)?,
            logs: take(rows * shape.heads)?,
            middle: take(rows * c)?,
            normed_2: take(rows * c)?,
            statistics_2: take(2 * rows)?,
            hidden_input: if gelu {
                take(rows * 4 * c)?
            } else {
                Address::NULL
            },
            hidden: take(rows * 4 * c)?,
        })
    }
}
