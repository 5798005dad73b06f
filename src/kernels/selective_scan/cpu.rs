//! The scan by vectors of channels.

use super::{CHUNK, Problem, STATES};
use crate::kernels::buffer::Buffer;
use crate::kernels::simd::functions::power_of_2;
use crate::kernels::simd::{Level, Simd, dispatched};
use std::f32::consts::LOG2_E;
use std::ops::Range;

dispatched! {
    /// Writes y of the requested tokens, E numbers each. `state` is h before the first token and
    /// becomes h behind the last, N x E; `marks`, if there is room, receives h in front of each
    /// chunk but the first.
    pub(crate) fn forward(
        problem: Problem<'_>,
        state: &mut [f32],
        marks: &mut [f32],
        y: &mut [f32],
    ) = forward_with;
}

/// B and C of a token.
#[inline(always)]
fn inputs<'a>(problem: &Problem<'a>, token: usize) -> (&'a [f32], &'a [f32]) {
    problem.inputs[token * problem.stride..][..2 * STATES].split_at(STATES)
}

/// A vector of channels of each of N rows.
#[inline(always)]
fn load_states<S: Simd>(s: S, from: &[f32], width: usize, at: usize, end: usize) -> [S::F; STATES] {
    // No closure: it would not be compiled for the instruction set.
    let mut states = [s.splat(0.0); STATES];
    for (n, state) in states.iter_mut().enumerate() {
        *state = s.load(&from[n * width + at..n * width + end]);
    }
    states
}

/// A log2 e, for powers of 2.
#[inline(always)]
fn rates<S: Simd>(s: S, problem: &Problem<'_>, at: usize, end: usize) -> [S::F; STATES] {
    let mut rates = load_states(s, problem.decay, problem.width, at, end);
    for rate in &mut rates {
        *rate = s.mul(*rate, s.splat(LOG2_E));
    }
    rates
}

#[inline(always)]
fn store_states<S: Simd>(
    s: S,
    states: &[S::F; STATES],
    to: &mut [f32],
    width: usize,
    at: usize,
    end: usize,
) {
    for (n, state) in states.iter().enumerate() {
        s.store(*state, &mut to[n * width + at..n * width + end]);
    }
}

#[inline(always)]
fn forward_with<S: Simd>(
    s: S,
    problem: Problem<'_>,
    state: &mut [f32],
    marks: &mut [f32],
    y: &mut [f32],
) {
    let width = problem.width;
    let (first, stride) = problem.asking;
    for at in (0..width).step_by(S::LANES) {
        let end = width.min(at + S::LANES);
        let mut h = load_states(s, state, width, at, end);
        let rates = rates(s, &problem, at, end);
        let skip = s.load(&problem.skip[at..end]);
        let (mut next, mut row) = (first, 0);
        for token in 0..problem.tokens() {
            if token % CHUNK == 0 && token > 0 && !marks.is_empty() {
                let mark = (token / CHUNK - 1) * STATES * width;
                store_states(s, &h, &mut marks[mark..], width, at, end);
            }
            let u = s.load(&problem.u[token * width + at..token * width + end]);
            let step = s.load(&problem.steps[token * width + at..token * width + end]);
            let (b, c) = inputs(&problem, token);
            let drive = s.mul(step, u);
            // Two sums, so that one does not wait for the other.
            let (mut even, mut odd) = (s.mul(skip, u), s.splat(0.0));
            for n in (0..STATES).step_by(2) {
                let decay = power_of_2(s, s.mul(step, rates[n]));
                h[n] = s.mul_add(decay, h[n], s.mul(drive, s.splat(b[n])));
                even = s.mul_add(h[n], s.splat(c[n]), even);
                let decay = power_of_2(s, s.mul(step, rates[n + 1]));
                h[n + 1] = s.mul_add(decay, h[n + 1], s.mul(drive, s.splat(b[n + 1])));
                odd = s.mul_add(h[n + 1], s.splat(c[n + 1]), odd);
            }
            if token == next {
                let to = row * width;
                s.store(s.add(even, odd), &mut y[to + at..to + end]);
                (next, row) = (next + stride, row + 1);
            }
        }
        store_states(s, &h, state, width, at, end);
    }
}

/// Where the gradients of a scan go.
pub(crate) struct Gradients<'a> {
    /// written, T x E
    pub(crate) u: &'a mut [f32],
    /// written, T x E
    pub(crate) steps: &'a mut [f32],
    /// written: of B and C, in rows as those of [`Problem::inputs`] but `stride` apart
    pub(crate) inputs: &'a mut [f32],
    pub(crate) stride: usize,
    /// added to, N x E
    pub(crate) decay: &'a mut [f32],
    /// added to, E
    pub(crate) skip: &'a mut [f32],
}

/// Memory of backward.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// l of the token behind the chunk times its a, N x E.
    carried: Buffer,
    /// Of a chunk and a vector of channels: h before each token and a, token x N x lanes.
    before: Buffer,
    decays: Buffer,
    /// Of a chunk: dB and dC, token x N x lanes, the lanes not added up yet.
    sums: [Buffer; 2],
}

/// The gradients from dy, a row for each requested token. `marks` is what forward noted, from h
/// zero.
pub(crate) fn backward(
    level: Level,
    problem: Problem<'_>,
    marks: &[f32],
    dy: &[f32],
    scratch: &mut Scratch,
    gradients: &mut Gradients<'_>,
) {
    let chunk = CHUNK * STATES * level.lanes();
    scratch.carried.resize(STATES * problem.width);
    scratch.carried.fill(0.0);
    let Scratch {
        before,
        decays,
        sums: [first, second],
        ..
    } = scratch;
    for buffer in [before, decays, first, second] {
        buffer.resize(chunk);
    }
    backward_vectors(level, problem, marks, dy, scratch, gradients);
}

dispatched! {
    fn backward_vectors(
        problem: Problem<'_>,
        marks: &[f32],
        dy: &[f32],
        scratch: &mut Scratch,
        gradients: &mut Gradients<'_>,
    ) = backward_with;
}

#[inline(always)]
fn backward_with<S: Simd>(
    s: S,
    problem: Problem<'_>,
    marks: &[f32],
    dy: &[f32],
    scratch: &mut Scratch,
    gradients: &mut Gradients<'_>,
) {
    let (width, tokens) = (problem.width, problem.tokens());
    for chunk in (0..tokens.div_ceil(CHUNK)).rev() {
        let start = chunk * CHUNK;
        let tokens = start..tokens.min(start + CHUNK);
        for sums in &mut scratch.sums {
            sums.fill(0.0);
        }
        for at in (0..width).step_by(S::LANES) {
            let part = (at, width.min(at + S::LANES));
            let behind = again(s, &problem, marks, &tokens, part, scratch);
            chunk_backward(s, &problem, &tokens, part, behind, dy, scratch, gradients);
        }
        for (i, token) in tokens.enumerate() {
            let to = &mut gradients.inputs[token * gradients.stride..][..2 * STATES];
            for (n, to) in to.iter_mut().enumerate() {
                let sums = &scratch.sums[n / STATES];
                let from = (i * STATES + n % STATES) * S::LANES;
                *to = s.sum(s.load(&sums[from..from + S::LANES]));
            }
        }
    }
}

/// Fills `before` and `decays` for a chunk; returns h behind it.
#[inline(always)]
fn again<S: Simd>(
    s: S,
    problem: &Problem<'_>,
    marks: &[f32],
    tokens: &Range<usize>,
    (at, end): (usize, usize),
    scratch: &mut Scratch,
) -> [S::F; STATES] {
    let width = problem.width;
    let mut h = match (tokens.start / CHUNK).checked_sub(1) {
        None => [s.splat(0.0); STATES],
        Some(mark) => load_states(s, &marks[mark * STATES * width..], width, at, end),
    };
    let rates = rates(s, problem, at, end);
    for (i, token) in tokens.clone().enumerate() {
        let u = s.load(&problem.u[token * width + at..token * width + end]);
        let step = s.load(&problem.steps[token * width + at..token * width + end]);
        let (b, _) = inputs(problem, token);
        let drive = s.mul(step, u);
        for (n, ((h, rate), b)) in h.iter_mut().zip(&rates).zip(b).enumerate() {
            let place = (i * STATES + n) * S::LANES;
            let decay = power_of_2(s, s.mul(step, *rate));
            s.store(*h, &mut scratch.before[place..place + S::LANES]);
            s.store(decay, &mut scratch.decays[place..place + S::LANES]);
            *h = s.mul_add(decay, *h, s.mul(drive, s.splat(*b)));
        }
    }
    h
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "a chunk and a vector of a sequence, and its gradients"
)]
fn chunk_backward<S: Simd>(
    s: S,
    problem: &Problem<'_>,
    tokens: &Range<usize>,
    (at, end): (usize, usize),
    mut behind: [S::F; STATES],
    dy: &[f32],
    scratch: &mut Scratch,
    gradients: &mut Gradients<'_>,
) {
    let width = problem.width;
    let (first, stride) = problem.asking;
    let a = load_states(s, problem.decay, width, at, end);
    let mut carried = load_states(s, &scratch.carried, width, at, end);
    let mut da = load_states(s, gradients.decay, width, at, end);
    let skip = s.load(&problem.skip[at..end]);
    let mut dskip = s.load(&gradients.skip[at..end]);
    let [sums_b, sums_c] = &mut scratch.sums;
    for (i, token) in tokens.clone().enumerate().rev() {
        let numbers = token * width + at..token * width + end;
        let u = s.load(&problem.u[numbers.clone()]);
        let step = s.load(&problem.steps[numbers.clone()]);
        let (b, c) = inputs(problem, token);
        let d = match token.checked_sub(first) {
            Some(behind) if behind % stride == 0 => {
                let row = behind / stride * width;
                s.load(&dy[row + at..row + end])
            }
            _ => s.splat(0.0),
        };
        let drive = s.mul(step, u);
        let (mut along_b, mut along_a) = (s.splat(0.0), s.splat(0.0));
        let states = carried.iter_mut().zip(&mut behind).zip(&mut da);
        let given = a.iter().zip(b).zip(c);
        for (n, (((carried, behind), da), ((a, b), c))) in states.zip(given).enumerate() {
            let place = (i * STATES + n) * S::LANES;
            let place = place..place + S::LANES;
            let before = s.load(&scratch.before[place.clone()]);
            let l = s.mul_add(d, s.splat(*c), *carried);
            let to = &mut sums_c[place.clone()];
            s.store(s.mul_add(d, *behind, s.load(to)), to);
            let to = &mut sums_b[place.clone()];
            s.store(s.mul_add(l, drive, s.load(to)), to);
            along_b = s.mul_add(l, s.splat(*b), along_b);
            *carried = s.mul(l, s.load(&scratch.decays[place]));
            let g = s.mul(*carried, before);
            along_a = s.mul_add(g, *a, along_a);
            *da = s.mul_add(g, step, *da);
            *behind = before;
        }
        let du = s.mul_add(step, along_b, s.mul(skip, d));
        s.store(du, &mut gradients.u[numbers.clone()]);
        s.store(
            s.mul_add(u, along_b, along_a),
            &mut gradients.steps[numbers],
        );
        dskip = s.mul_add(d, u, dskip);
    }
    store_states(s, &carried, &mut scratch.carried, width, at, end);
    store_states(s, &da, gradients.decay, width, at, end);
    s.store(dskip, &mut gradients.skip[at..end]);
}
