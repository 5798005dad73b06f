//! The MLP on a device: its memory and its launches.

use super::Parameters;
use crate::activation::Activation;
use crate::decision_transformer::network::cuda::{Branch, Network, PLAIN, Take};
use crate::decision_transformer::network::workspace::Workspace;
use crate::decision_transformer::positionwise::cuda::Positionwise;
use crate::device::backend::{Address, Error, Launch};
use crate::dropout::Site;
use crate::linear::cuda::{Finish, LayerGradients, Rows, Slices, Storage, number};

/// What the forward pass stores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tape {
    /// The input of the activation; only GELU needs it.
    hidden_input: Address,
    hidden: Address,
}

/// The parts of the gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    up: Slices,
    down: Slices,
}

/// One layer's memory. `scratch` is for the gradient of the hidden rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) tape: Tape,
    pub(crate) scratch: Address,
    pub(crate) parts: Parts,
}

impl Parameters {
    /// Takes memory for what the forward pass stores of this many rows.
    pub(crate) fn take_tape(
        &self,
        activation: Activation,
        (rows, storage): (usize, Storage),
        take: &mut Take<'_>,
    ) -> Result<Tape, Error> {
        let inner = self.up.bias.len();
        Ok(Tape {
            hidden_input: match activation {
                Activation::Gelu => take(rows * inner)?,
                Activation::Relu => Address::NULL,
            },
            hidden: take(storage.words(rows * inner))?,
        })
    }

    /// Takes memory for the parts of the gradient of this many rows.
    pub(crate) fn take_parts(&self, rows: usize, workspace: &mut Workspace) -> Parts {
        Parts {
            up: workspace.linear(&self.up, rows),
            down: workspace.linear(&self.down, rows),
        }
    }

    /// Computes the branch from normed rows.
    pub(crate) fn forward_launches(
        &self,
        network: &Network<'_>,
        (rows, tokens): (usize, Rows),
        normed: Address,
        memory: Memory,
        branch: Branch,
    ) -> [Launch; 2] {
        let (c, inner) = (self.down.bias.len(), self.up.bias.len());
        let Tape {
            hidden_input,
            hidden,
        } = memory.tape;
        let finish = Finish::Activate {
            activation: network.shape.activation,
            bias: network.parameter(&self.up.bias),
            input: hidden_input,
        };
        let up = (network.factor(normed, c), network.weight(&self.up));
        let down = (network.factor(hidden, inner), network.weight(&self.down));
        let residual = branch.finish(network, &self.down.bias, tokens);
        [
            network.linear((rows, inner), up, finish, (hidden, inner)),
            network.linear((rows, c), down, residual, (branch.to, c)),
        ]
    }

    /// Fills in what one launch for all between two mixers reads and writes of the MLP.
    pub(crate) fn forward_in(
        &self,
        network: &Network<'_>,
        layer: usize,
        tape: Tape,
        to: &mut Positionwise,
    ) {
        (to.up, to.down) = (network.layer(&self.up), network.layer(&self.down));
        to.mlp_drop = network.drop(Site::Mlp { layer });
        (to.input, to.hidden) = (tape.hidden_input, tape.hidden);
        to.activation = number(network.shape.activation);
    }

    /// From the gradient of the branch, scratch.dropped, to that of the normed rows,
    /// scratch.normed; and to the parts of the gradient.
    pub(crate) fn backward_launches(
        &self,
        network: &Network<'_>,
        rows: usize,
        normed: Address,
        memory: Memory,
    ) -> Vec<Launch> {
        let (c, inner) = (self.down.bias.len(), self.up.bias.len());
        let (precision, activation) = (network.precision, network.shape.activation);
        let branch = network.factor(network.scratch.dropped, c);
        let hidden = network.factor(memory.tape.hidden, inner);
        let input = match activation {
            Activation::Relu => memory.tape.hidden,
            Activation::Gelu => memory.tape.hidden_input,
        };
        let slope = Finish::Slope { activation, input };
        let down = (branch, network.weight(&self.down));
        let dhidden = network.factor(memory.scratch, inner);
        let normed = network.factor(normed, c);
        let up = (dhidden, network.weight(&self.up));
        let to = network.scratch.normed;
        let (parts, sizes) = (memory.parts, (rows, inner, c));
        let down = network
            .weight_gradient((inner, c, rows), (hidden, branch), parts.down)
            .and(network.linear_back(precision, sizes, down, slope, memory.scratch));
        let up = network
            .weight_gradient((c, inner, rows), (normed, dhidden), parts.up)
            .and(network.linear_back(precision, (rows, c, inner), up, PLAIN, to));
        [down, up]
            .into_iter()
            .flat_map(LayerGradients::launches)
            .collect()
    }
}
