//! What stands around the scan, by vectors of channels.

use super::{CHUNK, TAPS};
use crate::epilogue::Finish;
use crate::simd::functions::{exp_minus_1, ln_1_plus_exp, sigmoid};
use crate::simd::{Simd, dispatched};

dispatched! {
    /// u = v sigmoid(v) of the tokens of x behind its first `before`: (T - before) x E. `bank` has
    /// the taps, oldest first, and the bias, E numbers each.
    pub(crate) fn filter(
        width: usize,
        bank: &[f32],
        before: usize,
        x: &[f32],
        u: &mut [f32],
    ) = filter_with;
}

#[inline(always)]
fn filter_with<S: Simd>(s: S, width: usize, bank: &[f32], before: usize, x: &[f32], u: &mut [f32]) {
    for (at, token) in (before..x.len() / width).enumerate() {
        let taps = TAPS.min(token + 1);
        let (tap, row) = ((TAPS - taps) * width, (token + 1 - taps) * width);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            let mut v = s.load(&bank[TAPS * width + channel..TAPS * width + end]);
            for behind in (0..taps * width).step_by(width) {
                let weight = s.load(&bank[tap + behind + channel..tap + behind + end]);
                let from = s.load(&x[row + behind + channel..row + behind + end]);
                v = s.mul_add(weight, from, v);
            }
            let to = at * width;
            s.store(s.mul(v, sigmoid(s, v)), &mut u[to + channel..to + end]);
        }
    }
}

dispatched! {
    /// In `d`: from the gradient at u of T tokens to that at v, which is computed again; writes dx,
    /// T x E, and adds to the gradient of the bank. `x` has `before` more tokens of the sequence in
    /// front, `d` the dv of more tokens behind, 3 of each if there are as many.
    pub(crate) fn filter_backward(
        before: usize,
        bank: &[f32],
        x: &[f32],
        d: &mut [f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) = filter_backward_with;
}

#[inline(always)]
fn filter_backward_with<S: Simd>(
    s: S,
    before: usize,
    bank: &[f32],
    x: &[f32],
    d: &mut [f32],
    dx: &mut [f32],
    gradient: &mut [f32],
) {
    let width = bank.len() / (TAPS + 1);
    let (tokens, all) = (dx.len() / width, d.len() / width);
    // Some tokens at a time, the last first, so that their rows are in the cache.
    for start in (0..tokens).step_by(CHUNK).rev() {
        let after = tokens.min(start + CHUNK);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            // The taps and the bias, and their gradients.
            let (mut bank_here, mut gradients) =
                ([s.splat(0.0); TAPS + 1], [s.splat(0.0); TAPS + 1]);
            for (row, (weight, sum)) in bank_here.iter_mut().zip(&mut gradients).enumerate() {
                *weight = s.load(&bank[row * width + channel..row * width + end]);
                *sum = s.load(&gradient[row * width + channel..row * width + end]);
            }
            let [taps @ .., bias] = &bank_here;
            // All loads come first: rows of several buffers are a multiple of 4 KB apart, and a
            // load waits for a store in front of it whose address differs by that.
            let mut x_here = [s.splat(0.0); CHUNK + TAPS - 1];
            let first = TAPS - 1 - (TAPS - 1).min(before + start);
            let visible = (before + start).saturating_sub(TAPS - 1)..before + after;
            for (token, to) in visible.zip(&mut x_here[first..]) {
                *to = s.load(&x[token * width + channel..token * width + end]);
            }
            let mut dv = [s.splat(0.0); CHUNK + TAPS - 1];
            for (token, to) in (start..all).zip(&mut dv) {
                *to = s.load(&d[token * width + channel..token * width + end]);
            }
            for i in (0..CHUNK).rev() {
                let token = start + i;
                if token >= after {
                    continue;
                }
                let mut v = *bias;
                for (tap, weight) in taps.iter().enumerate() {
                    v = s.mul_add(*weight, x_here[i + tap], v);
                }
                dv[i] = s.mul(dv[i], silu_slope(s, v, sigmoid(s, v)));
                let x_here = x_here[i + TAPS - 1];
                gradients[TAPS] = s.add(gradients[TAPS], dv[i]);
                gradients[TAPS - 1] = s.mul_add(x_here, dv[i], gradients[TAPS - 1]);
                let mut dx_here = s.mul(taps[TAPS - 1], dv[i]);
                for later in 1..TAPS {
                    let tap = TAPS - 1 - later;
                    dx_here = s.mul_add(taps[tap], dv[i + later], dx_here);
                    gradients[tap] = s.mul_add(x_here, dv[i + later], gradients[tap]);
                }
                let numbers = token * width + channel..token * width + end;
                s.store(dv[i], &mut d[numbers.clone()]);
                s.store(dx_here, &mut dx[numbers]);
            }
            for (row, sum) in gradients.iter().enumerate() {
                let to = &mut gradient[row * width + channel..row * width + end];
                s.store(*sum, to);
            }
        }
    }
}

/// The slope of v sigma, with sigma = sigmoid(v).
#[inline(always)]
fn silu_slope<S: Simd>(s: S, v: S::F, sigma: S::F) -> S::F {
    let one = s.splat(1.0);
    s.mul(sigma, s.mul_add(v, s.sub(one, sigma), one))
}

/// Δ = ln(1 + e^x), of x = product + bias.
pub(crate) struct Step<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for Step<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, column: usize, lanes: usize, value: S::F) {
        let at = row * self.stride + column;
        let x = s.add(value, s.load(&self.bias[column..column + lanes]));
        s.store(ln_1_plus_exp(s, x), &mut self.to[at..at + lanes]);
    }
}

dispatched! {
    /// In `d`: from the gradient at Δ to that at x.
    pub(crate) fn step_backward(steps: &[f32], d: &mut [f32]) = step_backward_with;
}

#[inline(always)]
fn step_backward_with<S: Simd>(s: S, steps: &[f32], d: &mut [f32]) {
    for (step, d) in steps.chunks(S::LANES).zip(d.chunks_mut(S::LANES)) {
        // -sigmoid(x)
        let slope = exp_minus_1(s, s.sub(s.splat(0.0), s.load(step)));
        s.store(s.sub(s.splat(0.0), s.mul(s.load(d), slope)), d);
    }
}

dispatched! {
    /// y z sigmoid(z).
    pub(crate) fn gate(y: &[f32], z: &[f32], gated: &mut [f32]) = gate_with;
}

#[inline(always)]
fn gate_with<S: Simd>(s: S, y: &[f32], z: &[f32], gated: &mut [f32]) {
    let numbers = y.chunks(S::LANES).zip(z.chunks(S::LANES));
    for ((y, z), to) in numbers.zip(gated.chunks_mut(S::LANES)) {
        let z = s.load(z);
        s.store(s.mul(s.load(y), s.mul(z, sigmoid(s, z))), to);
    }
}

dispatched! {
    /// In `d`: from the gradient at the gated numbers, which are computed again, to that at y;
    /// writes that at z.
    pub(crate) fn gate_backward(
        y: &[f32],
        z: &[f32],
        d: &mut [f32],
        dz: &mut [f32],
        gated: &mut [f32],
    ) = gate_backward_with;
}

#[inline(always)]
fn gate_backward_with<S: Simd>(
    s: S,
    y: &[f32],
    z: &[f32],
    d: &mut [f32],
    dz: &mut [f32],
    gated: &mut [f32],
) {
    let given = y.chunks(S::LANES).zip(z.chunks(S::LANES));
    let gradients = d.chunks_mut(S::LANES).zip(dz.chunks_mut(S::LANES));
    for (((y, z), (d, dz)), gated) in given.zip(gradients).zip(gated.chunks_mut(S::LANES)) {
        let (y, z, upstream) = (s.load(y), s.load(z), s.load(d));
        let sigma = sigmoid(s, z);
        let silu = s.mul(z, sigma);
        s.store(s.mul(upstream, silu), d);
        s.store(s.mul(s.mul(upstream, y), silu_slope(s, z, sigma)), dz);
        s.store(s.mul(y, silu), gated);
    }
}
