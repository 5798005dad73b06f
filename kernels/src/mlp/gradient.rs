//! From the gradients at every layer's output to those at the parameters: dW = X^T dY, and the sums
//! over rows.

use super::epilogue;
use super::narrow::{self, Factors};
use super::network::{Network, share};
use super::pass::{CHUNK, Pass};
use super::pool::Pool;
use crate::linear::cpu::{Left, Panels, product};
use crate::simd::Level;
use std::cell::RefCell;

/// Rows that are added up at a time: both factors of them stay in a core's cache.
const DEPTH: usize = 512;

thread_local! {
    /// A packed dY. It is used by its product only, so a thread needs one.
    static PANELS: RefCell<Panels> = RefCell::default();
}

/// Some rows of a weight's gradient; with the first of them, the gradients of the layer's bias and
/// norm.
struct Item<'a> {
    /// Which run of rows it is.
    run: usize,
    factors: Factors<'a>,
    narrow: bool,
    weight: &'a mut [f32],
    /// For the first rows: the bias.
    bias: &'a mut [f32],
    /// For the first rows: gain and bias of the norm, and the chunks of their gradient.
    norm: &'a mut [f32],
    norms: &'a [f32],
    /// The weight of each row's gradient in the bias; 1 where there are none.
    scales: Option<&'a [f32]>,
}

/// Where the two factors of each product are.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The pass whose input and activations are X; each member may have its own input.
    pub(super) x: &'a Pass,
    /// The pass whose gradients at the layers' outputs are dY.
    pub(super) dy: &'a Pass,
    /// Members x rows: the weight of each row's gradient in the biases, if not 1; X includes them
    /// already.
    pub(super) scales: Option<&'a [f32]>,
}

/// Adds the gradient to `to`, or writes it there, for the members of the pass.
pub(super) fn gradient(
    network: &Network,
    pool: &Pool,
    Sources {
        x: xs,
        dy: pass,
        scales,
    }: Sources<'_>,
    output_gradients: &[f32],
    to: &mut [f32],
    add: bool,
) {
    let layout = &network.layout;
    assert_eq!(to.len(), layout.len(), "a gradient for each parameter");
    let members = pass.members.len();
    let shares = pool.shares(members * pass.rows * layout.member_len());
    let mut items = Vec::new();
    let range = pass.members.start * layout.member_len()..pass.members.end * layout.member_len();
    for (member, to) in to[range].chunks_mut(layout.member_len()).enumerate() {
        let mut rest = to;
        for (index, layer) in layout.layers().iter().enumerate() {
            let (this, next) = rest.split_at_mut(layer.range().len());
            rest = next;
            let (weight, this) = this.split_at_mut(layer.weight.len());
            let (bias, norm) = this.split_at_mut(layer.outputs);
            let x = match index.checked_sub(1) {
                None if xs.input.len() > pass.rows * layer.inputs => of(&xs.input, member, members),
                None => &xs.input[..],
                Some(below) => of(&xs.hidden[below].output, member, members),
            };
            let (dy, norms) = match pass.hidden.get(index) {
                None => (of(output_gradients, member, members), &[][..]),
                Some(hidden) => (
                    of(&hidden.delta, member, members),
                    of(&hidden.norms, member, members),
                ),
            };
            let run = share(shares, members, layer.inputs, pool.level().tile_rows());
            let mut firsts = [(bias, norm)].into_iter();
            for (run_index, weight) in weight.chunks_mut(run * layer.outputs).enumerate() {
                let (bias, norm) = firsts.next().unwrap_or_default();
                items.push(Item {
                    run: run_index,
                    factors: Factors {
                        x,
                        stride: layer.inputs,
                        first: run_index * run,
                        dy,
                        outputs: layer.outputs,
                    },
                    narrow: layer.narrow,
                    weight,
                    bias,
                    norm,
                    norms,
                    scales: scales.map(|scales| of(scales, member, members)),
                });
            }
        }
    }
    // Consecutive items go to one thread: each gets a range of every matrix.
    items.sort_by_key(|item| item.run);
    pool.each(shares, &mut items, |item| {
        item.run(pool.level(), pass.rows, add);
    });
}

/// A member's part of an array.
fn of(whole: &[f32], member: usize, members: usize) -> &[f32] {
    let len = whole.len() / members;
    &whole[member * len..(member + 1) * len]
}

impl Item<'_> {
    fn run(&mut self, level: Level, rows: usize, add: bool) {
        let Factors {
            x,
            stride,
            first,
            dy,
            outputs,
        } = self.factors;
        if !add {
            self.bias.fill(0.0);
            self.norm.fill(0.0);
        }
        if rows == 0 {
            if !add {
                self.weight.fill(0.0);
            }
            return;
        }
        if let Some(scales) = self.scales.filter(|_| !self.bias.is_empty()) {
            let factors = Factors {
                x: dy,
                stride: outputs,
                first: 0,
                dy: scales,
                outputs: 1,
            };
            narrow::gradient(level, factors, add, self.bias);
        }
        if self.narrow {
            narrow::gradient(level, self.factors, add, self.weight);
            if self.scales.is_none() {
                narrow::bias_gradient(dy, self.bias);
            }
        } else {
            PANELS.with_borrow_mut(|panels| {
                for (block, dy) in dy.chunks(DEPTH * outputs).enumerate() {
                    let sums =
                        (!self.bias.is_empty() && self.scales.is_none()).then_some(&mut *self.bias);
                    panels.pack(level, dy, outputs, dy.len() / outputs, outputs, sums);
                    let left = Left {
                        data: &x[block * DEPTH * stride + first..],
                        rows: self.weight.len() / outputs,
                        row_stride: 1,
                        depth_stride: stride,
                        tile_stride: None,
                    };
                    let finish = epilogue::Gradient {
                        add: add || block > 0,
                        to: self.weight,
                        width: outputs,
                    };
                    product(level, left, panels.all(), finish);
                }
            });
        }
        if !self.norm.is_empty() {
            debug_assert_eq!(self.norms.len(), rows.div_ceil(CHUNK) * self.norm.len());
            for chunk in self.norms.chunks(self.norm.len()) {
                for (sum, part) in self.norm.iter_mut().zip(chunk) {
                    *sum += part;
                }
            }
        }
    }
}
