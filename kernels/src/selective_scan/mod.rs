//! The selective scan of Mamba-1 (Gu and Dao 2023), and what stands around it channel by channel.
//!
//! A sequence of T tokens with E channels, each with N = [`STATES`] numbers of memory h. From u and
//! Δ (T x E), B and C (T x N), A (E x N, negative) and D (E), with h zero before the first token:
//!
//! ```text
//! h_t[d, n] = exp(Δ_t[d] A[d, n]) h_{t-1}[d, n] + Δ_t[d] u_t[d] B_t[n]
//! y_t[d]    = sum_n h_t[d, n] C_t[n] + D[d] u_t[d]
//! ```
//!
//! A is discretised exactly, B is not (`mamba_ssm`'s `selective_scan_ref`). Backward, l is the
//! gradient at h:
//!
//! ```text
//! a_t = exp(Δ_t A)       l_t = dy_t C_t + a_{t+1} l_{t+1}       g_t = l_t h_{t-1} a_t
//!
//! dC_t[n] = sum_d dy_t h_t    dB_t[n] = sum_d l_t Δ_t u_t    dA += Δ_t g_t    dD += dy_t u_t
//! du_t = Δ_t sum_n l_t B_t + D dy_t                      dΔ_t = sum_n g_t A + u_t sum_n l_t B_t
//! ```
//!
//! Forward notes h every 8 tokens (`marks`); backward computes it again from there, a chunk
//! and a vector of channels at a time, so that T x E x N numbers are never stored. Around it are
//! three ops without sums over channels, of which step is the last part of a product:
//!
//! ```text
//! filter:  v_t = b + sum_{m=0..3} w[m] x_{t-3+m},  u = v sigmoid(v)    (zeros before x)
//! step:    Δ = ln(1 + e^x)               dx = dΔ (1 - e^-Δ)
//! gate:    y z sigmoid(z)
//! ```
//!
//! Vectors run over channels. The matrices of A are N x E here, and those of filters taps x E, for
//! that.

pub(crate) mod cpu;
pub(crate) mod elementwise;
pub mod reference;

/// N: numbers of memory in a channel.
pub const STATES: usize = 16;

/// Tokens visible to the filter of a token, itself included.
pub const TAPS: usize = 4;

/// Tokens that backward works on together, so that their numbers of a vector of channels are in
/// registers.
pub(crate) const CHUNK: usize = 8;

/// What the scan of one sequence reads.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    /// E
    pub(crate) width: usize,
    /// T x E
    pub(crate) u: &'a [f32],
    /// T x E, positive
    pub(crate) steps: &'a [f32],
    /// T rows, `stride` numbers apart: each N of B and N of C
    pub(crate) inputs: &'a [f32],
    pub(crate) stride: usize,
    /// N x E
    pub(crate) decay: &'a [f32],
    /// E
    pub(crate) skip: &'a [f32],
    /// the first token whose y is wanted, and the distance to the next
    pub(crate) requested: (usize, usize),
    /// whether these are later tokens of a sequence, behind a whole number of chunks
    pub(crate) continues: bool,
}

impl Problem<'_> {
    /// T.
    pub(crate) fn tokens(&self) -> usize {
        self.u.len() / self.width
    }

    /// Which mark stands in front of the chunk that begins at `token`.
    fn mark(&self, token: usize) -> Option<usize> {
        (token / CHUNK + usize::from(self.continues)).checked_sub(1)
    }

    /// The first requested token from `token` on, and its row of y.
    fn requested_from(&self, token: usize) -> (usize, usize) {
        let (first, stride) = self.requested;
        let row = token.saturating_sub(first).div_ceil(stride);
        (first + row * stride, row)
    }
}

/// Numbers that forward notes of a sequence: h in front of each chunk but the first.
pub(crate) fn marks(tokens: usize, width: usize) -> usize {
    tokens.saturating_sub(1) / CHUNK * STATES * width
}

#[cfg(test)]
mod tests;
