//! The recurrence of a long short-term memory (Hochreiter and Schmidhuber 1997), one layer, with
//! the arithmetic of PyTorch's `nn.LSTM`.
//!
//! A sequence of T tokens with C channels. From a (T x 4 C: what each token gives to the gates by
//! itself, biases included) and W (C x 4 C), with the gates i, f, g and o side by side in this
//! order, and with h and c zero before the first token:
//!
//! ```text
//! z_t = a_t + h_{t-1} W
//! i, f, o = sigmoid(z)    g = tanh(z)
//! c_t = f_t c_{t-1} + i_t g_t         h_t = o_t tanh(c_t)
//! ```
//!
//! Backward, where `dh_t` is the gradient from outside plus `da_{t+1} W^T`:
//!
//! ```text
//! dc_t = dh_t o_t (1 - tanh(c_t)^2) + dc_{t+1} f_{t+1}
//! da_t = (dc g i (1-i),  dc c_{t-1} f (1-f),  dc i (1-g^2),  dh tanh(c) o (1-o))
//! dW   = sum_t h_{t-1}^T da_t
//! ```
//!
//! Tokens of one sequence wait for each other, so several sequences are computed side by side: a
//! token's product with W has a row for each sequence that has such a token (`order.rs`). Each W is
//! then read once for all of them. Forward keeps the gates, c and h; tanh(c) is computed again. All
//! products are f32.

pub(crate) mod cpu;
mod order;
pub mod reference;

pub(crate) use order::Order;

/// Gates of a channel.
pub const GATES: usize = 4;

#[cfg(test)]
mod tests;
