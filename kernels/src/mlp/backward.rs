//! The backward pass: first from the outputs' gradients to those of every layer, rows divided among
//! the threads; then from these to the parameters' gradients, matrices divided, each element added
//! up over all rows by one thread.

use super::epilogue::{self, HiddenBackward, Store};
use super::gradient::{self, Sources};
use super::layout::{Layer, Place, Shape};
use super::narrow;
use super::network::Network;
use super::pass::{CHUNK, Pass, shares};
use super::pool::Pool;
use super::weights::Pack;
use crate::dropout::cpu::{Masks, Rate, Row};
use crate::layer_norm;
use crate::linear::cpu::{Left, product};
use crate::simd::Level;

/// The gradients that a backward pass computes.
#[derive(Debug, Default)]
pub struct Want<'a> {
    /// The gradient at the parameters, in the layout of the network.
    pub parameters: Gradient<'a>,
    /// The gradient at one part of the input, by its index in [`Shape::inputs`].
    pub input_part: Option<usize>,
}

/// Where a gradient is written.
#[derive(Debug, Default)]
pub enum Gradient<'a> {
    /// It is not computed.
    #[default]
    Skip,
    /// Into a vector, overwriting it. Members outside the pass are left unchanged.
    Set(&'a mut [f32]),
    /// Added to the vector.
    Add(&'a mut [f32]),
}

impl<'a> Want<'a> {
    /// Only the gradient at the parameters, written into `to`.
    pub fn parameters(to: &'a mut [f32]) -> Self {
        Self {
            parameters: Gradient::Set(to),
            input_part: None,
        }
    }

    /// Only the gradient at one part of the input.
    pub fn input(part: usize) -> Self {
        Self {
            parameters: Gradient::Skip,
            input_part: Some(part),
        }
    }
}

/// Some rows of a member.
struct Item<'a> {
    member: usize,
    rows: usize,
    output_gradients: &'a [f32],
    hidden: Vec<Hidden<'a>>,
    input_gradients: &'a mut [f32],
}

/// These rows' numbers of one hidden layer.
struct Hidden<'a> {
    kept: &'a [f32],
    unnormed: &'a [f32],
    statistics: &'a [[f32; 2]],
    masks: &'a [Row],
    delta: &'a mut [f32],
    branch: &'a mut [f32],
    norms: &'a mut [f32],
}

/// The backward pass, with packed weights.
pub(super) fn backward(
    network: &Network,
    pool: &Pool,
    output_gradients: &[f32],
    want: Want<'_>,
    pass: &mut Pass,
) {
    let (parameters, add) = match want.parameters {
        Gradient::Skip => (None, false),
        Gradient::Set(to) => (Some(to), false),
        Gradient::Add(to) => (Some(to), true),
    };
    reserve(network, want.input_part, pass);
    if pass.rows > 0 && (parameters.is_some() || want.input_part.is_some()) {
        let (count, share) = network.share(pool, pass.members.len(), pass.rows);
        let mut items = items(network, share, output_gradients, pass);
        pool.each(count, &mut items, |item| {
            item.run(network, pool.level(), want.input_part);
        });
    }
    if let Some(parameters) = parameters {
        let sources = Sources {
            x: pass,
            dy: pass,
            scales: None,
        };
        gradient::gradient(network, pool, sources, output_gradients, parameters, add);
    }
}

fn reserve(network: &Network, input_part: Option<usize>, pass: &mut Pass) {
    let rows = pass.members.len() * pass.rows;
    let chunks = pass.members.len() * pass.rows.div_ceil(CHUNK);
    for (hidden, layer) in pass.hidden.iter_mut().zip(network.layout.layers()) {
        hidden.delta.resize(rows * layer.outputs);
        let (branch, norms) = match network.shape.norm {
            Some(_) => (rows * layer.outputs, chunks * 2 * layer.outputs),
            None => (0, 0),
        };
        hidden.branch.resize(branch);
        hidden.norms.resize(norms);
    }
    let width = input_part.map_or(0, |part| network.shape.inputs[part]);
    pass.input_gradients.resize(rows * width);
}

fn items<'a>(
    network: &Network,
    share: usize,
    output_gradients: &'a [f32],
    pass: &'a mut Pass,
) -> Vec<Item<'a>> {
    let (rows, shape) = (pass.rows, &network.shape);
    let width = pass.input_gradients.len() / (pass.members.len() * rows);
    let mut input_gradients = shares(&mut pass.input_gradients, rows, share, width);
    let mut items = Vec::new();
    let members = output_gradients.chunks(rows * shape.outputs);
    for (member, output_gradients) in pass.members.clone().zip(members) {
        for output_gradients in output_gradients.chunks(share * shape.outputs) {
            items.push(Item {
                member,
                rows: output_gradients.len() / shape.outputs,
                output_gradients,
                hidden: Vec::with_capacity(pass.hidden.len()),
                input_gradients: input_gradients.next().unwrap_or_default(),
            });
        }
    }
    let chunks = rows.div_ceil(CHUNK);
    for (hidden, layer) in pass.hidden.iter_mut().zip(network.layout.layers()) {
        let width = layer.outputs;
        let (forward, delta, branch, norms) = hidden.split();
        let mut delta = shares(delta, rows, share, width);
        let mut branch = shares(branch, rows, share, width);
        let mut norms = shares(norms, chunks, share.div_ceil(CHUNK), 2 * width);
        let mut start = 0;
        for item in &mut items {
            let these = start..start + item.rows;
            start += item.rows;
            let numbers = these.start * width..these.end * width;
            item.hidden.push(Hidden {
                kept: &forward.kept(shape)[numbers.clone()],
                unnormed: forward.unnormed.get(numbers).unwrap_or_default(),
                statistics: forward.statistics.get(these.clone()).unwrap_or_default(),
                masks: forward.masks.get(these).unwrap_or_default(),
                delta: delta.next().unwrap_or_default(),
                branch: branch.next().unwrap_or_default(),
                norms: norms.next().unwrap_or_default(),
            });
        }
    }
    items
}

impl Item<'_> {
    fn run(&mut self, network: &Network, level: Level, input_part: Option<usize>) {
        let layers = network.layout.layers();
        let parameters = network.layout.of_member(&network.parameters, self.member);
        let packs = &network.weights.across[self.member * layers.len()..][..layers.len()];
        let rows = self.rows;
        for (index, (layer, pack)) in layers.iter().zip(packs).enumerate().rev() {
            let (before, these) = self.hidden.split_at_mut(index);
            let delta = these
                .first()
                .map_or(self.output_gradients, |hidden| &*hidden.delta);
            if let [.., hidden] = before {
                let left = Left::rows(delta, rows, layer.outputs);
                let below = &layers[index - 1];
                hidden.run(level, &network.shape, below, parameters, (left, pack));
            } else if let Some(part) = input_part {
                let columns = network.shape.part(part);
                let to = &mut *self.input_gradients;
                if columns.len() <= narrow::MOST {
                    let weight = &parameters[layer.weight.clone()];
                    let vectors = &weight[columns.start * layer.outputs..];
                    let vectors = &vectors[..columns.len() * layer.outputs];
                    narrow::product(level, delta, vectors, layer.outputs, None, to);
                } else {
                    let left = Left::rows(delta, rows, layer.outputs);
                    let finish = Store {
                        to,
                        stride: columns.len(),
                    };
                    product(level, left, pack.panels.all(), finish);
                }
            }
        }
    }
}

impl Hidden<'_> {
    /// Fills `delta` from the gradient at the next layer's linear output and that layer's weights.
    fn run(
        &mut self,
        level: Level,
        shape: &Shape,
        layer: &Layer,
        parameters: &[f32],
        (left, pack): (Left<'_>, &Pack),
    ) {
        let (activation, width) = (shape.activation, layer.outputs);
        let masks = (!self.masks.is_empty()).then(|| Masks {
            rate: Rate::new(shape.dropout),
            rows: self.masks,
        });
        let Some((norm, place)) = shape.norm.zip(layer.norm.clone()) else {
            let finish = HiddenBackward {
                activation,
                masks,
                kept: self.kept,
                to: self.delta,
                width,
            };
            return product(level, left, pack.panels.all(), finish);
        };
        let finish = Store {
            to: self.branch,
            stride: width,
        };
        product(level, left, pack.panels.all(), finish);
        if let Some(masks) = masks {
            epilogue::drop_all(level, masks, width, self.branch);
        }
        if norm.place == Place::BeforeActivation {
            epilogue::slope_all(level, activation, self.kept, self.branch);
        }
        self.delta.fill(0.0);
        self.norms.fill(0.0);
        let gain = &parameters[place][..width];
        let chunks = self.delta.chunks_mut(CHUNK * width);
        let chunks = chunks.zip(self.norms.chunks_mut(2 * width)).enumerate();
        for (index, (delta, norms)) in chunks {
            let start = index * CHUNK;
            let end = start + delta.len() / width;
            let numbers = start * width..end * width;
            let (dgain, dbias) = norms.split_at_mut(width);
            layer_norm::cpu::backward(
                level,
                &self.unnormed[numbers.clone()],
                gain,
                &self.statistics[start..end],
                &self.branch[numbers],
                delta,
                dgain,
                dbias,
            );
        }
        if norm.place == Place::AfterActivation {
            epilogue::slope_all(level, activation, self.kept, self.delta);
        }
    }
}
