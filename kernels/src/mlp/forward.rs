//! The forward pass of training: all activations are kept.

use super::layer::{Linear, Targets};
use super::layout::Activation;
use super::network::Network;
use super::pass::{Pass, shares};
use super::pool::Pool;
use crate::dropout::cpu::{Masks, Rate, Row};

/// Some rows of a member.
struct Item<'a> {
    member: usize,
    rows: usize,
    x: &'a [f32],
    hidden: Vec<Hidden<'a>>,
    outputs: &'a mut [f32],
}

/// The destination of these rows' numbers of one hidden layer.
struct Hidden<'a> {
    output: &'a mut [f32],
    slope: &'a mut [f32],
    unnormed: &'a mut [f32],
    statistics: &'a mut [[f32; 2]],
    masks: &'a [Row],
}

/// Fills a pass that has [begun](Pass::begin), with packed weights.
pub(super) fn forward(network: &Network, pool: &Pool, pass: &mut Pass) {
    let rows = pass.rows;
    if rows == 0 {
        return;
    }
    let (count, share) = network.share(pool, pass.members.len(), rows);
    let mut items = items(network, share, pass);
    pool.each(count, &mut items, |item| item.run(network, pool));
}

fn items<'a>(network: &Network, share: usize, pass: &'a mut Pass) -> Vec<Item<'a>> {
    let (rows, width) = (pass.rows, network.shape.width());
    let layers = network.layout.layers();
    let mut items = Vec::new();
    let mut outputs = shares(&mut pass.outputs, rows, share, network.shape.outputs);
    for member in pass.members.clone() {
        for x in pass.input.chunks(share * width) {
            items.push(Item {
                member,
                rows: x.len() / width,
                x,
                hidden: Vec::with_capacity(layers.len()),
                outputs: outputs.next().unwrap_or_default(),
            });
        }
    }
    for (hidden, layer) in pass.hidden.iter_mut().zip(layers) {
        let width = layer.outputs;
        let mut output = shares(&mut hidden.output, rows, share, width);
        let mut slope = shares(&mut hidden.slope, rows, share, width);
        let mut unnormed = shares(&mut hidden.unnormed, rows, share, width);
        let mut statistics = shares(&mut hidden.statistics, rows, share, 1);
        let mut masks = shares(&mut hidden.masks, rows, share, 1);
        for item in &mut items {
            item.hidden.push(Hidden {
                output: output.next().unwrap_or_default(),
                slope: slope.next().unwrap_or_default(),
                unnormed: unnormed.next().unwrap_or_default(),
                statistics: statistics.next().unwrap_or_default(),
                masks: masks.next().unwrap_or_default(),
            });
        }
    }
    items
}

impl Item<'_> {
    fn run(&mut self, network: &Network, pool: &Pool) {
        let (shape, layout) = (&network.shape, &network.layout);
        let rate = Rate::new(shape.dropout);
        let packs = &network.weights.forward[self.member * layout.layers().len()..];
        let mut layers = layout
            .layers()
            .iter()
            .zip(packs)
            .map(|(layer, pack)| Linear {
                level: pool.level(),
                shape,
                layer,
                parameters: layout.of_member(&network.parameters, self.member),
                pack,
            });
        let mut x = self.x;
        for (hidden, layer) in self.hidden.iter_mut().zip(&mut layers) {
            let rows = hidden.masks;
            let targets = Targets {
                output: hidden.output,
                slope: (shape.activation != Activation::Relu).then_some(&mut *hidden.slope),
                unnormed: hidden.unnormed,
                statistics: hidden.statistics,
                masks: (!rows.is_empty()).then_some(Masks { rate, rows }),
            };
            layer.hidden(x, self.rows, targets);
            x = hidden.output;
        }
        if let Some(last) = layers.next() {
            last.last(x, self.rows, self.outputs);
        }
    }
}
