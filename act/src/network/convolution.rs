//! Causal convolution: each token sees itself and the five before it, channel by channel, through
//! the filter of its kind (Decision ConvFormer).

use alloc::format;
use alloc::vec::Vec;

use super::layer::Tokens;
use crate::error::Error;
use crate::reader::{Memory, Pair, Reader};

/// Tokens that a token sees, itself included.
const TAPS: usize = 6;
/// Tokens before itself that a token sees.
pub(super) const REACH: usize = TAPS - 1;

/// The filters of a block and its normed tokens so far.
pub(super) struct Convolution {
    /// One for each kind of token, in the order of a step.
    filters: Vec<Pair>,
    width: usize,
    /// Tokens x C.
    kept: Vec<f32>,
}

impl Convolution {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        block: &str,
        kinds: &[&str],
        (width, tokens): (usize, usize),
        memory: &mut Memory,
    ) -> Result<Self, Error> {
        let filters = kinds
            .iter()
            .map(|kind| reader.pair(&format!("{block}.convolution.{kind}"), &[TAPS, width]));
        Ok(Self {
            filters: filters.collect::<Result<_, _>>()?,
            width,
            kept: memory.zeros(&[tokens, width])?,
        })
    }

    /// The branch of the last `predicting` tokens from their normed rows.
    pub(super) fn mix(&mut self, bytes: &[u8], tokens: Tokens<'_>, branch: &mut [f32]) {
        let Tokens {
            first,
            normed,
            predicting,
        } = tokens;
        let width = self.width;
        self.kept[first * width..][..normed.len()].copy_from_slice(normed);
        let end = first + normed.len() / width;
        for (token, to) in (end - predicting..end).zip(branch.chunks_exact_mut(width)) {
            let filter = self.filters[token % self.filters.len()];
            let (taps, bias) = (filter.weight.of(bytes), filter.bias.of(bytes));
            for (to, bias) in to.iter_mut().zip(bias) {
                *to = f32::from_le_bytes(*bias);
            }
            let seen = token.saturating_sub(REACH)..=token;
            let taps = taps.chunks_exact(width).skip(REACH.saturating_sub(token));
            for (seen, taps) in seen.zip(taps) {
                let seen = &self.kept[seen * width..][..width];
                for (to, (tap, x)) in to.iter_mut().zip(taps.iter().zip(seen)) {
                    *to += f32::from_le_bytes(*tap) * x;
                }
            }
        }
    }

    /// The first `count` tokens leave.
    pub(super) fn forget(&mut self, count: usize) {
        self.kept.copy_within(count * self.width.., 0);
    }
}
