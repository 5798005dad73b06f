//! A block on a device: its memory and its launches.

use super::Parameters;
use crate::decision_transformer::mixer::cuda as mixer;
use crate::decision_transformer::mlp::cuda as mlp;
use crate::decision_transformer::network::cuda::{Branch, ExtraGradient, Network, Take};
use crate::decision_transformer::network::workspace::Workspace;
use crate::decision_transformer::positionwise::cuda::Positionwise;
use crate::decision_transformer::shape::Shape;
use crate::device::backend::{Address, Error, Launch};
use crate::device::parameters::Numbers;
use crate::dropout::Site;
use crate::dropout::cuda::Drop;
use crate::layer_norm::cuda::Norm;
use crate::linear::cuda::{Rows, Storage};

/// What the forward pass stores of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tape {
    normed_1: Address,
    statistics_1: Address,
    mixer: mixer::Tape,
    middle: Address,
    normed_2: Address,
    statistics_2: Address,
    mlp: mlp::Tape,
}

/// Scratch memory of the backward pass, for all blocks in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    mixer: mixer::Scratch,
    mlp: Address,
}

/// The parts of a block's gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    norm_1: Option<[Address; 2]>,
    mixer: mixer::Parts,
    norm_2: [Address; 2],
    mlp: mlp::Parts,
}

/// A block's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) tape: Tape,
    pub(crate) scratch: Scratch,
    pub(crate) parts: Parts,
}

impl Memory {
    fn mixer(self) -> mixer::Memory {
        mixer::Memory {
            tape: self.tape.mixer,
            scratch: self.scratch.mixer,
            parts: self.parts.mixer,
        }
    }

    fn mlp(self) -> mlp::Memory {
        mlp::Memory {
            tape: self.tape.mlp,
            scratch: self.scratch.mlp,
            parts: self.parts.mlp,
        }
    }
}

impl Scratch {
    /// Takes memory for all of these blocks in turn, which have the same mixer.
    pub(crate) fn take(
        blocks: &[Parameters],
        shape: &Shape,
        (steps, storage): (usize, Storage),
        take: &mut Take<'_>,
    ) -> Result<Self, Error> {
        let mut mixer = mixer::Scratch::default();
        if let Some(block) = blocks.first() {
            block
                .mixer
                .take_scratch((steps, storage), &mut mixer, take)?;
        }
        Ok(Self {
            mixer,
            mlp: take(storage.words(3 * steps * 4 * shape.width))?,
        })
    }
}

impl Parameters {
    /// Takes memory for what the forward pass stores of this many steps.
    pub(crate) fn take_tape(
        &self,
        shape: &Shape,
        (steps, storage): (usize, Storage),
        last: bool,
        take: &mut Take<'_>,
    ) -> Result<Tape, Error> {
        let (c, tokens) = (shape.width, 3 * steps);
        let rows = if last { steps } else { tokens };
        Ok(Tape {
            normed_1: take(storage.words(tokens * c))?,
            statistics_1: take(2 * tokens)?,
            mixer: self.mixer.take_tape((steps, storage), last, take)?,
            middle: take(rows * c)?,
            normed_2: take(storage.words(rows * c))?,
            statistics_2: take(2 * rows)?,
            mlp: self
                .mlp
                .take_tape(shape.activation, (rows, storage), take)?,
        })
    }

    /// Takes memory for the parts of the gradient over this many steps.
    pub(crate) fn take_parts(&self, steps: usize, last: bool, workspace: &mut Workspace) -> Parts {
        let tokens = 3 * steps;
        let rows = if last { steps } else { tokens };
        Parts {
            norm_1: (self.norm_1.as_ref()).map(|norm| workspace.norm(norm, tokens)),
            mixer: self.mixer.take_parts(tokens, rows, workspace),
            norm_2: workspace.norm(&self.norm_2, rows),
            mlp: self.mlp.take_parts(rows, workspace),
        }
    }

    /// The norm in front of the mixer, if there is one.
    pub(crate) fn first_norm(
        &self,
        network: &Network<'_>,
        x: Address,
        memory: &Memory,
    ) -> Option<Norm> {
        let normed = network.storage.numbers(memory.tape.normed_1);
        let to = (normed, memory.tape.statistics_1);
        let norm = self.norm_1.as_ref()?;
        Some(network.norm(norm, x, to, Drop::NONE, network.tokens()))
    }

    /// Writes x', from x; and if one launch computes all between two mixers, what the next block's
    /// mixes, too. The embedding has computed the first norm of the first layer.
    pub(crate) fn forward_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        streams: (Address, Address),
        memory: &Memory,
        next: Option<(&Self, &Memory)>,
        launches: &mut Vec<Launch>,
    ) {
        let (x, behind) = streams;
        if layer == 0 || !network.positionwise {
            let norm = self.first_norm(network, x, memory);
            launches.extend(norm.filter(|_| layer > 0).map(|norm| norm.launch()));
            let normed = memory.tape.normed_1;
            (self.mixer).input_launches(network, layer, normed, memory.mixer(), launches);
        }
        (self.mixer).mix_launches(network, layer, memory.mixer(), launches);
        if network.positionwise {
            let positionwise = self.positionwise(network, layer, streams, memory, next);
            launches.push(positionwise.launch());
            return;
        }
        let (rows, tokens) = network.outputs(layer);
        let branch = Branch {
            residual: x,
            residual_rows: tokens,
            site: Site::Projection { layer },
            to: memory.tape.middle,
        };
        (self.mixer).output_launches(network, layer, memory.mixer(), branch, launches);
        launches.push(self.second_norm(network, layer, memory).launch());
        let branch = Branch {
            residual: memory.tape.middle,
            residual_rows: Rows::ALL,
            site: Site::Mlp { layer },
            to: behind,
        };
        let (rows, normed) = ((rows, tokens), memory.tape.normed_2);
        launches.extend((self.mlp).forward_launches(network, rows, normed, memory.mlp(), branch));
    }

    /// The norm in front of the MLP.
    fn second_norm(&self, network: &Network<'_>, layer: usize, memory: &Memory) -> Norm {
        let (tape, (rows, _)) = (memory.tape, network.outputs(layer));
        let normed = (network.storage.numbers(tape.normed_2), tape.statistics_2);
        network.norm(&self.norm_2, tape.middle, normed, Drop::NONE, rows)
    }

    /// All between this mixer and the next block's.
    fn positionwise(
        &self,
        network: &Network<'_>,
        layer: usize,
        (residual, to): (Address, Address),
        memory: &Memory,
        next: Option<(&Self, &Memory)>,
    ) -> Positionwise {
        let (rows, token_rows) = network.outputs(layer);
        let first_norm = next.and_then(|(at, memory)| at.first_norm(network, to, memory));
        let mut all = Positionwise {
            residual,
            token_rows,
            norm: self.second_norm(network, layer, memory),
            to,
            next: first_norm.unwrap_or(Norm::NONE),
            rows: rows as i32,
            ..Positionwise::NONE
        };
        (self.mixer).output_in(network, layer, memory.mixer(), &mut all);
        (self.mlp).forward_in(network, layer, memory.tape.mlp, &mut all);
        if let Some((at, memory)) = next {
            (at.mixer).inputs_in(network, layer + 1, memory.mixer(), &mut all);
        }
        all
    }

    /// From the gradient after a block (scratch.stream\[0\], and scratch.dropped after the mask of
    /// its MLP) to the one before it, in the same places, where the mask is that of `before`.
    pub(crate) fn backward_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        x: Address,
        before: Site,
        memory: &Memory,
        launches: &mut Vec<Launch>,
    ) {
        let (tape, parts, scratch) = (memory.tape, memory.parts, &network.scratch);
        let (rows, tokens) = network.outputs(layer);
        let normed = tape.normed_2;
        launches.extend((self.mlp).backward_launches(network, rows, normed, memory.mlp()));
        let drop = network.drop(Site::Projection { layer });
        let dropped = network.storage.numbers(scratch.dropped);
        launches.push(network.norm_back(
            &self.norm_2,
            (tape.middle, tape.statistics_2, scratch.normed),
            ExtraGradient::Rows(scratch.stream[0]),
            (scratch.stream[1], Some((drop, dropped))),
            (rows, tokens),
            parts.norm_2,
        ));
        let normed = tape.normed_1;
        (self.mixer).backward_launches(network, layer, normed, memory.mixer(), launches);
        let beside = if network.is_last(layer) {
            ExtraGradient::Observations(scratch.stream[1])
        } else {
            ExtraGradient::Rows(scratch.stream[1])
        };
        // The norm of the embedding is no product.
        let dropped = match before {
            Site::Embedding => Numbers::floats(scratch.dropped),
            _ => dropped,
        };
        if let (Some(norm), Some(parts)) = (&self.norm_1, parts.norm_1) {
            launches.push(network.norm_back(
                norm,
                (x, tape.statistics_1, scratch.normed),
                beside,
                (scratch.stream[0], Some((network.drop(before), dropped))),
                (network.tokens(), Rows::ALL),
                parts,
            ));
        }
    }
}
