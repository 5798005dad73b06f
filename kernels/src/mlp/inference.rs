//! The forward pass of acting and of target networks: nothing is kept.

use super::layer::{Linear, Targets};
use super::network::Network;
use super::pass::{gather, shares};
use super::pool::Pool;
use crate::buffer::Buffer;
use std::cell::RefCell;
use std::ops::Range;

/// The buffers of a thread: the input, and the outputs of two layers in turn.
#[derive(Default)]
struct Scratch {
    input: Buffer,
    output: [Buffer; 2],
    unnormed: Buffer,
    statistics: Vec<[f32; 2]>,
}

thread_local! {
    /// Used within a pass only, so a thread needs one.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The outputs, members x rows x outputs, with packed weights.
pub(super) fn infer(
    network: &Network,
    pool: &Pool,
    rows: usize,
    inputs: &[&[f32]],
    outputs: &mut [f32],
) {
    let (members, width) = (network.shape.members, network.shape.outputs);
    let (count, share) = network.share(pool, members, rows);
    if count == 1 {
        for (member, to) in outputs.chunks_mut((rows * width).max(1)).enumerate() {
            for (index, to) in to.chunks_mut(share * width).enumerate() {
                let rows = index * share..index * share + to.len() / width;
                run(network, pool, member, inputs, rows, to);
            }
        }
        return;
    }
    let starts = (0..members).flat_map(|member| {
        let starts = (0..rows).step_by(share);
        starts.map(move |start| (member, start))
    });
    let mut items: Vec<_> = starts.zip(shares(outputs, rows, share, width)).collect();
    pool.each(count, &mut items, |((member, start), to)| {
        let rows = *start..*start + to.len() / width;
        run(network, pool, *member, inputs, rows, to);
    });
}

/// The outputs of some rows of a member.
fn run(
    network: &Network,
    pool: &Pool,
    member: usize,
    inputs: &[&[f32]],
    rows: Range<usize>,
    to: &mut [f32],
) {
    let (shape, layout) = (&network.shape, &network.layout);
    let packs = &network.weights.forward[member * layout.layers().len()..];
    let mut layers = layout
        .layers()
        .iter()
        .zip(packs)
        .map(|(layer, pack)| Linear {
            level: pool.level(),
            shape,
            layer,
            parameters: layout.of_member(&network.parameters, member),
            pack,
        });
    SCRATCH.with_borrow_mut(|scratch| {
        let count = rows.len();
        let Scratch {
            input,
            output: [this, next],
            unnormed,
            statistics,
        } = scratch;
        let mut x: &[f32] = if let [input] = inputs {
            &input[rows.start * shape.width()..rows.end * shape.width()]
        } else {
            input.resize(count * shape.width());
            gather(shape, inputs, rows, input);
            input
        };
        let (mut this, mut next) = (this, next);
        for layer in layers.by_ref().take(shape.hidden.len()) {
            let len = count * layer.layer.outputs;
            next.resize(len);
            unnormed.resize(if shape.norm.is_some() { len } else { 0 });
            statistics.resize(if shape.norm.is_some() { count } else { 0 }, [0.0; 2]);
            let targets = Targets {
                output: next,
                slope: None,
                unnormed,
                statistics,
                masks: None,
            };
            layer.hidden(x, count, targets);
            std::mem::swap(&mut this, &mut next);
            x = this;
        }
        if let Some(last) = layers.next() {
            last.last(x, count, to);
        }
    });
}
