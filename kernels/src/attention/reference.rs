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

    /// Numbers of one query and its keys times their masks, as a factor.
    fn masked(&self, numbers: &[R], mask: impl Fn(usize) -> R) -> Vec<R> {
        let masked = numbers.iter().enumerate();
        let masked: Vec<R> = masked.map(|(key, p)| *p * mask(key)).collect();
        self.precision.round(&masked)
    }

    /// The weights of one query's keys, and their sum, by which those that are rounded are divided
    /// later.
    fn weights(&self, q: &[R], kv: &[R], head: usize, query: usize) -> (Vec<R>, R) {
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
        if self.precision == Precision::F32 {
            let probabilities = weights.into_iter().map(|weight| weight / sum);
            return (probabilities.collect(), R::from_f64(1.0));
        }
        (weights, sum)
    }

    /// A head's channels of a query's output. Weights are rounded before they are divided by their
    /// sum.
    fn output(&self, kv: &[R], head: usize, (masked, sum): (&[R], R)) -> Vec<R> {
        let (c, d) = (self.width, self.width / self.heads);
        let channels = c + head * d..c + (head + 1) * d;
        let mut out = vec![R::zero(); d];
        for (weight, row) in masked.iter().zip(kv.chunks(2 * c)) {
            for (out, v) in out.iter_mut().zip(&row[channels.clone()]) {
                *out += *weight * *v;
            }
        }
        out.into_iter().map(|out| out / sum).collect()
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
            let (weights, sum) = problem.weights(q, kv, head, query);
            let masked = problem.masked(&weights, |key| {
                problem.mask(head, queries, query, keys, key)
            });
            let of_head = problem.output(kv, head, (&masked, sum));
            out[query * c + head * d..][..d].copy_from_slice(&of_head);
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
            let (weights, sum) = problem.weights(q, kv, head, query);
            let mask = |key| problem.mask(head, queries, query, keys, key);
            let probabilities: Vec<R> = weights.into_iter().map(|weight| weight / sum).collect();
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
