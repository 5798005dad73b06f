//! Naive mixers for one window.

use super::{Mixer, attention, scan};
use crate::decision_transformer::network::reference::{Backward, Network, Tokens};
use crate::lstm::reference::LstmTokens;
use crate::real::Real;

/// What the forward pass stores of one window.
pub(crate) enum Tape<R> {
    Attention(attention::reference::Tape<R>),
    Convolution,
    Scan(Box<scan::reference::Tape<R>>),
    Lstm(LstmTokens<R>),
}

impl Mixer {
    /// Computes the branch from the normed tokens.
    pub(crate) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        tokens: Tokens<'_>,
        layer: usize,
        normed: &[R],
    ) -> (Tape<R>, Vec<R>) {
        match self {
            Self::Attention(at) => {
                let (tape, branch) = at.reference_forward(network, tokens, layer, normed);
                (Tape::Attention(tape), branch)
            }
            Self::Convolution(at) => (Tape::Convolution, at.reference_forward(network, normed)),
            Self::Scan(at) => {
                let (tape, branch) = at.reference_forward(network, normed);
                (Tape::Scan(Box::new(tape)), branch)
            }
            Self::Lstm(at) => {
                let (tape, branch) = at.reference_forward(network, normed);
                (Tape::Lstm(tape), branch)
            }
        }
    }

    /// The gradient of the normed tokens, from that of the branch.
    pub(crate) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        tokens: Tokens<'_>,
        layer: usize,
        (normed, tape): (&[R], &Tape<R>),
        branch: &[R],
    ) -> Vec<R> {
        match (self, tape) {
            (Self::Attention(at), Tape::Attention(tape)) => {
                at.reference_backward(back, tokens, layer, (normed, tape), branch)
            }
            (Self::Convolution(at), _) => at.reference_backward(back, normed, branch),
            (Self::Scan(at), Tape::Scan(tape)) => {
                at.reference_backward(back, (normed, tape), branch)
            }
            (Self::Lstm(at), Tape::Lstm(tape)) => {
                at.reference_backward(back, (normed, tape), branch)
            }
            (Self::Attention(_) | Self::Scan(_) | Self::Lstm(_), _) => {
                unreachable!("forward filled the tape of its own mixer")
            }
        }
    }
}
