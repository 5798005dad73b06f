//! Naive linear attention, by the square of scores.

use super::EPSILON;
use crate::attention::Visible;
use crate::real::Real;

/// The sizes of one sequence.
#[derive(Clone, Copy)]
pub struct LinearProblem {
    /// C
    pub width: usize,
    /// H
    pub heads: usize,
    /// which keys are visible to which queries
    pub visible: Visible,
}

/// φ(x) = elu(x) + 1.
pub fn feature<R: Real>(x: R) -> R {
    if x > R::zero() {
        x + R::from_f64(1.0)
    } else {
        x.exp()
    }
}

/// φ'(x) from φ(x).
pub fn slope<R: Real>(feature: R) -> R {
    let one = R::from_f64(1.0);
    if feature > one { one } else { feature }
}

impl LinearProblem {
    /// The channels of a head.
    fn channels(&self, head: usize) -> std::ops::Range<usize> {
        let d = self.width / self.heads;
        head * d..(head + 1) * d
    }

    /// s of the keys visible to a query, and n. `q` and `kv` hold features.
    fn scores<R: Real>(&self, q: &[R], kv: &[R], head: usize, query: usize) -> (Vec<R>, R) {
        let c = self.width;
        let mut sum = R::from_f64(f64::from(EPSILON));
        let mut scores = Vec::new();
        for key in 0..self.visible.keys(query) {
            let mut score = R::zero();
            for e in self.channels(head) {
                score += q[query * c + e] * kv[key * 2 * c + e];
            }
            sum += score;
            scores.push(score);
        }
        (scores, sum)
    }
}

/// q: features of queries x C; kv: keys x 2 C, features of the key, then the value. Returns
/// queries x C.
pub fn forward<R: Real>(problem: LinearProblem, q: &[R], kv: &[R]) -> Vec<R> {
    let c = problem.width;
    let mut out = vec![R::zero(); q.len()];
    for head in 0..problem.heads {
        for query in 0..q.len() / c {
            let (scores, sum) = problem.scores(q, kv, head, query);
            for (key, score) in scores.into_iter().enumerate() {
                for e in problem.channels(head) {
                    out[query * c + e] += score / sum * kv[key * 2 * c + c + e];
                }
            }
        }
    }
    out
}

/// The gradients at what φ was applied to and at the values, shaped as q and kv, from dout.
pub fn backward<R: Real>(
    problem: LinearProblem,
    q: &[R],
    kv: &[R],
    dout: &[R],
) -> (Vec<R>, Vec<R>) {
    let c = problem.width;
    let mut dq = vec![R::zero(); q.len()];
    let mut dkv = vec![R::zero(); kv.len()];
    for head in 0..problem.heads {
        for query in 0..q.len() / c {
            let (scores, sum) = problem.scores(q, kv, head, query);
            let dots: Vec<R> = (0..scores.len())
                .map(|key| {
                    let mut dot = R::zero();
                    for e in problem.channels(head) {
                        dot += dout[query * c + e] * kv[key * 2 * c + c + e];
                    }
                    dot
                })
                .collect();
            let mut mean = R::zero();
            for (score, dot) in scores.iter().zip(&dots) {
                mean += *score / sum * *dot;
            }
            for (key, (score, dot)) in scores.into_iter().zip(dots).enumerate() {
                let ds = (dot - mean) / sum;
                for e in problem.channels(head) {
                    let (at, key) = (query * c + e, key * 2 * c + e);
                    dq[at] += ds * kv[key] * slope(q[at]);
                    dkv[key] += ds * q[at] * slope(kv[key]);
                    dkv[key + c] += score / sum * dout[at];
                }
            }
        }
    }
    (dq, dkv)
}
