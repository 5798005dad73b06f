//! What stands around the scan, by vectors of channels.

use super::TAPS;
use crate::kernels::simd::functions::{ln_1_plus_exp, sigmoid};
use crate::kernels::simd::{Simd, dispatched};

dispatched! {
    /// v and u = v sigmoid(v) of the tokens of x behind its first `before`: (T - before) x E each.
    /// `bank` has the taps, oldest first, and the bias, E numbers each.
    pub(crate) fn filter(
        width: usize,
        bank: &[f32],
        before: usize,
        x: &[f32],
        v: &mut [f32],
        u: &mut [f32],
    ) = filter_with;
}

#[inline(always)]
fn filter_with<S: Simd>(
    s: S,
    width: usize,
    bank: &[f32],
    before: usize,
    x: &[f32],
    v: &mut [f32],
    u: &mut [f32],
) {
    for (at, token) in (before..x.len() / width).enumerate() {
        let taps = TAPS.min(token + 1);
        let (tap, row) = ((TAPS - taps) * width, (token + 1 - taps) * width);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            let mut sum = s.load(&bank[TAPS * width + channel..TAPS * width + end]);
            for behind in (0..taps * width).step_by(width) {
                let weight = s.load(&bank[tap + behind + channel..tap + behind + end]);
                let from = s.load(&x[row + behind + channel..row + behind + end]);
                sum = s.mul_add(weight, from, sum);
            }
            let to = at * width;
            s.store(sum, &mut v[to + channel..to + end]);
            s.store(s.mul(sum, sigmoid(s, sum)), &mut u[to + channel..to + end]);
        }
    }
}

dispatched! {
    /// In `d`, T x E: from the gradient at u of all tokens of a sequence to that at v; writes dx
    /// and adds to the gradient of the bank.
    pub(crate) fn filter_backward(
        bank: &[f32],
        x: &[f32],
        v: &[f32],
        d: &mut [f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) = filter_backward_with;
}

#[inline(always)]
fn filter_backward_with<S: Simd>(
    s: S,
    bank: &[f32],
    x: &[f32],
    v: &[f32],
    d: &mut [f32],
    dx: &mut [f32],
    gradient: &mut [f32],
) {
    for (v, d) in v.chunks(S::LANES).zip(d.chunks_mut(S::LANES)) {
        s.store(silu_backward(s, s.load(v), s.load(d)), d);
    }
    let width = bank.len() / (TAPS + 1);
    let tokens = x.len() / width;
    for token in 0..tokens {
        // The tokens that see this one: itself and up to three behind it.
        let seen_by = TAPS.min(tokens - token);
        for channel in (0..width).step_by(S::LANES) {
            let end = width.min(channel + S::LANES);
            let here = s.load(&x[token * width + channel..token * width + end]);
            let mut sum = s.splat(0.0);
            for later in 0..seen_by {
                let row = (token + later) * width;
                let tap = (TAPS - 1 - later) * width;
                let dv = s.load(&d[row + channel..row + end]);
                sum = s.mul_add(s.load(&bank[tap + channel..tap + end]), dv, sum);
                let to = &mut gradient[tap + channel..tap + end];
                s.store(s.mul_add(here, dv, s.load(to)), to);
            }
            s.store(sum, &mut dx[token * width + channel..token * width + end]);
            let dv = s.load(&d[token * width + channel..token * width + end]);
            let to = &mut gradient[TAPS * width + channel..TAPS * width + end];
            s.store(s.add(s.load(to), dv), to);
        }
    }
}

/// d v sigmoid'(v) and so on: the slope of v sigmoid(v) times d.
#[inline(always)]
fn silu_backward<S: Simd>(s: S, v: S::F, d: S::F) -> S::F {
    let sigma = sigmoid(s, v);
    let one = s.splat(1.0);
    let slope = s.mul(sigma, s.mul_add(v, s.sub(one, sigma), one));
    s.mul(d, slope)
}

dispatched! {
    /// Δ = ln(1 + e^x).
    pub(crate) fn step(x: &[f32], steps: &mut [f32]) = step_with;
}

#[inline(always)]
fn step_with<S: Simd>(s: S, x: &[f32], steps: &mut [f32]) {
    for (x, step) in x.chunks(S::LANES).zip(steps.chunks_mut(S::LANES)) {
        s.store(ln_1_plus_exp(s, s.load(x)), step);
    }
}

dispatched! {
    /// In `d`: from the gradient at Δ to that at x.
    pub(crate) fn step_backward(x: &[f32], d: &mut [f32]) = step_backward_with;
}

#[inline(always)]
fn step_backward_with<S: Simd>(s: S, x: &[f32], d: &mut [f32]) {
    for (x, d) in x.chunks(S::LANES).zip(d.chunks_mut(S::LANES)) {
        let slope = sigmoid(s, s.load(x));
        s.store(s.mul(s.load(d), slope), d);
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
    /// In `d`: from the gradient at the gated numbers to that at y; writes that at z.
    pub(crate) fn gate_backward(y: &[f32], z: &[f32], d: &mut [f32], dz: &mut [f32])
        = gate_backward_with;
}

#[inline(always)]
fn gate_backward_with<S: Simd>(s: S, y: &[f32], z: &[f32], d: &mut [f32], dz: &mut [f32]) {
    let given = y.chunks(S::LANES).zip(z.chunks(S::LANES));
    let gradients = d.chunks_mut(S::LANES).zip(dz.chunks_mut(S::LANES));
    for ((y, z), (d, dz)) in given.zip(gradients) {
        let (z, upstream) = (s.load(z), s.load(d));
        s.store(silu_backward(s, z, s.mul(upstream, s.load(y))), dz);
        s.store(s.mul(upstream, s.mul(z, sigmoid(s, z))), d);
    }
}
