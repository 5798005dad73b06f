//! The whole model for one window after another, naively: the references of the ops, one behind the other.

use crate::kernels::attention::{self, Visible};
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::{Block, Layout, Pair, Shape};
use crate::kernels::decision_transformer::windows::Windows;
use crate::kernels::dropout::{self, Dropout, Site};
use crate::kernels::loss::{self, Denominator, Objective};
use crate::kernels::precision::Precision;
use crate::kernels::real::Real;
use crate::kernels::{activation, layer_norm, linear};
use std::ops::Range;

/// What the loss depends on besides the parameters.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// the sizes
    pub shape: &'a Shape,
    /// the batch
    pub windows: &'a Windows<'a>,
    /// what the large products multiply
    pub precision: Precision,
    /// squared error or cross-entropy
    pub objective: Objective,
    /// what the mean counts
    pub denominator: Denominator,
    /// masks, or none
    pub dropout: Option<&'a Dropout>,
}

/// Predictions (B x K x A, zero at padded steps), loss, and the gradient of every parameter.
pub fn loss_and_gradient<R: Real>(task: Task<'_>, parameters: &[R]) -> (Vec<R>, f64, Vec<R>) {
    let Task {
        shape,
        windows,
        objective,
        denominator,
        ..
    } = task;
    let layout = Layout::new(shape);
    let steps = match denominator {
        Denominator::Valid => windows.steps(),
        Denominator::All => windows.lengths.len() * windows.context,
    };
    let count = objective.count(steps, shape.action) as f64;
    let mut predictions = Vec::new();
    let mut total = 0.0;
    let mut gradient = vec![R::zero(); layout.len()];
    for window in 0..windows.lengths.len() {
        let length = windows.lengths[window];
        let mut rows = vec![R::zero(); windows.context * shape.action];
        if length > 0 {
            let tape = forward(task, &layout, parameters, window);
            let actions = windows.sequence(window).actions;
            let actions: Vec<R> = actions.iter().map(|a| R::from_f64((*a).into())).collect();
            let (y, loss, dz) = loss::reference::loss(
                shape.head,
                objective,
                &tape.logits,
                &actions,
                shape.action,
                count,
            );
            total += loss;
            backward(task, &layout, parameters, window, &tape, &dz, &mut gradient);
            let start = windows.first_step(window) * shape.action;
            rows[start..start + y.len()].copy_from_slice(&y);
        }
        predictions.extend(rows);
    }
    (predictions, total, gradient)
}

/// What forward keeps of one window.
struct Tape<R> {
    embedded: Vec<R>,
    blocks: Vec<BlockTape<R>>,
    stream: Vec<R>,
    normed: Vec<R>,
    logits: Vec<R>,
}

struct BlockTape<R> {
    x: Vec<R>,
    normed_1: Vec<R>,
    qkv: Vec<R>,
    attended: Vec<R>,
    middle: Vec<R>,
    normed_2: Vec<R>,
    hidden_input: Vec<R>,
    hidden: Vec<R>,
}

/// The mask of a site for the tokens of a window: tokens x C, all ones without dropout.
fn mask<R: Real>(task: Task<'_>, window: usize, site: Site) -> Vec<R> {
    let c = task.shape.width;
    let first = 3 * task.windows.first_step(window);
    let mut all = Vec::new();
    for token in 0..embedding::tokens(task.windows.lengths[window]) {
        let mut row = vec![1.0; c];
        if let Some(dropout) = task.dropout {
            dropout.mask(site, window, first + token, &mut row);
        }
        all.extend(row.iter().map(|m| R::from_f64((*m).into())));
    }
    all
}

/// The masks of a layer's attention: heads x tokens x tokens.
fn attention_mask<R: Real>(task: Task<'_>, window: usize, layer: usize) -> Option<Vec<R>> {
    let dropout = task.dropout?;
    let first = 3 * task.windows.first_step(window);
    let tokens = embedding::tokens(task.windows.lengths[window]);
    let mut all = Vec::new();
    for head in 0..task.shape.heads {
        for query in 0..tokens {
            let mut row = vec![1.0; first + tokens];
            dropout.mask(
                Site::Attention { layer, head },
                window,
                first + query,
                &mut row,
            );
            all.extend(row[first..].iter().map(|m| R::from_f64((*m).into())));
        }
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

fn sum<R: Real>(a: &[R], b: &[R]) -> Vec<R> {
    a.iter().zip(b).map(|(a, b)| *a + *b).collect()
}

fn linear_forward<R: Real>(precision: Precision, parameters: &[R], pair: &Pair, x: &[R]) -> Vec<R> {
    let (weight, bias) = (
        &parameters[pair.weight.clone()],
        &parameters[pair.bias.clone()],
    );
    linear::reference::forward(precision, x, weight, bias)
}

fn norm_forward<R: Real>(parameters: &[R], pair: &Pair, x: &[R]) -> Vec<R> {
    let (gain, bias) = (
        &parameters[pair.weight.clone()],
        &parameters[pair.bias.clone()],
    );
    layer_norm::reference::forward(x, gain, bias)
}

fn forward<R: Real>(task: Task<'_>, layout: &Layout, parameters: &[R], window: usize) -> Tape<R> {
    let Shape {
        width: c,
        heads,
        activation,
        ..
    } = *task.shape;
    let embedded = embedding::reference::forward(layout, parameters, task.windows.sequence(window));
    let normed = norm_forward(parameters, &layout.embed_norm, &embedded);
    let mut x = dropout::reference::forward(&mask(task, window, Site::Embedding), &normed);
    let mut blocks = Vec::new();
    for (layer, at) in layout.blocks.iter().enumerate() {
        let normed_1 = norm_forward(parameters, &at.norm_1, &x);
        let qkv = linear_forward(task.precision, parameters, &at.qkv, &normed_1);
        let (q, kv) = split(&qkv, c);
        let keep = attention_mask(task, window, layer);
        let visible = Visible::TOKENS;
        let problem = attention::reference::Problem {
            width: c,
            heads,
            visible,
            mask: keep.as_deref(),
        };
        let attended = attention::reference::forward(problem, &q, &kv);
        let branch = linear_forward(task.precision, parameters, &at.projection, &attended);
        let keep = mask(task, window, Site::Projection { layer });
        let middle = sum(&x, &dropout::reference::forward(&keep, &branch));
        let normed_2 = norm_forward(parameters, &at.norm_2, &middle);
        let hidden_input = linear_forward(task.precision, parameters, &at.up, &normed_2);
        let hidden = activation::reference::forward(activation, &hidden_input);
        let branch = linear_forward(task.precision, parameters, &at.down, &hidden);
        let keep = mask(task, window, Site::Mlp { layer });
        let behind = sum(&middle, &dropout::reference::forward(&keep, &branch));
        blocks.push(BlockTape {
            x: std::mem::replace(&mut x, behind),
            normed_1,
            qkv,
            attended,
            middle,
            normed_2,
            hidden_input,
            hidden,
        });
    }
    let stream: Vec<R> = x.chunks(c).skip(1).step_by(3).flatten().copied().collect();
    let normed = norm_forward(parameters, &layout.final_norm, &stream);
    let logits = linear_forward(Precision::F32, parameters, &layout.head, &normed);
    Tape {
        embedded,
        blocks,
        stream,
        normed,
        logits,
    }
}

/// Gradients of one window, on their way back.
struct Backward<'a, R> {
    precision: Precision,
    parameters: &'a [R],
    gradient: &'a mut [R],
}

impl<R: Real> Backward<'_, R> {
    fn add(&mut self, range: &Range<usize>, by: &[R]) {
        for (to, by) in self.gradient[range.clone()].iter_mut().zip(by) {
            *to += *by;
        }
    }

    fn linear(&mut self, pair: &Pair, x: &[R], dy: &[R]) -> Vec<R> {
        let weight = &self.parameters[pair.weight.clone()];
        let found = linear::reference::backward(self.precision, x, weight, dy, pair.bias.len());
        self.add(&pair.weight, &found.weight);
        self.add(&pair.bias, &found.bias);
        found.x
    }

    fn norm(&mut self, pair: &Pair, x: &[R], dy: &[R]) -> Vec<R> {
        let found = layer_norm::reference::backward(x, &self.parameters[pair.weight.clone()], dy);
        self.add(&pair.weight, &found.gain);
        self.add(&pair.bias, &found.bias);
        found.x
    }

    fn block(
        &mut self,
        task: Task<'_>,
        window: usize,
        layer: usize,
        at: &Block,
        tape: &BlockTape<R>,
        dx: &[R],
    ) -> Vec<R> {
        let Shape {
            width: c,
            heads,
            activation,
            ..
        } = *task.shape;
        let branch = dropout::reference::backward(&mask(task, window, Site::Mlp { layer }), dx);
        let hidden = self.linear(&at.down, &tape.hidden, &branch);
        let input = activation::reference::backward(activation, &tape.hidden_input, &hidden);
        let normed = self.linear(&at.up, &tape.normed_2, &input);
        let middle = sum(dx, &self.norm(&at.norm_2, &tape.middle, &normed));
        let keep = mask(task, window, Site::Projection { layer });
        let branch = dropout::reference::backward(&keep, &middle);
        let attended = self.linear(&at.projection, &tape.attended, &branch);
        let (q, kv) = split(&tape.qkv, c);
        let keep = attention_mask(task, window, layer);
        let visible = Visible::TOKENS;
        let problem = attention::reference::Problem {
            width: c,
            heads,
            visible,
            mask: keep.as_deref(),
        };
        let (dq, dkv) = attention::reference::backward(problem, &q, &kv, &attended);
        let rows = dq.chunks(c).zip(dkv.chunks(2 * c));
        let qkv: Vec<R> = rows.flat_map(|(q, kv)| [q, kv].concat()).collect();
        let normed = self.linear(&at.qkv, &tape.normed_1, &qkv);
        sum(&middle, &self.norm(&at.norm_1, &tape.x, &normed))
    }
}

fn backward<R: Real>(
    task: Task<'_>,
    layout: &Layout,
    parameters: &[R],
    window: usize,
    tape: &Tape<R>,
    dz: &[R],
    gradient: &mut [R],
) {
    let c = task.shape.width;
    let mut back = Backward {
        precision: Precision::F32,
        parameters,
        gradient,
    };
    let normed = back.linear(&layout.head, &tape.normed, dz);
    back.precision = task.precision;
    let stream = back.norm(&layout.final_norm, &tape.stream, &normed);
    let mut dx = vec![R::zero(); tape.embedded.len()];
    for (to, from) in dx.chunks_mut(c).skip(1).step_by(3).zip(stream.chunks(c)) {
        to.copy_from_slice(from);
    }
    for (layer, at) in layout.blocks.iter().enumerate().rev() {
        dx = back.block(task, window, layer, at, &tape.blocks[layer], &dx);
    }
    let normed = dropout::reference::backward(&mask(task, window, Site::Embedding), &dx);
    let embedded = back.norm(&layout.embed_norm, &tape.embedded, &normed);
    let steps = task.windows.sequence(window);
    embedding::reference::backward(layout, steps, &embedded, gradient);
}
