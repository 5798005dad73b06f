//! Mixers of a running episode, one token after the other.
//!
//! What a mixer makes of one token alone it may keep in a [`Cache`]; a token's branch comes from that.

use super::{Mixer, Weights, attention::acting as attention, convolution::acting as convolution};
use crate::kernels::decision_transformer::network::Network;
use crate::kernels::decision_transformer::network::branch::Branch;
use std::ops::Range;

/// What is kept of the tokens in front of one layer.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    attention: attention::Cache,
    convolution: convolution::Cache,
}

/// That of some tokens.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept<'a> {
    attention: attention::Kept<'a>,
    convolution: &'a [f32],
}

/// Where that of some tokens goes.
#[derive(Default)]
pub(crate) struct Places<'a> {
    attention: attention::Places<'a>,
    convolution: &'a mut [f32],
}

/// Memory while a row is worked on.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    attention: attention::Scratch,
}

/// A mixer with the weights of its layer.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) mixer: &'a Mixer,
    pub(crate) weights: &'a Weights,
}

impl Mixer {
    /// Makes a cache hold so many tokens.
    pub(crate) fn resize(&self, cache: &mut Cache, tokens: usize) {
        match self {
            Self::Attention(at) => cache.attention.resize(at, tokens),
            Self::Convolution(at) => cache.convolution.resize(at, tokens),
        }
    }

    /// Moves some tokens to the front of a cache; the others are lost.
    pub(crate) fn forget(&self, cache: &mut Cache, kept: &Range<usize>) {
        match self {
            Self::Attention(at) => cache.attention.forget(at, kept),
            Self::Convolution(at) => cache.convolution.forget(at, kept),
        }
    }

    /// Some tokens of a cache.
    pub(crate) fn kept<'a>(&self, cache: &'a Cache, tokens: &Range<usize>) -> Kept<'a> {
        match self {
            Self::Attention(at) => Kept {
                attention: cache.attention.kept(at, tokens),
                ..Kept::default()
            },
            Self::Convolution(at) => Kept {
                convolution: cache.convolution.kept(at, tokens),
                ..Kept::default()
            },
        }
    }

    /// The places of some tokens in a cache.
    pub(crate) fn places<'a>(&self, cache: &'a mut Cache, tokens: &Range<usize>) -> Places<'a> {
        match self {
            Self::Attention(at) => Places {
                attention: cache.attention.places(at, tokens),
                ..Places::default()
            },
            Self::Convolution(at) => Places {
                convolution: cache.convolution.places(at, tokens),
                ..Places::default()
            },
        }
    }

    /// The places of the first tokens, and of the others.
    pub(crate) fn split<'a>(&self, places: Places<'a>, tokens: usize) -> (Places<'a>, Places<'a>) {
        match self {
            Self::Attention(at) => {
                let (first, others) = places.attention.split(at, tokens);
                let place = |attention| Places {
                    attention,
                    ..Places::default()
                };
                (place(first), place(others))
            }
            Self::Convolution(at) => {
                let (first, others) = at.split(places.convolution, tokens);
                let place = |convolution| Places {
                    convolution,
                    ..Places::default()
                };
                (place(first), place(others))
            }
        }
    }
}

impl Actor<'_> {
    /// Keeps new tokens, normed, of which only the rows `asking` will be [extended](Self::extend).
    pub(crate) fn keep(self, normed: &[f32], asking: &Range<usize>, to: Places<'_>) {
        let weights = &self.weights.attention;
        match self.mixer {
            Mixer::Attention(at) => {
                attention::keep(at, self.network, weights, normed, asking, to.attention);
            }
            Mixer::Convolution(_) => to.convolution.copy_from_slice(normed),
        }
    }

    /// The branch of a few tokens; each sees all kept ones up to itself.
    pub(crate) fn extend(
        self,
        kept: Kept<'_>,
        asking: Range<usize>,
        scratch: &mut Scratch,
        branch: Branch<'_>,
    ) {
        let (network, weights) = (self.network, &self.weights.attention);
        match self.mixer {
            Mixer::Attention(at) => {
                let (kept, scratch) = (kept.attention, &mut scratch.attention);
                attention::extend(at, network, weights, kept, asking, scratch, branch);
            }
            Mixer::Convolution(at) => {
                convolution::extend(at, network, kept.convolution, &asking, branch);
            }
        }
    }

    /// The branch of a run of tokens, of which all up to its end are kept.
    pub(crate) fn pass(
        self,
        kept: Kept<'_>,
        rows: &Range<usize>,
        scratch: &mut Scratch,
        branch: Branch<'_>,
    ) {
        let (network, weights) = (self.network, &self.weights.attention);
        match self.mixer {
            Mixer::Attention(at) => {
                let (kept, scratch) = (kept.attention, &mut scratch.attention);
                attention::pass(at, network, weights, kept, rows, scratch, branch);
            }
            Mixer::Convolution(at) => {
                convolution::pass(at, network, kept.convolution, rows, branch);
            }
        }
    }

    /// The branch of the newest token in the last layer, from all normed tokens, of which none is kept.
    pub(crate) fn answer(self, normed: &[f32], scratch: &mut Scratch, branch: Branch<'_>) {
        let (weights, scratch) = (&self.weights.attention, &mut scratch.attention);
        match self.mixer {
            Mixer::Attention(at) => {
                attention::answer(at, self.network, weights, normed, scratch, branch);
            }
            Mixer::Convolution(at) => convolution::answer(at, self.network, normed, branch),
        }
    }
}
