//! Mixers on a device: their memory and their launches. A mixer without kernels takes no memory and
//! launches nothing; models with such a mixer are refused earlier (`Shape::runs_on_devices`).

use super::{Mixer, attention::cuda as attention};
use crate::decision_transformer::network::cuda::{Branch, Network, Take};
use crate::decision_transformer::network::workspace::Workspace;
use crate::decision_transformer::positionwise::cuda::Positionwise;
use crate::device::backend::{Address, Error, Launch};
use crate::linear::cuda::Storage;

/// What the forward pass stores of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tape {
    attention: attention::Tape,
}

/// Scratch memory of the backward pass, for all layers in turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scratch {
    attention: attention::Scratch,
}

/// The parts of a layer's gradient.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    attention: attention::Parts,
}

/// One layer's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) tape: Tape,
    pub(crate) scratch: Scratch,
    pub(crate) parts: Parts,
}

impl Memory {
    fn attention(self) -> attention::Memory {
        attention::Memory {
            tape: self.tape.attention,
            scratch: self.scratch.attention,
            parts: self.parts.attention,
        }
    }
}

impl Mixer {
    /// Takes memory for what the forward pass stores of a layer of this many steps.
    pub(crate) fn take_tape(
        &self,
        size: (usize, Storage),
        last: bool,
        take: &mut Take<'_>,
    ) -> Result<Tape, Error> {
        Ok(match self {
            Self::Attention(at) => Tape {
                attention: attention::Tape::take(at, size, last, take)?,
            },
            Self::Convolution(_) | Self::Scan(_) | Self::Lstm(_) => Tape::default(),
        })
    }

    /// Takes the scratch memory of the backward pass, unless a layer with the same mixer has it
    /// already.
    pub(crate) fn take_scratch(
        &self,
        size: (usize, Storage),
        scratch: &mut Scratch,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::Attention(at) => scratch.attention = attention::Scratch::take(at, size, take)?,
            Self::Convolution(_) | Self::Scan(_) | Self::Lstm(_) => {}
        }
        Ok(())
    }

    /// Takes memory for the parts of the gradient of a layer of this many rows of tokens, of which
    /// `outputs` continue after it.
    pub(crate) fn take_parts(
        &self,
        tokens: usize,
        outputs: usize,
        workspace: &mut Workspace,
    ) -> Parts {
        match self {
            Self::Attention(at) => Parts {
                attention: attention::Parts::take(at, tokens, outputs, workspace),
            },
            Self::Convolution(_) | Self::Scan(_) | Self::Lstm(_) => Parts::default(),
        }
    }

    /// What is mixed, from the normed tokens.
    pub(crate) fn input_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        normed: Address,
        memory: Memory,
        launches: &mut Vec<Launch>,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        attention::inputs(at, network, layer, normed, memory.attention(), launches);
    }

    /// Mixes it.
    pub(crate) fn mix_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        memory: Memory,
        launches: &mut Vec<Launch>,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        launches.push(attention::mix(at, network, layer, memory.attention()));
    }

    /// Computes the branch of what was mixed.
    pub(crate) fn output_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        memory: Memory,
        branch: Branch,
        launches: &mut Vec<Launch>,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        let memory = memory.attention();
        launches.push(attention::output(at, network, layer, memory, branch));
    }

    /// Fills in what one launch for all between two mixers reads of the layer before it.
    pub(crate) fn output_in(
        &self,
        network: &Network<'_>,
        layer: usize,
        memory: Memory,
        to: &mut Positionwise,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        attention::output_in(at, network, layer, memory.attention(), to);
    }

    /// Fills in what such a launch writes for the layer behind it.
    pub(crate) fn inputs_in(
        &self,
        network: &Network<'_>,
        layer: usize,
        memory: Memory,
        to: &mut Positionwise,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        attention::inputs_in(at, network, layer, memory.attention(), to);
    }

    /// From the gradient of the branch, scratch.dropped, to that of the normed tokens,
    /// scratch.normed; and to the parts of the gradient.
    pub(crate) fn backward_launches(
        &self,
        network: &Network<'_>,
        layer: usize,
        normed: Address,
        memory: Memory,
        launches: &mut Vec<Launch>,
    ) {
        let Self::Attention(at) = self else {
            return;
        };
        attention::backward(at, network, layer, normed, memory.attention(), launches);
    }
}
