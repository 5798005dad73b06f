//! The masks by vectors.

use super::Site;
use crate::epilogue::Finish;
use crate::simd::{Simd, dispatched};
use std::ops::Range;

const CHANNEL: u32 = 0x9e37_79b9;
const ROUND_1: u32 = 0x7feb_352d;
const ROUND_2: u32 = 0x846c_a68b;

/// The dropout rate, and the factor that preserves the mean.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    threshold: u32,
    scale: f32,
}

/// The random bits of one token at one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row(u32, u32);

/// The masks of consecutive rows.
#[derive(Clone, Copy)]
pub(crate) struct Masks<'a> {
    pub(crate) rate: Rate,
    pub(crate) rows: &'a [Row],
}

impl Masks<'_> {
    /// Those of some of the rows.
    pub(crate) fn of(self, rows: Range<usize>) -> Self {
        Self {
            rows: &self.rows[rows],
            ..self
        }
    }
}

/// The finaliser of the generator `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A different number for each site.
pub(crate) fn site_number(site: Site) -> u64 {
    match site {
        Site::Embedding => 0,
        Site::Attention { layer, head } => 1 + 3 * layer as u64 + ((head as u64) << 32),
        Site::Projection { layer } => 2 + 3 * layer as u64,
        Site::Mlp { layer } => 3 + 3 * layer as u64,
    }
}

impl Row {
    pub(crate) fn new(key: u64, site: Site, window: usize, token: usize) -> Self {
        let step = mix(mix(key).wrapping_add(site_number(site)));
        let bits = mix(step ^ ((window as u64) << 32 | token as u64));
        Self(bits as u32, (bits >> 32) as u32)
    }
}

impl Rate {
    pub(crate) fn new(probability: f32) -> Self {
        let probability = f64::from(probability);
        Self {
            threshold: (probability * 2.0_f64.powi(32)) as u32,
            scale: (1.0 / (1.0 - probability)) as f32,
        }
    }

    /// Elements whose bits are below it are dropped.
    pub(crate) fn threshold(self) -> u32 {
        self.threshold
    }

    /// The factor of the others.
    pub(crate) fn scale(self) -> f32 {
        self.scale
    }

    /// The mask of one element: 0 or 1 / (1 - p).
    pub(crate) fn mask(self, row: Row, channel: usize) -> f32 {
        let mut x = row.0.wrapping_add((channel as u32).wrapping_mul(CHANNEL));
        x = (x ^ (x >> 16)).wrapping_mul(ROUND_1) ^ row.1;
        x = (x ^ (x >> 15)).wrapping_mul(ROUND_2);
        x ^= x >> 16;
        if x >= self.threshold { self.scale } else { 0.0 }
    }

    /// The same for a vector of channels, times `value`.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, row: Row, channel: usize, value: S::F) -> S::F {
        let channel = s.mul_bits(s.count_from(channel as u32), s.splat_bits(CHANNEL));
        let x = s.add_bits(s.splat_bits(row.0), channel);
        let x = s.mul_bits(s.xor(x, s.shift_right::<16>(x)), s.splat_bits(ROUND_1));
        let x = s.xor(x, s.splat_bits(row.1));
        let x = s.mul_bits(s.xor(x, s.shift_right::<15>(x)), s.splat_bits(ROUND_2));
        let x = s.xor(x, s.shift_right::<16>(x));
        s.keep_at_least(
            x,
            s.splat_bits(self.threshold),
            s.mul(value, s.splat(self.scale)),
        )
    }
}

dispatched! {
    /// y = m x, row by row; a row's width is the length divided by the number of masks.
    pub(crate) fn apply(masks: Masks<'_>, x: &[f32], y: &mut [f32]) = apply_with;
}

#[inline(always)]
fn apply_with<S: Simd>(s: S, masks: Masks<'_>, x: &[f32], y: &mut [f32]) {
    if masks.rows.is_empty() {
        return;
    }
    let width = x.len() / masks.rows.len();
    for ((x, y), row) in x.chunks(width).zip(y.chunks_mut(width)).zip(masks.rows) {
        for at in (0..width).step_by(S::LANES) {
            let dropped = masks.rate.apply(s, *row, at, s.load(&x[at..]));
            s.store(dropped, &mut y[at..]);
        }
    }
}

/// to = residual + m (product + bias): the end of attention's and the MLP's branch.
pub(crate) struct AddToResidual<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) masks: Option<Masks<'a>>,
    pub(crate) residual: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for AddToResidual<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let mut branch = s.add(value, s.load(&self.bias[column..column + lanes]));
        if let Some(masks) = self.masks {
            branch = masks.rate.apply(s, masks.rows[row], column, branch);
        }
        let residual = s.load(&self.residual[at..at + lanes]);
        s.store(s.add(residual, branch), &mut self.to[at..at + lanes]);
    }
}
