//! Naive attention as a mixer: every token is a query.

use super::Parameters;
use crate::attention::{Visible, reference as attention};
use crate::decision_transformer::network::reference::{Backward, Network, Tokens};
use crate::dropout::Site;
use crate::linear_attention::reference as linear_attention;
use crate::precision::Precision;
use crate::real::Real;

/// What the forward pass stores of one window.
pub(crate) struct Tape<R> {
    qkv: Vec<R>,
    attended: Vec<R>,
}

/// The masks of a layer's attention: heads x tokens x tokens.
fn mask<R: Real>(tokens: Tokens<'_>, layer: usize, heads: usize) -> Option<Vec<R>> {
    tokens.dropout?;
    let Tokens { first, count, .. } = tokens;
    let mut all = Vec::new();
    for head in 0..heads {
        let rows: Vec<R> = tokens.mask(Site::Attention { layer, head }, first + count);
        let rows = rows.chunks(first + count);
        all.extend(rows.flat_map(|row| row[first..].to_vec()));
    }
    Some(all)
}

/// Splits rows x 3 C into rows x C and rows x 2 C.
fn split<R: Real>(qkv: &[R], c: usize) -> (Vec<R>, Vec<R>) {
    let rows = qkv.chunks(3 * c);
    (
        rows.clone().flat_map(|row| row[..c].to_vec()).collect(),
        rows.flat_map(|row| row[c..].to_vec()).collect(),
    )
}

impl Parameters {
    fn problem<'a, R>(
        &self,
        precision: Precision,
        mask: Option<&'a [R]>,
    ) -> attention::Problem<'a, R> {
        attention::Problem {
            precision,
            width: self.width(),
            heads: self.heads,
            visible: Visible::TOKENS.hiding(self.hidden),
            mask,
        }
    }

    fn linear_problem(&self) -> linear_attention::LinearProblem {
        linear_attention::LinearProblem {
            width: self.width(),
            heads: self.heads,
            visible: Visible::TOKENS,
        }
    }

    /// Features of the queries, and of the keys beside their values.
    fn features<R: Real>(&self, q: &[R], kv: &[R]) -> (Vec<R>, Vec<R>) {
        let c = self.width();
        let of_key = |(at, x): (usize, &R)| {
            if at % (2 * c) < c {
                linear_attention::feature(*x)
            } else {
                *x
            }
        };
        (
            q.iter().map(|x| linear_attention::feature(*x)).collect(),
            kv.iter().enumerate().map(of_key).collect(),
        )
    }

    /// Computes the branch from the normed tokens.
    pub(in super::super) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        tokens: Tokens<'_>,
        layer: usize,
        normed: &[R],
    ) -> (Tape<R>, Vec<R>) {
        let qkv = network.linear(&self.qkv, normed);
        let (q, kv) = split(&qkv, self.width());
        let mask = mask(tokens, layer, self.heads);
        let attended = if self.linear {
            let (q, kv) = self.features(&q, &kv);
            linear_attention::forward(self.linear_problem(), &q, &kv)
        } else {
            let problem = self.problem(network.attention, mask.as_deref());
            attention::forward(problem, &q, &kv)
        };
        let branch = network.linear(&self.projection, &attended);
        (Tape { qkv, attended }, branch)
    }

    /// The gradient of the normed tokens, from that of the branch.
    pub(in super::super) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        tokens: Tokens<'_>,
        layer: usize,
        (normed, tape): (&[R], &Tape<R>),
        branch: &[R],
    ) -> Vec<R> {
        let c = self.width();
        let attended = back.linear(&self.projection, &tape.attended, branch);
        let (q, kv) = split(&tape.qkv, c);
        let mask = mask(tokens, layer, self.heads);
        let (dq, dkv) = if self.linear {
            let (q, kv) = self.features(&q, &kv);
            linear_attention::backward(self.linear_problem(), &q, &kv, &attended)
        } else {
            let problem = self.problem(back.network.attention, mask.as_deref());
            attention::backward(problem, &q, &kv, &attended)
        };
        let rows = dq.chunks(c).zip(dkv.chunks(2 * c));
        let qkv: Vec<R> = rows.flat_map(|(q, kv)| [q, kv].concat()).collect();
        back.linear(&self.qkv, normed, &qkv)
    }
}
