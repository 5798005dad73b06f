//! Causal attention of one sequence, all heads.
//!
//! Per head, with d = C / H and the first `Visible::keys(i)` keys j visible to query i:
//!
//! ```text
//! s_ij = q_i . k_j / sqrt d
//! p_ij = exp(s_ij - l_i),   l_i = ln sum_j exp(s_ij)
//! o_i  = sum_j m_ij p_ij v_j                  m: dropout's mask, 0 or 1 / (1 - p)
//! ```
//!
//! Backward, from the gradient `do_i`. The inner sum of the softmax's gradient is one dot product a
//! query:
//!
//! ```text
//! dp_ij = m_ij do_i . v_j
//! ds_ij = p_ij (dp_ij - sum_k p_ik dp_ik)
//!         sum_k p_ik dp_ik = sum_k m_ik p_ik do_i . v_k = do_i . o_i
//! dv_j  = sum_i m_ij p_ij do_i
//! dq_i  = sum_j ds_ij k_j / sqrt d
//! dk_j  = sum_i ds_ij q_i / sqrt d
//! ```
//!
//! Forward keeps `l_i` only; backward recomputes p from it. Queries are taken in blocks of
//! `cpu::BLOCK` and a block skips all keys beyond its last visible one, so half of the work of the
//! square is never done. Queries, keys and values are read where the layer's products wrote them:
//! queries rows x C, keys and values side by side in rows x 2 C. Where few tokens have a query
//! ([`Visible::every`]), keys and values need not be computed (`direct`).

pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod direct;
pub mod reference;

/// The keys visible to a query: the first `stride * query + offset`. Its own token is the last of
/// them. Some keys can be hidden from all queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    stride: usize,
    offset: usize,
    /// The first hidden key, at least 1, and the distance to the next.
    hidden: Option<(usize, usize)>,
}

impl Visible {
    /// Every token has a query, to which it and all tokens before it are visible.
    pub const TOKENS: Self = Self {
        stride: 1,
        offset: 1,
        hidden: None,
    };

    /// Only every `stride`-th token has a query, and `offset` keys are visible to the first of
    /// them.
    pub const fn every(stride: usize, offset: usize) -> Self {
        Self {
            stride,
            offset,
            hidden: None,
        }
    }

    /// The same without the keys `first`, `first + stride`, ..., if these two numbers are given;
    /// none is the first key.
    #[must_use]
    pub const fn hiding(self, hidden: Option<(usize, usize)>) -> Self {
        Self { hidden, ..self }
    }

    /// The hidden ones of the first `keys` keys.
    pub(crate) fn hidden(self, keys: usize) -> impl Iterator<Item = usize> {
        let hidden = self.hidden.into_iter();
        hidden.flat_map(move |(first, stride)| (first..keys).step_by(stride))
    }

    /// The number of keys visible to a query.
    pub fn keys(self, query: usize) -> usize {
        self.stride * query + self.offset
    }

    /// Every token has a query, the first of them with `before` tokens before it.
    pub(crate) fn behind(before: usize) -> Self {
        Self {
            stride: 1,
            offset: before + 1,
            hidden: None,
        }
    }

    /// The first query to which a key is visible.
    pub(crate) fn first_query(self, key: usize) -> usize {
        (key + 1).saturating_sub(self.offset).div_ceil(self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::{Visible, cpu, reference};
    use crate::dropout::{Dropout, Site};
    use crate::precision::Precision;
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    /// The second of each three tokens.
    const SECOND: Visible = Visible::every(3, 2);

    const DROPOUT: Dropout = Dropout {
        probability_attention: 0.2,
        probability_residual: 0.0,
        probability_embedding: 0.0,
        key: 11,
    };

    /// Masks of layer 1, window 4, whose first token is at `first`: heads x queries x keys.
    fn masks(
        visible: Visible,
        heads: usize,
        queries: usize,
        keys: usize,
        first: usize,
    ) -> Vec<f64> {
        let mut all = Vec::new();
        for head in 0..heads {
            for query in 0..queries {
                let mut row = vec![0.0; first + keys];
                let site = Site::Attention { layer: 1, head };
                DROPOUT.mask(site, 4, first + visible.keys(query) - 1, &mut row);
                all.extend(row[first..].iter().map(|m| f64::from(*m)));
            }
        }
        all
    }

    #[test]
    fn the_fast_attention_is_the_reference_in_value_and_every_gradient() {
        let mut scratch = cpu::Scratch::default();
        for level in Level::available() {
            for (steps, heads, width) in
                [(1, 1, 8), (2, 3, 96), (7, 1, 128), (13, 4, 20), (20, 2, 64)]
            {
                let tokens = 3 * steps - 1;
                for (visible, queries) in [
                    (Visible::TOKENS, tokens),
                    (SECOND, steps),
                    (Visible::TOKENS.hiding(Some((4, 3))), tokens),
                    (SECOND.hiding(Some((4, 3))), steps),
                ] {
                    for dropped in [false, true] {
                        let keys = 3 * steps - 1;
                        let first = 6;
                        let q = numbers(1, queries * width);
                        let kv = numbers(2, keys * 2 * width);
                        let dout = numbers(3, queries * width);
                        let masked = dropped.then_some(cpu::Masked {
                            dropout: &DROPOUT,
                            layer: 1,
                            window: 4,
                            first,
                        });
                        let problem = cpu::Problem {
                            queries,
                            keys,
                            width,
                            heads,
                            visible,
                            masked,
                        };
                        let mut out = vec![0.0; q.len()];
                        let mut logs = vec![0.0; queries * heads];
                        cpu::forward(level, problem, &q, &kv, &mut out, &mut logs, &mut scratch);

                        let mask = dropped.then(|| masks(visible, heads, queries, keys, first));
                        let shape = reference::Problem {
                            precision: Precision::F32,
                            width,
                            heads,
                            visible,
                            mask: mask.as_deref(),
                        };
                        let (exact_q, exact_kv) = (to_f64(&q), to_f64(&kv));
                        assert_close(&out, &reference::forward(shape, &exact_q, &exact_kv), "o");

                        let (mut dq, mut dkv) = (vec![0.0; q.len()], vec![0.0; kv.len()]);
                        let given = cpu::Given {
                            q: &q,
                            kv: &kv,
                            out: &out,
                            logs: &logs,
                            dout: &dout,
                        };
                        cpu::backward(level, problem, given, &mut dq, &mut dkv, &mut scratch);
                        let (expected_q, expected_kv) =
                            reference::backward(shape, &exact_q, &exact_kv, &to_f64(&dout));
                        // One visible key: no gradient, and its rounding has no scale.
                        if steps > 1 {
                            assert_close(&dq, &expected_q, "dq");
                        }
                        assert_close(&dkv, &expected_kv, "dk, dv");
                    }
                }
            }
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let (heads, width, queries, keys) = (2, 6, 4, 4);
        let mask = masks(Visible::TOKENS, heads, queries, keys, 0);
        for visible in [Visible::TOKENS, Visible::TOKENS.hiding(Some((1, 2)))] {
            let shape = reference::Problem {
                precision: Precision::F32,
                width,
                heads,
                visible,
                mask: Some(&mask),
            };
            check_gradient(shape, queries, keys);
        }
    }

    fn check_gradient(shape: reference::Problem<'_, f64>, queries: usize, keys: usize) {
        let width = shape.width;
        let q = to_f64(&numbers(1, queries * width));
        let kv = to_f64(&numbers(2, keys * 2 * width));
        let dout = to_f64(&numbers(3, queries * width));
        let loss = |q: &[f64], kv: &[f64]| -> f64 {
            reference::forward(shape, q, kv)
                .iter()
                .zip(&dout)
                .map(|(o, d)| o * d)
                .sum()
        };
        let (dq, dkv) = reference::backward(shape, &q, &kv, &dout);
        assert_gradient(&q, &dq, |q| loss(q, &kv));
        assert_gradient(&kv, &dkv, |kv| loss(&q, kv));
        for key in shape.visible.hidden(keys) {
            let row = &dkv[key * 2 * width..(key + 1) * 2 * width];
            assert!(row.iter().all(|d| d.abs() < f64::MIN_POSITIVE), "key {key}");
        }
    }

    #[test]
    fn the_first_query_of_a_key_is_the_first_to_which_it_is_visible() {
        for visible in [Visible::TOKENS, SECOND, Visible::behind(5)] {
            for key in 0..20 {
                let first = (0..30).find(|query| visible.keys(*query) > key);
                assert_eq!(first, Some(visible.first_query(key)));
            }
        }
    }
}
