//! The fast scan and what stands around it against the naive ones, and those against differences.

use super::reference::Gradient;
use super::{CHUNK, Problem, STATES, TAPS, cpu, elementwise, marks, reference};
use crate::linear::cpu::{Left, Panels, product};
use crate::simd::Level;
use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

/// Tokens, channels, and the first requested token with the distance to the next.
const CASES: [(usize, usize, (usize, usize)); 7] = [
    (1, 1, (0, 1)),
    (2, 7, (1, 3)),
    (5, 33, (1, 3)),
    (CHUNK, 20, (0, 1)),
    (CHUNK + 1, 16, (0, 2)),
    (3 * CHUNK, 5, (1, 3)),
    (50, 40, (0, 1)),
];

/// What a scan reads, in memory of its own: memories that last from less than a token to hundreds.
struct Numbers {
    width: usize,
    u: Vec<f32>,
    steps: Vec<f32>,
    inputs: Vec<f32>,
    decay: Vec<f32>,
    skip: Vec<f32>,
}

impl Numbers {
    fn new(tokens: usize, width: usize) -> Self {
        let positive = |x: &f32| 0.01 + 0.5 * (x + 1.0);
        Self {
            width,
            u: numbers(1, tokens * width),
            steps: numbers(2, tokens * width).iter().map(positive).collect(),
            inputs: numbers(3, tokens * 2 * STATES),
            decay: (numbers(4, STATES * width).iter())
                .map(|x| -3.0 * positive(x))
                .collect(),
            skip: numbers(5, width),
        }
    }

    fn problem(&self, requested: (usize, usize)) -> Problem<'_> {
        Problem {
            width: self.width,
            u: &self.u,
            steps: &self.steps,
            inputs: &self.inputs,
            stride: 2 * STATES,
            decay: &self.decay,
            skip: &self.skip,
            requested,
            continues: false,
        }
    }

    fn exact(&self) -> [Vec<f64>; 5] {
        [&self.u, &self.steps, &self.inputs, &self.decay, &self.skip].map(|x| to_f64(x))
    }
}

fn exact(parts: &[Vec<f64>; 5]) -> reference::ScanInputs<'_, f64> {
    let [u, steps, inputs, decay, skip] = parts;
    reference::ScanInputs {
        u,
        steps,
        inputs,
        decay,
        skip,
    }
}

/// The requested rows of T x E numbers.
fn select<T: Copy>(all: &[T], width: usize, (first, stride): (usize, usize)) -> Vec<T> {
    let rows = all.chunks(width).skip(first).step_by(stride);
    rows.flatten().copied().collect()
}

#[test]
fn the_fast_scan_is_the_reference_in_value_and_every_gradient() {
    for (tokens, width, requested) in CASES {
        let numbers_read = Numbers::new(tokens, width);
        let parts = numbers_read.exact();
        let expected = select(&reference::forward(exact(&parts)), width, requested);
        let dy = numbers(6, expected.len());
        let mut all_dy = vec![0.0; tokens * width];
        let rows = all_dy
            .chunks_mut(width)
            .skip(requested.0)
            .step_by(requested.1);
        for (to, from) in rows.zip(dy.chunks(width)) {
            to.copy_from_slice(&to_f64(from));
        }
        let gradient = reference::backward(exact(&parts), &all_dy);
        for level in Level::available() {
            check(level, &numbers_read, requested, (&expected, &dy), &gradient);
        }
    }
}

fn check(
    level: Level,
    read: &Numbers,
    requested: (usize, usize),
    (expected, dy): (&[f64], &[f32]),
    gradient: &Gradient<f64>,
) {
    let problem = read.problem(requested);
    let (tokens, width) = (problem.tokens(), read.width);
    let mut state = vec![0.0; STATES * width];
    let mut noted = vec![f32::NAN; marks(tokens, width)];
    let mut y = vec![f32::NAN; expected.len()];
    cpu::forward(level, problem, &mut state, &mut noted, &mut y);
    assert_close(&y, expected, "y");
    let [mut u, mut steps] = [0, 1].map(|_| vec![f32::NAN; tokens * width]);
    let stride = 2 * STATES + 3;
    let mut inputs = vec![f32::NAN; tokens * stride];
    let (mut decay, mut skip) = (vec![0.5; STATES * width], vec![0.25; width]);
    let mut scratch = cpu::Scratch::default();
    // Again in used memory.
    for _ in 0..2 {
        decay.fill(0.5);
        skip.fill(0.25);
        let mut to = cpu::Gradients {
            u: &mut u,
            steps: &mut steps,
            inputs: &mut inputs,
            stride,
            decay: &mut decay,
            skip: &mut skip,
        };
        scratch.begin(level, width);
        cpu::backward(level, problem, &noted, dy, &mut scratch, &mut to);
    }
    let more = |by: f64, all: &[f64]| -> Vec<f64> { all.iter().map(|g| g + by).collect() };
    let rows = inputs.chunks(stride).flat_map(|row| &row[..2 * STATES]);
    let inputs: Vec<f32> = rows.copied().collect();
    assert_close(&u, &gradient.u, "du");
    assert_close(&steps, &gradient.steps, "dsteps");
    assert_close(&inputs, &gradient.inputs, "dB, dC");
    assert_close(&decay, &more(0.5, &gradient.decay), "dA");
    assert_close(&skip, &more(0.25, &gradient.skip), "dD");
}

#[test]
fn a_scan_in_parts_is_the_whole_one() {
    let (tokens, width) = (2 * CHUNK + 3, 21);
    let read = Numbers::new(tokens, width);
    for level in Level::available() {
        let mut state = vec![0.0; STATES * width];
        let mut whole = vec![0.0; tokens * width];
        cpu::forward(level, read.problem((0, 1)), &mut state, &mut [], &mut whole);
        let mut state = vec![0.0; STATES * width];
        let mut parts = Vec::new();
        for tokens in [0..1, 1..4, 4..tokens] {
            let numbers = tokens.start * width..tokens.end * width;
            let problem = Problem {
                u: &read.u[numbers.clone()],
                steps: &read.steps[numbers.clone()],
                inputs: &read.inputs[tokens.start * 2 * STATES..],
                ..read.problem((0, 1))
            };
            let mut y = vec![0.0; numbers.len()];
            cpu::forward(level, problem, &mut state, &mut [], &mut y);
            parts.extend(y);
        }
        assert_eq!(whole, parts);
    }
}

#[test]
fn the_gradients_of_a_scan_in_parts_are_those_of_the_whole_one() {
    let (tokens, width) = (4 * CHUNK + 3, 21);
    let read = Numbers::new(tokens, width);
    let dy = numbers(6, tokens * width);
    let find = |level, parts: &[std::ops::Range<usize>]| {
        let number = STATES * width;
        let mut noted = vec![f32::NAN; marks(tokens, width)];
        let (mut state, mut scratch) = (vec![0.0; number], cpu::Scratch::default());
        let mut rows = [0, 1, 2].map(|_| vec![f32::NAN; tokens * width.max(2 * STATES)]);
        let (mut decay, mut skip) = (vec![0.0; number], vec![0.0; width]);
        let part = |tokens: &std::ops::Range<usize>| Problem {
            u: &read.u[tokens.start * width..tokens.end * width],
            steps: &read.steps[tokens.start * width..tokens.end * width],
            inputs: &read.inputs[tokens.start * 2 * STATES..],
            continues: tokens.start > 0,
            ..read.problem((0, 1))
        };
        let first_mark = |start: usize| (start / CHUNK).saturating_sub(1) * number;
        for tokens in parts {
            let mut y = vec![0.0; tokens.len() * width];
            let noted = &mut noted[first_mark(tokens.start)..];
            cpu::forward(level, part(tokens), &mut state, noted, &mut y);
        }
        scratch.begin(level, width);
        for tokens in parts.iter().rev() {
            let numbers = tokens.start * width..tokens.end * width;
            let [u, steps, inputs] = &mut rows;
            let mut to = cpu::Gradients {
                u: &mut u[numbers.clone()],
                steps: &mut steps[numbers.clone()],
                inputs: &mut inputs[tokens.start * 2 * STATES..],
                stride: 2 * STATES,
                decay: &mut decay,
                skip: &mut skip,
            };
            let noted = &noted[first_mark(tokens.start)..];
            cpu::backward(
                level,
                part(tokens),
                noted,
                &dy[numbers],
                &mut scratch,
                &mut to,
            );
        }
        let [u, steps, inputs] = rows;
        let inputs = inputs[..tokens * 2 * STATES].to_vec();
        let [u, steps] = [u, steps].map(|rows| rows[..tokens * width].to_vec());
        [noted, u, steps, inputs, decay, skip]
    };
    for level in Level::available() {
        let whole = find(level, std::slice::from_ref(&(0..tokens)));
        let split = 2 * CHUNK;
        assert_eq!(whole, find(level, &[0..CHUNK, CHUNK..split, split..tokens]));
    }
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    for (tokens, width, _) in CASES.into_iter().take(3) {
        let parts = Numbers::new(tokens, width).exact();
        let dy = to_f64(&numbers(6, tokens * width));
        let found = reference::backward(exact(&parts), &dy);
        let gradients = [
            &found.u,
            &found.steps,
            &found.inputs,
            &found.decay,
            &found.skip,
        ];
        for (part, gradient) in gradients.into_iter().enumerate() {
            assert_gradient(&parts[part], gradient, |moved| {
                let mut parts = parts.clone();
                parts[part].copy_from_slice(moved);
                let y = reference::forward(exact(&parts));
                y.iter().zip(&dy).map(|(y, d)| y * d).sum()
            });
        }
    }
}

#[test]
fn the_fast_filter_is_the_reference_in_value_and_every_gradient() {
    for (tokens, width, _) in CASES {
        let (bank, x) = (numbers(1, (TAPS + 1) * width), numbers(2, tokens * width));
        let du = numbers(3, tokens * width);
        let (exact_bank, exact_x) = (to_f64(&bank), to_f64(&x));
        let exact_v = reference::filter(&exact_bank, &exact_x);
        let dv = reference::silu_backward(&exact_v, &to_f64(&du));
        let (dx, dbank) = reference::filter_backward(&exact_bank, &exact_x, &dv);
        for level in Level::available() {
            for before in [0, tokens / 2] {
                let from = before * width;
                let mut u = vec![f32::NAN; x.len()];
                elementwise::filter(level, width, &bank, before, &x, &mut u[from..]);
                assert_close(&u[from..], &reference::silu(&exact_v)[from..], "u");
            }
            let mut found = vec![f32::NAN; x.len()];
            let mut gradient = vec![0.5; bank.len()];
            let mut d = du.clone();
            // The last tokens first, which the others then have behind them.
            for tokens in [tokens / 2..tokens, 0..tokens / 2] {
                let (before, behind) = (
                    tokens.start.min(TAPS - 1),
                    (x.len() / width - tokens.end).min(TAPS - 1),
                );
                let x = &x[(tokens.start - before) * width..tokens.end * width];
                let d = &mut d[tokens.start * width..(tokens.end + behind) * width];
                let dx = &mut found[tokens.start * width..tokens.end * width];
                elementwise::filter_backward(level, before, &bank, x, d, dx, &mut gradient);
            }
            assert_close(&d, &dv, "dv");
            let expected: Vec<f64> = dbank.iter().map(|g| g + 0.5).collect();
            assert_close(&found, &dx, "dx");
            assert_close(&gradient, &expected, "dbank");
        }
    }
}

#[test]
fn the_fast_step_and_gate_are_the_references_in_value_and_gradient() {
    // Beyond 20, where PyTorch's softplus is the number itself, and far below zero.
    let mut x: Vec<f32> = numbers(1, 61).iter().map(|x| 6.0 * x).collect();
    x.extend([-80.0, -30.0, 19.9, 20.5, 60.0, 0.0]);
    let (y, d) = (numbers(2, x.len()), numbers(3, x.len()));
    let exact_x = to_f64(&x);
    let times =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let (exact_y, exact_d) = (to_f64(&y), to_f64(&d));
    for level in Level::available() {
        // x is a product with 1, and a bias of zero.
        let mut steps = vec![f32::NAN; x.len()];
        let mut one = Panels::default();
        one.pack(level, &[1.0], 1, 1, 1, None);
        let finish = elementwise::Step {
            bias: &[0.0],
            to: &mut steps,
            stride: 1,
        };
        product(level, Left::rows(&x, x.len(), 1), one.all(), finish);
        let close = |found: &[f32], expected: &[f64]| {
            for (found, expected) in found.iter().zip(expected) {
                let error = (f64::from(*found) - expected).abs() / expected.abs();
                assert!(error < 1e-6, "{found}, not {expected}");
            }
        };
        close(&steps, &reference::step(&exact_x));
        let mut gradient = d.clone();
        elementwise::step_backward(level, &steps, &mut gradient);
        close(&gradient, &reference::step_backward(&exact_x, &exact_d));

        let mut gated = vec![f32::NAN; x.len()];
        elementwise::gate(level, &y, &x, &mut gated);
        let silu = reference::silu(&exact_x);
        assert_close(&gated, &times(&exact_y, &silu), "gated");
        let (mut dy, mut dz) = (d.clone(), vec![f32::NAN; x.len()]);
        let mut again = vec![f32::NAN; x.len()];
        elementwise::gate_backward(level, &y, &x, &mut dy, &mut dz, &mut again);
        assert_eq!(again, gated);
        assert_close(&dy, &times(&exact_d, &silu), "dy");
        let upstream = times(&exact_d, &exact_y);
        assert_close(&dz, &reference::silu_backward(&exact_x, &upstream), "dz");
    }
}

#[test]
fn the_reference_slopes_around_the_scan_are_finite_differences() {
    let x: Vec<f64> = to_f64(&numbers(1, 24)).iter().map(|x| 3.0 * x).collect();
    let d = to_f64(&numbers(2, 24));
    let along = |y: &[f64]| y.iter().zip(&d).map(|(y, d)| y * d).sum::<f64>();
    assert_gradient(&x, &reference::silu_backward(&x, &d), |x| {
        along(&reference::silu(x))
    });
    assert_gradient(&x, &reference::step_backward(&x, &d), |x| {
        along(&reference::step(x))
    });
    let bank = to_f64(&numbers(3, (TAPS + 1) * 4));
    let (dx, dbank) = reference::filter_backward(&bank, &x, &d);
    assert_gradient(&x, &dx, |x| along(&reference::filter(&bank, x)));
    assert_gradient(&bank, &dbank, |bank| along(&reference::filter(bank, &x)));
}
