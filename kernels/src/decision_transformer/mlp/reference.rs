//! A naive MLP.

use super::Parameters;
use crate::activation::{Activation, reference as activation};
use crate::decision_transformer::network::reference::{Backward, Network};
use crate::real::Real;

/// What the forward pass stores.
pub(crate) struct Tape<R> {
    hidden_input: Vec<R>,
    hidden: Vec<R>,
}

impl Parameters {
    /// Computes the branch from normed rows.
    pub(crate) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        function: Activation,
        normed: &[R],
    ) -> (Tape<R>, Vec<R>) {
        let hidden_input = network.linear(&self.up, normed);
        let hidden = activation::forward(function, &hidden_input);
        let branch = network.linear(&self.down, &hidden);
        let tape = Tape {
            hidden_input,
            hidden,
        };
        (tape, branch)
    }

    /// The gradient of the normed rows, from that of the branch.
    pub(crate) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        function: Activation,
        (normed, tape): (&[R], &Tape<R>),
        branch: &[R],
    ) -> Vec<R> {
        let hidden = back.linear(&self.down, &tape.hidden, branch);
        let input = activation::backward(function, &tape.hidden_input, &hidden);
        back.linear(&self.up, normed, &input)
    }
}
