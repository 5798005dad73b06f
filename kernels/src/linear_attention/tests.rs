use super::reference::{self, feature};
use super::{EPSILON, cpu};
use crate::attention::Visible;
use crate::attention::cpu::{Given, Problem, Weighting, one_query};
use crate::real::Real;
use crate::simd::Level;
use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

/// The second of each three tokens.
const SECOND: Visible = Visible::every(3, 2);

/// φ of the first `width` numbers of each row.
fn features<R: Real>(rows: &[R], stride: usize, width: usize) -> Vec<R> {
    let place = |(at, x): (usize, &R)| if at % stride < width { feature(*x) } else { *x };
    rows.iter().enumerate().map(place).collect()
}

#[test]
fn the_fast_op_is_the_reference_in_value_and_every_gradient() {
    let mut scratch = cpu::Scratch::default();
    for level in Level::available() {
        // Squares of scores, sums, and several blocks of either.
        for (steps, heads, width) in [
            (1, 1, 8),
            (2, 3, 96),
            (7, 1, 128),
            (13, 4, 20),
            (20, 2, 64),
            (30, 2, 14),
            (40, 1, 96),
        ] {
            for (visible, queries) in [(Visible::TOKENS, 3 * steps - 1), (SECOND, steps)] {
                let keys = 3 * steps - 1;
                let raw_q = numbers(1, queries * width);
                let raw_kv = numbers(2, keys * 2 * width);
                let dout = numbers(3, queries * width);
                let problem = Problem {
                    queries,
                    keys,
                    width,
                    heads,
                    visible,
                    masked: None,
                };
                let (mut q, mut kv) = (raw_q.clone(), raw_kv.clone());
                cpu::features(level, &mut q, width, width);
                cpu::features(level, &mut kv, 2 * width, width);
                let exact_q = features(&to_f64(&raw_q), width, width);
                let exact_kv = features(&to_f64(&raw_kv), 2 * width, width);
                assert_close(&q, &exact_q, "features of q");
                assert_close(&kv, &exact_kv, "features of k");

                let mut out = vec![0.0; q.len()];
                let mut sums = vec![0.0; queries * heads];
                cpu::forward(level, problem, &q, &kv, &mut out, &mut sums, &mut scratch);
                let shape = reference::LinearProblem {
                    width,
                    heads,
                    visible,
                };
                assert_close(&out, &reference::forward(shape, &exact_q, &exact_kv), "o");

                let (mut dq, mut dkv) = (vec![f32::NAN; q.len()], vec![f32::NAN; kv.len()]);
                let given = Given {
                    q: &q,
                    kv: &kv,
                    out: &out,
                    logs: &sums,
                    dout: &dout,
                };
                cpu::backward(level, problem, given, &mut dq, &mut dkv, &mut scratch);
                let (expected_q, expected_kv) =
                    reference::backward(shape, &exact_q, &exact_kv, &to_f64(&dout));
                // One visible key: its gradient is that of ε alone.
                if steps > 1 {
                    assert_close(&dq, &expected_q, "dq");
                }
                assert_close(&dkv, &expected_kv, "dk, dv");
            }
        }
    }
}

#[test]
fn one_query_is_the_last_row() {
    let (heads, width, keys) = (2, 12, 19);
    let d = width / heads;
    let q = features(&numbers(1, width), width, width);
    let kv = features(&numbers(2, keys * 2 * width), 2 * width, width);
    let shape = reference::LinearProblem {
        width,
        heads,
        visible: Visible::behind(keys - 1),
    };
    let expected = reference::forward(shape, &to_f64(&q), &to_f64(&kv));
    for level in Level::available() {
        let (mut out, mut scores) = (vec![0.0; width], vec![0.0; keys]);
        for head in (0..width).step_by(d) {
            let part = head..head + d;
            let strides = (2 * width, 2 * width);
            let (keys, values) = (&kv[head..], &kv[width + head..]);
            one_query(
                level,
                &q[part.clone()],
                keys,
                values,
                strides,
                Weighting::Sum { more: EPSILON },
                &mut scores,
                &mut out[part],
            );
        }
        assert_close(&out, &expected, "o");
    }
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    let (heads, width, queries, keys) = (2, 6, 4, 4);
    let shape = reference::LinearProblem {
        width,
        heads,
        visible: Visible::TOKENS,
    };
    let q = to_f64(&numbers(1, queries * width));
    let kv = to_f64(&numbers(2, keys * 2 * width));
    let dout = to_f64(&numbers(3, queries * width));
    let of = |q: &[f64], kv: &[f64]| (features(q, width, width), features(kv, 2 * width, width));
    let loss = |q: &[f64], kv: &[f64]| -> f64 {
        let (q, kv) = of(q, kv);
        let out = reference::forward(shape, &q, &kv);
        out.iter().zip(&dout).map(|(o, d)| o * d).sum()
    };
    let (features_q, features_kv) = of(&q, &kv);
    let (dq, dkv) = reference::backward(shape, &features_q, &features_kv, &dout);
    assert_gradient(&q, &dq, |q| loss(q, &kv));
    assert_gradient(&kv, &dkv, |kv| loss(&q, kv));
}
