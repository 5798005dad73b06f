//! Causal linear attention of one sequence, all heads (Katharopoulos et al. 2020).
//!
//! Per head, with d = C / H, φ(x) = elu(x) + 1 and the keys j visible to query i
//! ([`Visible`](super::attention::Visible)):
//!
//! ```text
//! s_ij = φ(q_i) . φ(k_j)
//! n_i  = sum_j s_ij + ε                       ε = 1e-6
//! o_i  = sum_j s_ij v_j / n_i
//! ```
//!
//! Backward, from the gradient `do_i`:
//!
//! ```text
//! g_i     = do_i / n_i,   h_i = -do_i . o_i / n_i
//! ds_ij   = g_i . v_j + h_i
//! dφ(q_i) = sum_j ds_ij φ(k_j)
//! dφ(k_j) = sum_i ds_ij φ(q_i)
//! dv_j    = sum_i s_ij g_i
//! φ'(x)   = min(φ(x), 1)
//! ```
//!
//! With a one behind each value, v' = (v, 1), and h behind each g, g' = (g, h), numerator and
//! denominator are columns of one product, and so are both terms of ds. A block of queries needs
//! of all keys before it only a sum, and the keys before a block need of all queries behind them
//! only another one:
//!
//! ```text
//! S = sum_j φ(k_j) (x) v'_j,   sum_i φ(q_i) (x) g'_i      d x (d + 1) each
//! ```
//!
//! So time and memory grow with the sequence's length, not with its square. Below `cpu::LONG`
//! times d keys the square is cheaper, and is computed instead.
//!
//! The op reads features: φ is applied to queries and keys in place by `cpu::features`.

pub(crate) mod cpu;
pub mod reference;
#[cfg(test)]
mod tests;

/// ε, which is added to the sum of a query's scores.
pub const EPSILON: f32 = 1e-6;
