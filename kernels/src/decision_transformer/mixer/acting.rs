//! Mixers in a running episode, token by token.
//!
//! What a mixer computes from one token alone is kept in a [`Cache`], from which a token's branch
//! is computed.

use super::{Mixer, Weights};
use super::{
    attention::acting as attention, convolution::acting as convolution, lstm::acting as lstm,
    scan::acting as scan,
};
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::Branch;
use std::ops::Range;

/// The cache of one layer's input tokens.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    attention: attention::Cache,
    convolution: convolution::Cache,
    scan: scan::Cache,
    lstm: lstm::Cache,
}

/// The entries of some tokens.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept<'a> {
    attention: attention::Kept<'a>,
    convolution: &'a [f32],
    scan: scan::Kept<'a>,
    lstm: lstm::Kept<'a>,
}

/// The places of some tokens' entries, to be written.
#[derive(Default)]
pub(crate) struct Places<'a> {
    attention: attention::Places<'a>,
    convolution: &'a mut [f32],
    scan: scan::Places<'a>,
    /// a of an LSTM
    lstm: &'a mut [f32],
}

/// Scratch memory of a row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    attention: attention::Scratch,
    scan: scan::Scratch,
    lstm: lstm::Scratch,
}

/// A mixer with the weights of its layer.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) mixer: &'a Mixer,
    pub(crate) weights: &'a Weights,
    /// Which of its step's tokens the newest one is.
    pub(crate) newest: usize,
}

impl Mixer {
    /// Resizes a cache to this many tokens.
    pub(crate) fn resize(&self, cache: &mut Cache, tokens: usize) {
        match self {
            Self::Attention(at) => cache.attention.resize(at, tokens),
            Self::Convolution(at) => cache.convolution.resize(at, tokens),
            Self::Scan(at) => cache.scan.resize(at, tokens),
            Self::Lstm(at) => cache.lstm.resize(at, tokens),
        }
    }

    /// Moves some tokens to the front of a cache and drops the others.
    pub(crate) fn forget(&self, cache: &mut Cache, kept: &Range<usize>) {
        match self {
            Self::Attention(at) => cache.attention.forget(at, kept),
            Self::Convolution(at) => cache.convolution.forget(at, kept),
            Self::Scan(at) => cache.scan.forget(at, kept),
            Self::Lstm(at) => cache.lstm.forget(at, kept),
        }
    }

    /// The entries of some tokens.
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
            Self::Scan(at) => Kept {
                scan: cache.scan.kept(at, tokens),
                ..Kept::default()
            },
            Self::Lstm(at) => Kept {
                lstm: cache.lstm.kept(at, tokens),
                ..Kept::default()
            },
        }
    }

    /// The places of some tokens.
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
            Self::Scan(at) => Places {
                scan: cache.scan.places(at, tokens),
                ..Places::default()
            },
            Self::Lstm(at) => Places {
                lstm: cache.lstm.places(at, tokens),
                ..Places::default()
            },
        }
    }

    /// Copies what later tokens need of some tokens.
    pub(crate) fn copy_past(&self, from: Kept<'_>, to: Places<'_>) {
        match self {
            Self::Attention(_) => to.attention.copy_past(from.attention),
            Self::Convolution(_) => to.convolution.copy_from_slice(from.convolution),
            Self::Scan(_) => to.scan.copy_past(from.scan),
            Self::Lstm(_) => from.lstm.copy_past(to.lstm),
        }
    }
}

impl Actor<'_> {
    /// Caches new normed tokens; the branch is computed by [`extend`](Self::extend) for the rows
    /// `query_rows` only.
    pub(crate) fn keep(self, normed: &[f32], query_rows: &Range<usize>, to: Places<'_>) {
        let weights = &self.weights.attention;
        match self.mixer {
            Mixer::Attention(at) => {
                attention::keep(at, self.network, weights, normed, query_rows, to.attention);
            }
            Mixer::Convolution(_) => to.convolution.copy_from_slice(normed),
            Mixer::Scan(at) => scan::keep(at, self.network, &self.weights.scan, normed, to.scan),
            Mixer::Lstm(at) => lstm::keep(at, self.network, &self.weights.lstm, normed, to.lstm),
        }
    }

    /// Moves what is carried from token to token past new tokens, which are [kept](Self::keep)
    /// behind all others of the episode. To be called where they are to be
    /// [extended](Self::extend).
    pub(crate) fn advance(self, cache: &mut Cache, new: &Range<usize>, scratch: &mut Scratch) {
        match self.mixer {
            Mixer::Attention(_) | Mixer::Convolution(_) => {}
            Mixer::Scan(at) => {
                let (cache, scratch) = (&mut cache.scan, &mut scratch.scan);
                scan::advance(at, self.network, &self.weights.scan, cache, new, scratch);
            }
            Mixer::Lstm(at) => {
                let (cache, scratch) = (&mut cache.lstm, &mut scratch.lstm);
                lstm::advance(at, self.network, &self.weights.lstm, cache, new, scratch);
            }
        }
    }

    /// Caches new normed tokens of several episodes: for each, the number of its tokens and
    /// their places.
    pub(crate) fn keep_each<'a>(
        self,
        normed: &[f32],
        places: impl Iterator<Item = (usize, Places<'a>)>,
        scratch: &mut Scratch,
    ) {
        if let Mixer::Attention(at) = self.mixer {
            let (weights, scratch) = (&self.weights.attention, &mut scratch.attention);
            let places = places.map(|(_, places)| places.attention);
            return attention::keep_each(at, self.network, weights, normed, places, scratch);
        }
        let c = self.network.shape.width;
        let mut rest = normed;
        for (tokens, places) in places {
            let (these, others) = rest.split_at(tokens * c);
            self.keep(these, &(0..tokens), places);
            rest = others;
        }
    }

    /// The branch of a few tokens of several episodes: of each, what is kept and which of its rows
    /// ask. Each depends on all kept ones up to itself.
    pub(crate) fn extend_each<'a>(
        self,
        runs: impl Iterator<Item = (Kept<'a>, Range<usize>)>,
        scratch: &mut Scratch,
        branch: Branch<'_>,
    ) {
        if let Mixer::Attention(at) = self.mixer {
            let (weights, scratch) = (&self.weights.attention, &mut scratch.attention);
            let runs = runs.map(|(kept, rows)| (kept.attention, rows));
            return attention::extend_each(at, self.network, weights, runs, scratch, branch);
        }
        let c = self.network.shape.width;
        let (mut residual, mut to) = (branch.residual, branch.to);
        for (kept, rows) in runs {
            let numbers = rows.len() * c;
            let (beside, other_residual) = residual.split_at(numbers);
            let (these, others) = to.split_at_mut(numbers);
            let branch = Branch {
                masks: None,
                residual: beside,
                to: these,
            };
            self.extend(kept, &rows, branch);
            (residual, to) = (other_residual, others);
        }
    }

    /// The branch of a few tokens of an episode.
    fn extend(self, kept: Kept<'_>, rows: &Range<usize>, branch: Branch<'_>) {
        let network = self.network;
        match self.mixer {
            // With the others, in `extend_each`.
            Mixer::Attention(_) => {}
            Mixer::Convolution(at) => {
                let rows = (rows, self.newest);
                convolution::extend(at, network, kept.convolution, rows, branch);
            }
            Mixer::Scan(at) => {
                scan::extend(at, network, &self.weights.scan, kept.scan, rows, branch);
            }
            Mixer::Lstm(at) => lstm::extend(at, kept.lstm, rows, branch),
        }
    }

    /// The branch of a run of tokens; all tokens up to its end are cached.
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
            Mixer::Scan(at) => {
                let (kept, scratch) = (kept.scan, &mut scratch.scan);
                scan::pass(at, network, &self.weights.scan, kept, rows, scratch, branch);
            }
            Mixer::Lstm(at) => {
                let (kept, scratch) = (kept.lstm, &mut scratch.lstm);
                lstm::pass(at, network, &self.weights.lstm, kept, rows, scratch, branch);
            }
        }
    }

    /// The branch of the newest token in the last layer, from all normed tokens, without a cache.
    pub(crate) fn answer(self, normed: &[f32], scratch: &mut Scratch, branch: Branch<'_>) {
        match self.mixer {
            Mixer::Attention(at) => {
                let (weights, scratch) = (&self.weights.attention, &mut scratch.attention);
                attention::answer(at, self.network, weights, normed, scratch, branch);
            }
            Mixer::Scan(at) => {
                let (weights, scratch) = (&self.weights.scan, &mut scratch.scan);
                scan::answer(at, self.network, weights, normed, scratch, branch);
            }
            Mixer::Lstm(at) => {
                let (weights, scratch) = (&self.weights.lstm, &mut scratch.lstm);
                lstm::answer(at, self.network, weights, normed, scratch, branch);
            }
            Mixer::Convolution(at) => {
                convolution::answer(at, self.network, normed, self.newest, branch);
            }
        }
    }
}
