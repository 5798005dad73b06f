//! A step after the window has slid: all of its tokens through all layers, from the cache of the
//! first.
//!
//! No token depends on a later one, so two threads can divide a window without waiting for each
//! other after every layer: a helper passes the early half of the tokens through all layers and
//! leaves what the late half needs of each in a [`Handover`].

use super::helper::{Helper, Progress, lock};
use super::layer::{self, Layer};
use super::step::Scratch;
use crate::buffer::Buffer;
use crate::decision_transformer::mixer::acting::{Cache, Kept};
use crate::decision_transformer::trunk::Model;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// Tokens before a layer: the stream, its norm, and the cache of the layer's mixer.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    x: Buffer,
    normed: Buffer,
    cache: Cache,
}

/// What a layer reads of its input tokens.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Which of its step's tokens the newest one is.
    pub(super) newest: usize,
    pub(super) x: &'a [f32],
    pub(super) kept: Kept<'a>,
}

/// The early half of the tokens before each layer but the first, as the late half needs them.
#[derive(Debug, Default)]
pub(super) struct Handover {
    layers: Vec<Mutex<Tokens>>,
    /// Layers whose early half is complete.
    early: Progress,
}

/// Writes the last layer's one row to `scratch.stream`: that of the newest token. `first` are the
/// tokens before the first layer.
pub(super) fn slide(
    model: Model<'_>,
    first: Known<'_>,
    scratch: &mut Scratch,
    helper: Option<Helper<'_>>,
) {
    let last = model.layout.blocks.len() - 1;
    let (c, newest) = (model.network.shape.width, first.newest);
    let tokens = first.x.len() / c;
    let layer = Layer::new(model, last, newest);
    if last == 0 {
        let residual = &first.x[(tokens - 1) * c..];
        layer.mix(residual, &mut scratch.layer, |mixer, memory, branch| {
            mixer.pass(first.kept, &(tokens - 1..tokens), memory, branch);
        });
    } else {
        match helper {
            Some(helper) if tokens > 1 => halves(model, first, scratch, helper),
            _ => pass(model, first, 0..tokens, scratch, |_, _| {}),
        }
        let [before, _] = &scratch.tokens;
        let row = &before.x[before.x.len() - c..];
        layer.mix(row, &mut scratch.layer, |mixer, memory, branch| {
            mixer.answer(&before.normed, memory, branch);
        });
    }
    scratch.stream.resize(c);
    layer.finish(&mut scratch.layer, None, &mut scratch.stream);
}

/// Passes all tokens through all layers but the last, on two threads.
fn halves(model: Model<'_>, first: Known<'_>, scratch: &mut Scratch, helper: Helper<'_>) {
    let tokens = first.x.len() / model.network.shape.width;
    let half = tokens.div_ceil(2);
    let handover = helper.handover;
    handover.early.reset();
    helper.run(
        |other| {
            let _end = handover.early.guard();
            pass(model, first, 0..half, other, |index, tokens| {
                handover.give(model, index, half, tokens);
            });
        },
        || {
            pass(model, first, half..tokens, scratch, |index, tokens| {
                handover.receive(model, index, half, tokens);
            });
        },
    );
}

impl Handover {
    /// For a model of this many layers.
    pub(super) fn new(layers: usize) -> Self {
        Self {
            layers: (1..layers).map(|_| Mutex::default()).collect(),
            early: Progress::default(),
        }
    }

    /// The tokens behind a layer.
    fn behind(&self, index: usize) -> MutexGuard<'_, Tokens> {
        lock(&self.layers[index])
    }

    /// Leaves the first `half` tokens behind a layer for the other thread.
    fn give(&self, model: Model<'_>, index: usize, half: usize, tokens: &mut Tokens) {
        tokens.copy(model, index + 1, half, &mut self.behind(index));
        self.early.complete();
    }

    /// Waits for the first `half` tokens behind a layer.
    fn receive(&self, model: Model<'_>, index: usize, half: usize, tokens: &mut Tokens) {
        self.early.wait_for(index + 1);
        self.behind(index).copy(model, index + 1, half, tokens);
    }
}

impl Tokens {
    /// Makes room for this many tokens before a layer.
    fn resize(&mut self, model: Model<'_>, index: usize, tokens: usize) {
        let c = model.network.shape.width;
        self.x.resize(tokens * c);
        self.normed.resize(tokens * c);
        // The last layer has no cache.
        if !model.is_last(index) {
            model.layout.blocks[index]
                .mixer
                .resize(&mut self.cache, tokens);
        }
    }

    /// Copies what later tokens need of the first `count` before a layer.
    fn copy(&self, model: Model<'_>, index: usize, count: usize, to: &mut Self) {
        let numbers = count * model.network.shape.width;
        if to.x.len() < numbers {
            to.resize(model, index, count);
        }
        if model.is_last(index) {
            to.normed[..numbers].copy_from_slice(&self.normed[..numbers]);
        } else {
            let mixer = &model.layout.blocks[index].mixer;
            let from = mixer.kept(&self.cache, &(0..count));
            mixer.copy_past(from, mixer.places(&mut to.cache, &(0..count)));
        }
    }
}

/// Passes a run of tokens through all layers but the last; leaves them in the first of
/// `scratch.tokens`. After each layer, `exchange` takes or completes the tokens behind it.
fn pass(
    model: Model<'_>,
    first: Known<'_>,
    rows: Range<usize>,
    scratch: &mut Scratch,
    exchange: impl Fn(usize, &mut Tokens),
) {
    let [mut before, mut behind] = std::mem::take(&mut scratch.tokens);
    for index in 0..model.layout.blocks.len() - 1 {
        let known = if index == 0 {
            first
        } else {
            let mixer = &model.layout.blocks[index].mixer;
            Known {
                x: &before.x,
                kept: mixer.kept(&before.cache, &(0..rows.end)),
                ..first
            }
        };
        behind.resize(model, index + 1, rows.end);
        pass_layer(model, index, known, &rows, &mut behind, &mut scratch.layer);
        exchange(index, &mut behind);
        std::mem::swap(&mut before, &mut behind);
    }
    scratch.tokens = [before, behind];
}

/// Passes a run of tokens through one layer, not the last.
fn pass_layer(
    model: Model<'_>,
    index: usize,
    known: Known<'_>,
    rows: &Range<usize>,
    behind: &mut Tokens,
    scratch: &mut layer::Scratch,
) {
    let [layer, next] = [index, index + 1].map(|index| Layer::new(model, index, known.newest));
    let c = model.network.shape.width;
    let numbers = rows.start * c..rows.end * c;
    let Tokens { x, normed, cache } = behind;
    let (x, normed) = (&mut x[numbers.clone()], &mut normed[numbers.clone()]);
    layer.mix(&known.x[numbers], scratch, |mixer, memory, branch| {
        mixer.pass(known.kept, rows, memory, branch);
    });
    layer.finish(scratch, None, x);
    let statistics = &mut scratch.statistics;
    next.norm_into(x, normed, statistics);
    if !model.is_last(index + 1) {
        let places = next.at.mixer.places(cache, rows);
        next.mixer().keep(normed, &(0..rows.len()), places);
    }
}
