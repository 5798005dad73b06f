//! A naive version of the mixer for one window.

use super::Parameters;
use crate::decision_transformer::network::reference::{Backward, Network};
use crate::lstm::reference::{self as op, LstmTokens};
use crate::real::Real;

impl Parameters {
    /// The branch, from the normed tokens.
    pub(in super::super) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        normed: &[R],
    ) -> (LstmTokens<R>, Vec<R>) {
        let a = network.linear(&self.input, normed);
        let tape = op::forward(self.width, &network.parameters[self.hidden.clone()], &a);
        let branch = tape.hidden.clone();
        (tape, branch)
    }

    /// The gradient at the normed tokens, from that at the branch.
    pub(in super::super) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        (normed, tape): (&[R], &LstmTokens<R>),
        branch: &[R],
    ) -> Vec<R> {
        let weight = &back.network.parameters[self.hidden.clone()];
        let found = op::backward(self.width, weight, tape, branch);
        back.add(&self.hidden, &found.weight);
        back.linear(&self.input, normed, &found.a)
    }
}
