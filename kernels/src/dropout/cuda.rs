//! A site of dropout for the kernels on a GPU: the twin of `Drop` in `dropout.h`.

use super::cpu::{Rate, site_number};
use super::{Dropout, Site};
use crate::device::backend::Address;
use crate::device::parameters::parameters;

parameters! {
    /// One site; `threshold` 0 and `scale` 1 where nothing is dropped.
    Drop {
        keys: Address,
        clock: Address,
        first_steps: Address,
        site: u64,
        threshold: u32,
        scale: f32,
        tokens: i32,
    }
}

/// The address of the values that change from batch to batch, and how many token rows a window has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) keys: Address,
    pub(crate) clock: Address,
    pub(crate) first_steps: Address,
    pub(crate) tokens: usize,
}

impl Drop {
    /// Nothing is dropped.
    pub(crate) const NONE: Self = Self {
        keys: Address::NULL,
        clock: Address::NULL,
        first_steps: Address::NULL,
        site: 0,
        threshold: 0,
        scale: 1.0,
        tokens: 1,
    };

    /// A site with its probability in `dropout`; none without one. The key is the queue's, not
    /// `dropout`'s.
    pub(crate) fn new(places: &Places, dropout: Option<&Dropout>, site: Site) -> Self {
        let rate = dropout
            .map(|dropout| dropout.probability(site))
            .filter(|probability| *probability > 0.0)
            .map(Rate::new);
        Self {
            keys: places.keys,
            clock: places.clock,
            first_steps: places.first_steps,
            site: site_number(site),
            threshold: rate.map_or(0, Rate::threshold),
            scale: rate.map_or(1.0, Rate::scale),
            tokens: places.tokens as i32,
        }
    }
}
