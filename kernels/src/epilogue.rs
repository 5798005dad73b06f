//! Epilogues: operations on an element of a product before it is stored.

use crate::simd::Simd;

/// Receives the elements of a product, each once, by vectors of `lanes` consecutive ones of a row.
pub(crate) trait Finish {
    /// Receives the elements (row, column), ..., (row, column + lanes - 1).
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F);
}

/// to = product
pub(crate) struct Store<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for Store<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        s.store(value, &mut self.to[at..at + lanes]);
    }
}

/// to = factor product
pub(crate) struct StoreScaled<'a> {
    pub(crate) factor: f32,
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for StoreScaled<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        s.store(
            s.mul(value, s.splat(self.factor)),
            &mut self.to[at..at + lanes],
        );
    }
}

/// to += product
pub(crate) struct Accumulate<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for Accumulate<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let to = &mut self.to[at..at + lanes];
        s.store(s.add(s.load(to), value), to);
    }
}

/// to = product + bias
pub(crate) struct StoreWithBias<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for StoreWithBias<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let bias = s.load(&self.bias[column..column + lanes]);
        s.store(s.add(value, bias), &mut self.to[at..at + lanes]);
    }
}

/// to = product + a multiple of the bias for each row
pub(crate) struct StoreWithBiases<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) multiples: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for StoreWithBiases<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let bias = s.load(&self.bias[column..column + lanes]);
        let sum = s.mul_add(s.splat(self.multiples[row]), bias, value);
        s.store(sum, &mut self.to[at..at + lanes]);
    }
}

/// The rows `rows` of to += the rows of the product, in turn.
pub(crate) struct AccumulateRows<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) rows: &'a [usize],
    pub(crate) stride: usize,
}

impl Finish for AccumulateRows<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = self.rows[row] * self.stride + column;
        let to = &mut self.to[at..at + lanes];
        s.store(s.add(s.load(to), value), to);
    }
}
