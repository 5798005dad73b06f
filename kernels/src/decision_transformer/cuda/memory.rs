//! The memory of a model and a batch on the device, and its layout.

use crate::adamw::cuda::Piece;
use crate::decision_transformer::block::cuda as block;
use crate::decision_transformer::embedding::cuda::table_slices;
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::network::cuda::{Inputs, Network, QueueMemory, Scratch, Take};
use crate::decision_transformer::network::workspace::Workspace;
use crate::decision_transformer::shape::Shape;
use crate::device::backend::{Address, Backend, Error, PREPARING_TO_ACT};
use crate::linear::cuda::{Slices, Storage};
use crate::loss::cuda::blocks as loss_blocks;
use crate::precision::Precision;

/// All memory of a trainer; of a model that only acts, that of the forward pass, and null addresses
/// for the rest.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) parameters: Address,
    /// The parameters as factors of the large products: the same, or a rounded copy.
    pub(crate) factors: Address,
    pub(crate) gradient: Address,
    pub(crate) mean: Address,
    pub(crate) square: Address,
    pub(crate) inputs: Inputs,
    pub(crate) queue: QueueMemory,
    pub(crate) embedded: Address,
    pub(crate) embedded_statistics: Address,
    pub(crate) streams: Vec<Address>,
    pub(crate) blocks: Vec<block::Memory>,
    pub(crate) final_normed: Address,
    pub(crate) final_statistics: Address,
    pub(crate) predictions: Address,
    /// The gradient with respect to the head's outputs.
    pub(crate) dz: Address,
    pub(crate) scratch: Scratch,
    pub(crate) parts: Parts,
    pub(crate) block_losses: Address,
    pub(crate) pieces: Address,
    pub(crate) squares: Address,
}

/// The parts of the gradient outside the blocks, and which part is added to which parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) at: Address,
    pub(crate) table: Address,
    /// Return-to-go, observation, action.
    pub(crate) inputs: Vec<Slices>,
    pub(crate) embed_norm: [Address; 2],
    pub(crate) final_norm: [Address; 2],
    pub(crate) head: Slices,
    pub(crate) pieces: Vec<Piece>,
}

/// Sizes of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) windows: usize,
    /// Steps and batches of the longest queue.
    pub(crate) steps: usize,
    pub(crate) parts: usize,
    /// How the factors of the large products are stored.
    pub(crate) storage: Storage,
    /// Of the dataset, which is allocated later.
    pub(crate) dataset_bytes: u64,
    /// Whether there are steps; else predictions only.
    pub(crate) trains: bool,
}

impl Sizes {
    /// The size of what only steps need.
    fn of_steps(&self, count: usize) -> usize {
        if self.trains { count } else { 0 }
    }
}

impl Parts {
    /// Lays out the parts of the whole gradient from address `at`. Returns those outside the
    /// blocks, those of each block, and their total size in numbers.
    fn new(at: Address, layout: &Layout, steps: usize) -> (Self, Vec<block::Parts>, usize) {
        let tokens = 3 * steps;
        let mut workspace = Workspace::new(at);
        let embedding = &layout.embedding;
        let (slices, _) = table_slices(steps);
        let table = workspace.take(&embedding.timestep, slices);
        let inputs = embedding.kinds();
        let inputs = inputs.map(|pair| workspace.linear(pair, steps)).collect();
        let embed_norm = workspace.norm(&layout.embed_norm, tokens);
        let layers = layout.blocks.len();
        let blocks = layout.blocks.iter().enumerate();
        let blocks = blocks
            .map(|(layer, block)| block.take_parts(steps, layer + 1 == layers, &mut workspace))
            .collect();
        let parts = Self {
            at,
            table,
            inputs,
            embed_norm,
            final_norm: workspace.norm(&layout.final_norm, steps),
            head: workspace.linear(&layout.head, steps),
            pieces: workspace.pieces,
        };
        (parts, blocks, workspace.words)
    }
}

impl Memory {
    /// The model in this memory, without dropout, for batches of B `windows`.
    pub(crate) fn network<'a>(
        &self,
        shape: &'a Shape,
        precision: Precision,
        windows: usize,
    ) -> Network<'a> {
        Network {
            shape,
            precision,
            windows,
            dropout: None,
            parameters: self.parameters,
            factors: self.factors,
            storage: Storage::of(precision, shape.width),
            positionwise: false,
            inputs: self.inputs,
            queue: self.queue,
            scratch: self.scratch,
        }
    }

    /// Allocates the memory, if it and the dataset fit.
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
        let needed = 4 * words + sizes.dataset_bytes;
        if let Some(free) = backend.free_bytes()?.filter(|free| *free < needed) {
            return Err(Error::Memory {
                doing: if sizes.trains {
                    "preparing a step"
                } else {
                    PREPARING_TO_ACT
                },
                needed: Some(needed),
                free: Some(free),
            });
        }
        Self::take(shape, layout, sizes, &mut |count| match count {
            0 => Ok(Address::NULL),
            count => backend.allocate(count),
        })
    }

    fn take(
        shape: &Shape,
        layout: &Layout,
        sizes: Sizes,
        take: &mut Take<'_>,
    ) -> Result<Self, Error> {
        let (c, storage) = (shape.width, sizes.storage);
        let steps = sizes.windows * shape.context;
        let tokens = 3 * steps;
        let (_, _, words) = Parts::new(Address::NULL, layout, steps);
        let (parts, block_parts, _) = Parts::new(take(sizes.of_steps(words))?, layout, steps);
        let mut take_for_steps = |count| take(sizes.of_steps(count));
        let block_scratch =
            block::Scratch::take(&layout.blocks, shape, (steps, storage), &mut take_for_steps)?;
        let scratch = Scratch {
            normed: take_for_steps(tokens * c)?,
            stream: [take_for_steps(tokens * c)?, take_for_steps(tokens * c)?],
            dropped: take_for_steps(tokens * c)?,
        };
        let mut streams = Vec::new();
        let mut blocks = Vec::new();
        for ((layer, at), parts) in layout.blocks.iter().enumerate().zip(block_parts) {
            streams.push(take(tokens * c)?);
            blocks.push(block::Memory {
                tape: at.take_tape(shape, (steps, storage), layer + 1 == shape.layers, take)?,
                scratch: block_scratch,
                parts,
            });
        }
        streams.push(take(steps * c)?);
        let parameters = take(layout.len())?;
        Ok(Self {
            parameters,
            factors: match storage {
                Storage::Floats => parameters,
                Storage::Halves => take(storage.words(layout.len()))?,
            },
            gradient: take(sizes.of_steps(layout.len()))?,
            mean: take(sizes.of_steps(layout.len()))?,
            square: take(sizes.of_steps(layout.len()))?,
            inputs: Inputs {
                observations: take(steps * shape.observation)?,
                actions: take(steps * shape.action)?,
                returns_to_go: take(steps)?,
                timesteps: take(steps)?,
                lengths: take(sizes.windows)?,
                first_steps: take(sizes.windows)?,
            },
            queue: QueueMemory {
                clock: take(1)?,
                starts: take(sizes.of_steps(sizes.parts * sizes.windows))?,
                keys: take(2 * sizes.parts)?,
                rates: take(sizes.of_steps(3 * sizes.steps))?,
                losses: take(sizes.of_steps(2 * sizes.parts))?,
                norms: take(sizes.of_steps(2 * sizes.steps))?,
            },
            embedded: take(tokens * c)?,
            embedded_statistics: take(2 * tokens)?,
            streams,
            blocks,
            final_normed: take(steps * c)?,
            final_statistics: take(2 * steps)?,
            predictions: take(steps * shape.action)?,
            dz: take(sizes.of_steps(steps * shape.action))?,
            scratch,
            block_losses: take(sizes.of_steps(2 * loss_blocks(steps)))?,
            // The struct `Piece` has 32 bytes in C.
            pieces: take(sizes.of_steps(8 * parts.pieces.len()))?,
            squares: take(sizes.of_steps(2 * parts.pieces.len()))?,
            parts,
        })
    }
}
