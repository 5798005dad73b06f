//! Naive causal attention, which stores the whole row of probabilities.

use super::Visible;
use crate::precision::Precision;
use crate::real::Real;

/// The sizes of one sequence.
#[derive(Clone, Copy)]
pub struct Problem<'a, R> {
    /// number format of the factors of its products; sums and softmax are exact
    pub precision: Precision,
    /// C
    pub width: usize,
    /// H
    pub heads: usize,
    /// which keys are visible to which queries
    pub visible: Visible,
    /// dropout's mask, heads x queries x keys
    pub mask: Option<&'a [R]>,
}

impl<R: Real> Problem<'_, R> {
    fn mask(&self, head: usize, queries: usize, query: usize, keys: usize, key: usize) -> R {
        let index = (head * queries + query) * keys + key;
        self.mask.map_or(R::from_f64(1.0), |mask| mask[index])
    }

    /// Probabilities of one query after dropout, as a factor.
    fn masked(&self, probabilities: &[R], mask: impl Fn(usize) -> R) -> Vec<R> {
        let masked = probabilities.iter().enumerate();
        let masked: Vec<R> = masked.map(|(key, p)| *p * mask(key)).collect();
        self.precision.round(&masked)
    }

    /// The probabilities of one query, before dropout.
    fn probabilities(&self, q: &[R], kv: &[R], head: usize, query: usize) -> Vec<R> {
        let (c, d) = (self.width, self.width / self.heads);
        let scale = R::from_f64(d as f64).sqrt();
        let mut scores = Vec::new();
        for key in 0..self.visible.keys(query) {
            let mut score = R::zero();
            for e in head * d..(head + 1) * d {
                score += q[query * c + e] * kv[key * 2 * c + e];
            }
            scores.push(score / scale);
        }
        let hidden: Vec<usize> = self.visible.hidden(scores.len()).collect();
        let seen = (scores.iter().enumerate()).filter(|(key, _)| !hidden.contains(key));
        let largest = seen.fold(scores[0], |m, (_, s)| if *s > m { *s } else { m });
        let mut weights: Vec<R> = scores.iter().map(|s| (*s - largest).exp()).collect();
        for key in hidden {
            weights[key] = R::zero();
        }
        let mut sum = R::zero();
        for weight in &weights {
            sum += *weight;
        }
        weights.into_iter().map(|weight| weight / sum).collect()
    }
}

/// q: queries x C; kv: keys x 2 C, key then value. Returns queries x C.
pub fn forward<R: Real>(problem: Problem<'_, R>, q: &[R], kv: &[R]) -> Vec<R> {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (queries, keys) = (q.len() / c, kv.len() / (2 * c));
    let (q, kv) = (&problem.precision.round(q), &problem.precision.round(kv));
    let mut out = vec![R::zero(); q.len()];
    for head in 0..problem.heads {
        for query in 0..queries {
            let probabilities = problem.probabilities(q, kv, head, query);
            let masked = problem.masked(&probabilities, |key| {
                problem.mask(head, queries, query, keys, key)
            });
            for (key, p) in masked.into_iter().enumerate() {
                for e in head * d..(head + 1) * d {
                    out[query * c + e] += p * kv[key * 2 * c + c + e];
                }
            }
        }
    }
    out
}

/// dq and dkv from dout, shaped as q, kv and the output.
pub fn backward<R: Real>(
    problem: Problem<'_, R>,
    q: &[R],
    kv: &[R],
    dout: &[R],
) -> (Vec<R>, Vec<R>) {
    let (c, d) = (problem.width, problem.width / problem.heads);
    let (queries, keys) = (q.len() / c, kv.len() / (2 * c));
    let scale = R::from_f64(d as f64).sqrt();
    let [q, kv, dout] = &[q, kv, dout].map(|factor| problem.precision.round(factor));
    let mut dq = vec![R::zero(); q.len()];
    let mut dkv = vec![R::zero(); kv.len()];
    for head in 0..problem.heads {
        for query in 0..queries {
            let probabilities = problem.probabilities(q, kv, head, query);
            let mask = |key| problem.mask(head, queries, query, keys, key);
            let masked = problem.masked(&probabilities, mask);
            let mut dp = Vec::new();
            let mut inner = R::zero();
            for (key, p) in probabilities.iter().enumerate() {
                let mut dot = R::zero();
                for e in head * d..(head + 1) * d {
                    dot += dout[query * c + e] * kv[key * 2 * c + c + e];
                    dkv[key * 2 * c + c + e] += masked[key] * dout[query * c + e];
                }
                dp.push(mask(key) * dot);
                inner += *p * mask(key) * dot;
            }
            let slopes = probabilities.iter().zip(dp);
            let slopes: Vec<R> = slopes.map(|(p, dp)| *p * (dp - inner) / scale).collect();
            for (key, ds) in problem.precision.round(&slopes).into_iter().enumerate() {
                for e in head * d..(head + 1) * d {
                    dq[query * c + e] += ds * kv[key * 2 * c + e];
                    dkv[key * 2 * c + e] += ds * q[query * c + e];
                }
            }
        }
    }
    (dq, dkv)
}
