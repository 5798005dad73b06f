//! The gradient at the parameters of a loss of the gradient at the input, for networks with `ReLU`
//! and one output (the diversity term of EDAC's critics).
//!
//! With masks D of the forward pass, layers y = x W + b, and e the gradient at each layer's linear
//! output from ones at the network's output,
//!
//! ```text
//! e_k = D_k (W_{k+1} e_{k+1}),   g = W_1 e_1            back, as in any backward pass
//! ```
//!
//! and g, the gradient at the input, is linear in each weight, because the masks are constant
//! almost everywhere. For cotangents v of g, that is for the loss sum v g,
//!
//! ```text
//! u_0 = v,   u_k = D_k (u_{k-1} W_k),   dW_k = u_{k-1}^T e_k,   db_k = 0
//! ```
//!
//! a forward pass without biases. The gradient of sum s y for numbers s, one each row, has the same
//! form with the activations h, so both together cost one product:
//!
//! ```text
//! dW_k = (u_{k-1} + s h_{k-1})^T e_k,   db_k = s^T e_k
//! ```

use super::epilogue::HiddenBackward;
use super::layout::Activation;
use super::network::Network;
use super::pass::{Pass, shares};
use super::pool::Pool;
use crate::linear::cpu::{Left, product};

/// Some rows of a member.
struct Item<'a> {
    member: usize,
    scales: &'a [f32],
    /// u of the input; then with s h added.
    input: &'a mut [f32],
    hidden: Vec<Hidden<'a>>,
}

/// These rows' numbers of one hidden layer.
struct Hidden<'a> {
    /// h, from which `ReLU`'s mask is read.
    kept: &'a [f32],
    /// u; then with s h added.
    output: &'a mut [f32],
}

/// Fills `tangents` with u + s h: of the input, where it has u already, and of every hidden layer.
pub(super) fn forward(
    network: &Network,
    pool: &Pool,
    pass: &Pass,
    scales: &[f32],
    tangents: &mut Pass,
) {
    let rows = pass.rows;
    if rows == 0 {
        return;
    }
    let layers = network.layout.layers();
    let (count, share) = network.share(pool, pass.members.len(), rows);
    let width = network.shape.width();
    let mut inputs = shares(&mut tangents.input, rows, share, width);
    let mut items = Vec::new();
    for (member, scales) in pass.members.clone().zip(scales.chunks(rows)) {
        for scales in scales.chunks(share) {
            items.push(Item {
                member,
                scales,
                input: inputs.next().unwrap_or_default(),
                hidden: Vec::with_capacity(layers.len()),
            });
        }
    }
    for ((to, from), layer) in tangents.hidden.iter_mut().zip(&pass.hidden).zip(layers) {
        let width = layer.outputs;
        let mut outputs = shares(&mut to.output, rows, share, width);
        let mut start = 0;
        for item in &mut items {
            let end = start + item.scales.len() * width;
            item.hidden.push(Hidden {
                kept: &from.output[start..end],
                output: outputs.next().unwrap_or_default(),
            });
            start = end;
        }
    }
    let starts = pass.input.chunks(share * width).cycle();
    let mut items: Vec<_> = items.into_iter().zip(starts).collect();
    pool.each(count, &mut items, |(item, input)| {
        item.run(network, pool, input);
    });
}

impl Item<'_> {
    fn run(&mut self, network: &Network, pool: &Pool, input: &[f32]) {
        let layers = network.layout.layers();
        let packs = &network.weights.forward[self.member * layers.len()..];
        let rows = self.scales.len();
        let mut below = &mut *self.input;
        let mut activations = input;
        for ((hidden, layer), pack) in self.hidden.iter_mut().zip(layers).zip(packs) {
            let finish = HiddenBackward {
                activation: Activation::Relu,
                masks: None,
                kept: hidden.kept,
                to: hidden.output,
                width: layer.outputs,
            };
            let left = Left::rows(below, rows, layer.inputs);
            product(pool.level(), left, pack.panels.all(), finish);
            add_scaled(self.scales, activations, below);
            (below, activations) = (&mut *hidden.output, hidden.kept);
        }
        add_scaled(self.scales, activations, below);
    }
}

/// Adds each row of `from`, times its scale.
fn add_scaled(scales: &[f32], from: &[f32], to: &mut [f32]) {
    let width = to.len() / scales.len().max(1);
    let rows = from.chunks(width.max(1)).zip(to.chunks_mut(width.max(1)));
    for (scale, (from, to)) in scales.iter().zip(rows) {
        for (from, to) in from.iter().zip(to) {
            *to += scale * from;
        }
    }
}
