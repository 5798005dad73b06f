//! Epilogues of a hidden layer's product, and the same operations for rows in memory.

use super::layout::Activation;
use crate::dropout::cpu::Masks;
pub(super) use crate::epilogue::Finish;
pub(super) use crate::epilogue::Store;
use crate::simd::{Simd, dispatched, functions};

/// f(x) and f'(x); the slope of `ReLU` is derived from f(x) later, so it is not returned.
#[inline(always)]
fn activate<S: Simd>(s: S, activation: Activation, x: S::F) -> (S::F, Option<S::F>) {
    match activation {
        Activation::Relu => (s.max(s.splat(0.0), x), None),
        Activation::Tanh => {
            let y = functions::tanh(s, x);
            let slope = s.mul_add(s.sub(s.splat(0.0), y), y, s.splat(1.0));
            (y, Some(slope))
        }
        Activation::Gelu => {
            let (distribution, density) = functions::normal(s, x);
            let slope = s.mul_add(x, density, distribution);
            (s.mul(x, distribution), Some(slope))
        }
    }
}

/// dy f', with f' as it was kept or, for `ReLU`, from f(x): `kept` is whichever there is.
#[inline(always)]
fn slope<S: Simd>(s: S, activation: Activation, kept: S::F, dy: S::F) -> S::F {
    match activation {
        Activation::Relu => s.if_positive(kept, dy, s.splat(0.0)),
        Activation::Tanh | Activation::Gelu => s.mul(dy, kept),
    }
}

/// to = product + bias
pub(super) struct Linear<'a> {
    pub(super) bias: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Finish for Linear<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.bias.len() + column;
        let x = s.add(value, s.load(&self.bias[column..column + lanes]));
        s.store(x, &mut self.to[at..at + lanes]);
    }
}

/// to (+)= product
pub(super) struct Gradient<'a> {
    pub(super) add: bool,
    pub(super) to: &'a mut [f32],
    pub(super) width: usize,
}

impl Finish for Gradient<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.width + column;
        let to = &mut self.to[at..at + lanes];
        let sum = if self.add {
            s.add(s.load(to), value)
        } else {
            value
        };
        s.store(sum, to);
    }
}

/// output = m f(product + bias); stores the slope too, where it is needed and not `ReLU`'s.
pub(super) struct Hidden<'a> {
    pub(super) activation: Activation,
    pub(super) bias: &'a [f32],
    pub(super) masks: Option<Masks<'a>>,
    pub(super) slope: Option<&'a mut [f32]>,
    pub(super) output: &'a mut [f32],
}

impl Finish for Hidden<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.bias.len() + column;
        let x = s.add(value, s.load(&self.bias[column..column + lanes]));
        let (mut y, slope) = activate(s, self.activation, x);
        if let (Some(slope), Some(to)) = (slope, &mut self.slope) {
            s.store(slope, &mut to[at..at + lanes]);
        }
        if let Some(masks) = self.masks {
            y = masks.rate.apply(s, masks.rows[row], column, y);
        }
        s.store(y, &mut self.output[at..at + lanes]);
    }
}

/// to = f' m product: the gradient at the input of a hidden layer's activation from that at its
/// output. `kept` is the output of the layer for `ReLU`, else the slope.
pub(super) struct HiddenBackward<'a> {
    pub(super) activation: Activation,
    pub(super) masks: Option<Masks<'a>>,
    pub(super) kept: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) width: usize,
}

impl Finish for HiddenBackward<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.width + column;
        let mut dy = value;
        if let Some(masks) = self.masks {
            dy = masks.rate.apply(s, masks.rows[row], column, dy);
        }
        let kept = s.load(&self.kept[at..at + lanes]);
        s.store(
            slope(s, self.activation, kept, dy),
            &mut self.to[at..at + lanes],
        );
    }
}

dispatched! {
    /// y = f(y) in place, with the slope, where it is needed and not `ReLU`'s.
    pub(super) fn activate_all(
        activation: Activation,
        y: &mut [f32],
        slopes: Option<&mut [f32]>,
    ) = activate_all_of;
}

#[inline(always)]
fn activate_all_of<S: Simd>(
    s: S,
    activation: Activation,
    y: &mut [f32],
    mut slopes: Option<&mut [f32]>,
) {
    for at in (0..y.len()).step_by(S::LANES) {
        let (value, slope) = activate(s, activation, s.load(&y[at..]));
        s.store(value, &mut y[at..]);
        if let (Some(slope), Some(to)) = (slope, &mut slopes) {
            s.store(slope, &mut to[at..]);
        }
    }
}

dispatched! {
    /// dy = f' dy in place; `kept` as in [`HiddenBackward`].
    pub(super) fn slope_all(activation: Activation, kept: &[f32], dy: &mut [f32]) = slope_all_of;
}

#[inline(always)]
fn slope_all_of<S: Simd>(s: S, activation: Activation, kept: &[f32], dy: &mut [f32]) {
    for (kept, dy) in kept.chunks(S::LANES).zip(dy.chunks_mut(S::LANES)) {
        s.store(slope(s, activation, s.load(kept), s.load(dy)), dy);
    }
}

dispatched! {
    /// y = m y in place.
    pub(super) fn drop_all(masks: Masks<'_>, width: usize, y: &mut [f32]) = drop_all_of;
}

#[inline(always)]
fn drop_all_of<S: Simd>(s: S, masks: Masks<'_>, width: usize, y: &mut [f32]) {
    for (y, row) in y.chunks_mut(width).zip(masks.rows) {
        for at in (0..width).step_by(S::LANES) {
            let dropped = masks.rate.apply(s, *row, at, s.load(&y[at..]));
            s.store(dropped, &mut y[at..]);
        }
    }
}
