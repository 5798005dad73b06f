//! Dropout: y = m x, where m is 0 with probability p and else 1 / (1 - p); dx = m dy.
//!
//! No mask is stored and no generator is advanced. Whether an element is dropped is a *function* of
//! the key of the training step, the site in the network, the window, the token and the channel: a
//! counter-based generator. So forward and backward both compute it, padded tokens cost nothing,
//! and the bits are the same for any number of threads, any order of work, and any other
//! implementation that uses [`Dropout::mask`].
//!
//! A row (one token at one site) has 64 bits, mixed from key, site, window and token by the
//! finaliser of `SplitMix64`; an element's 32 bits come from them and its channel by a two-round
//! multiply-xorshift hash (constants: "lowbias32", C. Wellons, public domain), half of the row's
//! bits entering before and half between the rounds. The element is dropped if its bits, as a
//! number, are below p 2^32. Ten integer operations a vector.
//!
//! Tokens are counted in the padded window of 3 K tokens. In attention the row is the query and the
//! channel the key.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub mod reference;

/// The dropout of one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// of attention probabilities, in 0..1
    pub probability_attention: f32,
    /// of what attention and MLP add to the residual stream, in 0..1
    pub probability_residual: f32,
    /// of the normalised token embeddings, in 0..1
    pub probability_embedding: f32,
    /// the key of the masks: draw one per step
    pub key: u64,
}

/// The dropout sites of the network. Layers and heads count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// after the embedding's norm; channels 0..C
    Embedding,
    /// the probabilities of a head; channels are key tokens in the padded window, 0..3 K
    Attention {
        /// the layer
        layer: usize,
        /// the head
        head: usize,
    },
    /// the output projection of attention; channels 0..C
    Projection {
        /// the layer
        layer: usize,
    },
    /// the second product of the MLP; channels 0..C
    Mlp {
        /// the layer
        layer: usize,
    },
}

impl Dropout {
    /// The probability at a site.
    pub fn probability(&self, site: Site) -> f32 {
        match site {
            Site::Embedding => self.probability_embedding,
            Site::Attention { .. } => self.probability_attention,
            Site::Projection { .. } | Site::Mlp { .. } => self.probability_residual,
        }
    }

    /// Writes the mask of one row, channel 0 to its end: 0 where dropped, else 1 / (1 - p).
    pub fn mask(&self, site: Site, window: usize, token: usize, mask: &mut [f32]) {
        let rate = cpu::Rate::new(self.probability(site));
        let row = cpu::Row::new(self.key, site, window, token);
        for (channel, m) in mask.iter_mut().enumerate() {
            *m = rate.mask(row, channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use crate::testing::numbers;

    const DROPOUT: Dropout = Dropout {
        probability_attention: 0.3,
        probability_residual: 0.1,
        probability_embedding: 0.0,
        key: 7,
    };

    #[test]
    fn the_fast_dropout_is_the_mask_times_the_numbers() {
        let site = Site::Projection { layer: 1 };
        let (rows, width) = (6, 77);
        let x = numbers(1, rows * width);
        let mut mask = vec![0.0; rows * width];
        for (token, mask) in mask.chunks_mut(width).enumerate() {
            DROPOUT.mask(site, 3, token, mask);
        }
        let expected = reference::forward(&mask, &x);
        let rows: Vec<_> = (0..rows)
            .map(|t| cpu::Row::new(DROPOUT.key, site, 3, t))
            .collect();
        let masks = cpu::Masks {
            rate: cpu::Rate::new(0.1),
            rows: &rows,
        };
        for level in Level::available() {
            let mut y = vec![0.0; x.len()];
            cpu::apply(level, masks, &x, &mut y);
            assert_eq!(y, expected, "{level:?}");
        }
    }

    #[test]
    fn the_rate_is_kept_and_neighbours_are_independent() {
        let site = Site::Attention { layer: 0, head: 0 };
        let (rows, width) = (400, 128);
        let mut mask = vec![0.0; rows * width];
        for (token, mask) in mask.chunks_mut(width).enumerate() {
            DROPOUT.mask(site, token / 60, token % 60, mask);
        }
        let dropped: Vec<bool> = mask.iter().map(|m| *m == 0.0).collect();
        let count = |shift: usize| {
            let pairs = dropped.iter().zip(&dropped[shift..]);
            pairs.filter(|(a, b)| **a && **b).count() as f64 / (dropped.len() - shift) as f64
        };
        assert!((count(0) - 0.3).abs() < 0.01);
        for shift in [1, 2, 16, 32, 64, width, 2 * width, 60 * width] {
            assert!(
                (count(shift) - 0.09).abs() < 0.008,
                "shift {shift}: {}",
                count(shift)
            );
        }
    }

    #[test]
    fn sites_windows_and_keys_have_masks_of_their_own() {
        let row = |key, site, window| {
            let mut mask = vec![0.0; 256];
            Dropout {
                key,
                probability_embedding: 0.1,
                ..DROPOUT
            }
            .mask(site, window, 5, &mut mask);
            mask.iter().map(|m| *m == 0.0).collect::<Vec<_>>()
        };
        let rows = [
            row(1, Site::Embedding, 0),
            row(2, Site::Embedding, 0),
            row(1, Site::Embedding, 1),
            row(1, Site::Projection { layer: 0 }, 0),
            row(1, Site::Mlp { layer: 0 }, 0),
            row(1, Site::Mlp { layer: 1 }, 0),
        ];
        for (i, a) in rows.iter().enumerate() {
            assert!(rows[..i].iter().all(|b| a != b), "mask {i} repeats");
        }
    }
}
