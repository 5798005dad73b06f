//! The scan by vectors of channels.

use super::{CHUNK, Problem, STATES};
use crate::buffer::Buffer;
use crate::simd::functions::{power_of_2, powers_of_2};
use crate::simd::{Level, Simd, dispatched, prefetch};
use std::f32::consts::LOG2_E;
use std::ops::Range;

dispatched! {
    /// Writes y of the requested tokens, E numbers each. `state` is h before the first token and
    /// becomes h behind the last, N x E; `marks`, if there is room, receives h in front of each
    /// chunk but the sequence's first.
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

/// A vector of channels of each of W rows.
#[inline(always)]
fn load_rows<S: Simd, const W: usize>(
    s: S,
    rows: &[f32],
    width: usize,
    at: usize,
    end: usize,
) -> [S::F; W] {
    // No closure: it would not be compiled for the instruction set.
    let mut vectors = [s.splat(0.0); W];
    for (i, vector) in vectors.iter_mut().enumerate() {
        *vector = s.load(&rows[i * width + at..i * width + end]);
    }
    vectors
}

/// A log2 e, for powers of 2.
#[inline(always)]
fn rates<S: Simd>(s: S, problem: &Problem<'_>, at: usize, end: usize) -> [S::F; STATES] {
    let mut rates: [S::F; STATES] = load_rows(s, problem.decay, problem.width, at, end);
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
    // Some tokens at a time, so that memory is read and written row after row.
    for start in (0..problem.tokens()).step_by(CHUNK) {
        let tokens = start..problem.tokens().min(start + CHUNK);
        if let Some(mark) = problem.mark(start)
            && !marks.is_empty()
        {
            marks[mark * STATES * width..][..STATES * width].copy_from_slice(state);
        }
        let next = tokens.end..tokens.end + CHUNK;
        let next_rows = rows_of(&problem, next.clone());
        for at in (0..width).step_by(S::LANES) {
            let part = Part::of(&problem, tokens.clone(), at, S::LANES);
            part.prefetch(&[problem.u, problem.steps], next.clone());
            part.prefetch(&[y], next_rows.clone());
            part.forward(s, &problem, state, y);
        }
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
    /// Of a chunk: dB and dC, N x [`CHUNK`] x lanes, the lanes not added up yet.
    sums: [Buffer; 2],
}

impl Scratch {
    /// Begins behind the last token of a sequence of `width` channels.
    pub(crate) fn begin(&mut self, level: Level, width: usize) {
        self.carried.resize(STATES * width);
        self.carried.fill(0.0);
        for sums in &mut self.sums {
            sums.resize(STATES * CHUNK * level.lanes());
        }
    }
}

dispatched! {
    /// The gradients from dy, a row for each requested token. `marks` is what forward noted, from h
    /// zero. `scratch` is as [`Scratch::begin`] leaves it, or as the tokens behind these do.
    pub(crate) fn backward(
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
    const HALF: usize = CHUNK / 2;
    let (width, tokens) = (problem.width, problem.tokens());
    for chunk in (0..tokens.div_ceil(CHUNK)).rev() {
        let start = chunk * CHUNK;
        let tokens = start..tokens.min(start + CHUNK);
        for sums in &mut scratch.sums {
            sums.fill(0.0);
        }
        let inputs = chunk_inputs(&problem, &tokens);
        // Otherwise the next chunk, which comes before this one, waits for memory.
        let before = start.saturating_sub(CHUNK)..start;
        let rows_before = rows_of(&problem, before.clone());
        let noted = problem.mark(before.start).unwrap_or_default();
        let noted = noted * STATES..(noted + 1) * STATES;
        for at in (0..width).step_by(S::LANES) {
            let part = Part::of(&problem, tokens.clone(), at, S::LANES);
            let rows = [problem.u, problem.steps, gradients.u, gradients.steps];
            part.prefetch(&rows, before.clone());
            part.prefetch(&[dy], rows_before.clone());
            part.prefetch(&[marks], noted.clone());
            let from = (&inputs, marks, dy);
            if tokens.len() > HALF {
                part.backward::<S, CHUNK>(s, &problem, from, scratch, gradients);
            } else {
                part.backward::<S, HALF>(s, &problem, from, scratch, gradients);
            }
        }
        for (i, token) in tokens.enumerate() {
            let to = &mut gradients.inputs[token * gradients.stride..][..2 * STATES];
            for (n, to) in to.iter_mut().enumerate() {
                let sums = &scratch.sums[n / STATES];
                let from = (n % STATES * CHUNK + i) * S::LANES;
                *to = s.sum(s.load(&sums[from..from + S::LANES]));
            }
        }
    }
}

/// B and C of the tokens of a chunk; of missing tokens, zeros.
type ChunkInputs = [[f32; 2 * STATES]; CHUNK];

fn chunk_inputs(problem: &Problem<'_>, tokens: &Range<usize>) -> ChunkInputs {
    let mut inputs = [[0.0; 2 * STATES]; CHUNK];
    for (to, token) in inputs.iter_mut().zip(tokens.clone()) {
        to.copy_from_slice(&problem.inputs[token * problem.stride..][..2 * STATES]);
    }
    inputs
}

/// exp(Δ A), from Δ and A log2 e.
#[inline(always)]
fn decays<S: Simd, const W: usize>(s: S, steps: &[S::F; W], rate: S::F) -> [S::F; W] {
    let mut exponents = *steps;
    for exponent in &mut exponents {
        *exponent = s.mul(*exponent, rate);
    }
    powers_of_2(s, exponents)
}

/// The rows of y of the requested ones among these tokens.
fn rows_of(problem: &Problem<'_>, tokens: Range<usize>) -> Range<usize> {
    problem.requested_from(tokens.start).1..problem.requested_from(tokens.end).1
}

/// A vector of channels of a chunk.
struct Part {
    tokens: Range<usize>,
    channels: (usize, usize),
    width: usize,
}

impl Part {
    fn of(problem: &Problem<'_>, tokens: Range<usize>, at: usize, lanes: usize) -> Self {
        let width = problem.width;
        Self {
            tokens,
            channels: (at, width.min(at + lanes)),
            width,
        }
    }

    /// Prefetches a share of some rows of the matrices: the parts of a chunk together prefetch all
    /// of these rows, line after line.
    #[inline(always)]
    fn prefetch(&self, matrices: &[&[f32]], rows: Range<usize>) {
        let (at, end) = self.channels;
        let start = rows.start * self.width;
        let share = start + at * rows.len()..start + end * rows.len();
        for matrix in matrices {
            prefetch(matrix, share.clone());
        }
    }

    /// y of the requested tokens; moves the state on.
    #[inline(always)]
    fn forward<S: Simd>(&self, s: S, problem: &Problem<'_>, state: &mut [f32], y: &mut [f32]) {
        let (width, (at, end)) = (self.width, self.channels);
        let mut h: [S::F; STATES] = load_rows(s, state, width, at, end);
        let rates = rates(s, problem, at, end);
        let skip = s.load(&problem.skip[at..end]);
        let (mut next, mut row) = problem.requested_from(self.tokens.start);
        for token in self.tokens.clone() {
            let u = s.load(&problem.u[token * width + at..token * width + end]);
            let step = s.load(&problem.steps[token * width + at..token * width + end]);
            let (b, c) = inputs(problem, token);
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
                (next, row) = (next + problem.requested.1, row + 1);
            }
        }
        store_states(s, &h, state, width, at, end);
    }

    /// These channels of the first W tokens, T x E in `rows`. Missing tokens have zeros: they
    /// change no memory and contribute nothing to a gradient.
    #[inline(always)]
    fn load<S: Simd, const W: usize>(&self, s: S, rows: &[f32], width: usize) -> [S::F; W] {
        let (at, end) = self.channels;
        // No closure: it would not be compiled for the instruction set.
        let mut vectors = [s.splat(0.0); W];
        for (vector, token) in vectors.iter_mut().zip(self.tokens.clone()) {
            *vector = s.load(&rows[token * width + at..token * width + end]);
        }
        vectors
    }

    /// As [`Self::load`], of rows that are those of the requested tokens.
    #[inline(always)]
    fn load_requested<S: Simd, const W: usize>(
        &self,
        s: S,
        rows: &[f32],
        problem: &Problem<'_>,
    ) -> [S::F; W] {
        let (at, end) = self.channels;
        let mut vectors = [s.splat(0.0); W];
        let (mut next, mut row) = problem.requested_from(self.tokens.start);
        for (vector, token) in vectors.iter_mut().zip(self.tokens.clone()) {
            if token == next {
                *vector = s.load(&rows[row * problem.width + at..row * problem.width + end]);
                (next, row) = (next + problem.requested.1, row + 1);
            }
        }
        vectors
    }

    /// Of a chunk of at most W tokens: one number of memory after the other, so that those of all
    /// tokens are in registers.
    #[inline(always)]
    fn backward<S: Simd, const W: usize>(
        &self,
        s: S,
        problem: &Problem<'_>,
        (inputs, all_marks, dy): (&ChunkInputs, &[f32], &[f32]),
        scratch: &mut Scratch,
        gradients: &mut Gradients<'_>,
    ) {
        let (width, (at, end)) = (problem.width, self.channels);
        let mark = problem.mark(self.tokens.start);
        let marks = mark.map(|mark| &all_marks[mark * STATES * width..]);
        let Scratch {
            carried: all_carried,
            sums: [sums_b, sums_c],
        } = scratch;
        let u: [S::F; W] = self.load(s, problem.u, width);
        let steps: [S::F; W] = self.load(s, problem.steps, width);
        let d: [S::F; W] = self.load_requested(s, dy, problem);
        let mut drives = u;
        for (drive, step) in drives.iter_mut().zip(&steps) {
            *drive = s.mul(*step, *drive);
        }
        let mut along_b = [s.splat(0.0); W];
        let mut along_a = [s.splat(0.0); W];
        for n in 0..STATES {
            let channels = n * width + at..n * width + end;
            let sums = n * CHUNK * S::LANES..(n * CHUNK + W) * S::LANES;
            let (sums_b, sums_c) = (&mut sums_b[sums.clone()], &mut sums_c[sums]);
            let a = s.load(&problem.decay[channels.clone()]);
            let mut h = match marks {
                None => s.splat(0.0),
                Some(marks) => s.load(&marks[channels.clone()]),
            };
            // h before each token, and the decay at it.
            let mut before = [h; W];
            let decays = decays(s, &steps, s.mul(a, s.splat(LOG2_E)));
            for i in 0..W {
                before[i] = h;
                let drive = s.mul(drives[i], s.splat(inputs[i][n]));
                h = s.mul_add(decays[i], h, drive);
            }
            let mut carried = s.load(&all_carried[channels.clone()]);
            let mut da = s.load(&gradients.decay[channels.clone()]);
            for i in (0..W).rev() {
                let lanes = i * S::LANES..(i + 1) * S::LANES;
                let (b, c) = (inputs[i][n], inputs[i][STATES + n]);
                let dc = s.mul(d[i], s.splat(c));
                let l = s.add(dc, carried);
                let to = &mut sums_c[lanes.clone()];
                s.store(s.mul_add(d[i], h, s.load(to)), to);
                let to = &mut sums_b[lanes];
                s.store(s.mul_add(l, drives[i], s.load(to)), to);
                along_b[i] = s.mul_add(l, s.splat(b), along_b[i]);
                // l a, in a form in which a token waits for one operation of the token behind it.
                carried = s.mul_add(carried, decays[i], s.mul(dc, decays[i]));
                let g = s.mul(carried, before[i]);
                along_a[i] = s.mul_add(g, a, along_a[i]);
                da = s.mul_add(g, steps[i], da);
                h = before[i];
            }
            s.store(carried, &mut all_carried[channels.clone()]);
            s.store(da, &mut gradients.decay[channels]);
        }
        let skip = s.load(&problem.skip[at..end]);
        let mut dskip = s.load(&gradients.skip[at..end]);
        for (i, token) in self.tokens.clone().take(W).enumerate().rev() {
            let numbers = token * width + at..token * width + end;
            let du = s.mul_add(steps[i], along_b[i], s.mul(skip, d[i]));
            s.store(du, &mut gradients.u[numbers.clone()]);
            let dstep = s.mul_add(u[i], along_b[i], along_a[i]);
            s.store(dstep, &mut gradients.steps[numbers]);
            dskip = s.mul_add(d[i], u[i], dskip);
        }
        s.store(dskip, &mut gradients.skip[at..end]);
    }
}
