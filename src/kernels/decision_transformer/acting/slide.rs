//! A step after the window has slid: all of its tokens through all layers, from the cache of the
//! first.

use super::layer::{self, Layer};
use super::row::{Helper, Scratch};
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::mixer::acting::{Cache, Kept, Places};
use crate::kernels::decision_transformer::trunk::Model;
use std::ops::Range;

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

/// A run of tokens after a layer, to be written.
struct Part<'a> {
    rows: Range<usize>,
    x: &'a mut [f32],
    normed: &'a mut [f32],
    /// Their places in the next layer's cache; the last layer has no cache.
    places: Option<Places<'a>>,
}

/// Writes the last layer's one row to `scratch.stream`: that of the newest token. `first` are the
/// tokens before the first layer.
pub(super) fn slide(
    model: Model<'_>,
    first: Known<'_>,
    scratch: &mut Scratch,
    mut helper: Option<Helper<'_>>,
) {
    let last = model.layout.blocks.len() - 1;
    let (c, newest) = (model.network.shape.width, first.newest);
    if last == 0 {
        let layer = Layer::new(model, 0, newest);
        let tokens = first.x.len() / c;
        let residual = &first.x[(tokens - 1) * c..];
        layer.mix(residual, &mut scratch.layer, |mixer, memory, branch| {
            mixer.pass(first.kept, &(tokens - 1..tokens), memory, branch);
        });
        scratch.stream.resize(c);
        return layer.finish(&mut scratch.layer, &mut scratch.stream);
    }
    let [mut before, mut behind] = std::mem::take(&mut scratch.tokens);
    for index in 0..last {
        let known = if index == 0 {
            first
        } else {
            let tokens = 0..before.x.len() / c;
            let mixer = &model.layout.blocks[index].mixer;
            Known {
                newest,
                x: &before.x,
                kept: mixer.kept(&before.cache, &tokens),
            }
        };
        let scratch = &mut scratch.layer;
        pass(model, index, known, &mut behind, scratch, &mut helper);
        std::mem::swap(&mut before, &mut behind);
    }
    let layer = Layer::new(model, last, newest);
    let row = &before.x[before.x.len() - c..];
    layer.mix(row, &mut scratch.layer, |mixer, memory, branch| {
        mixer.answer(&before.normed, memory, branch);
    });
    scratch.stream.resize(c);
    layer.finish(&mut scratch.layer, &mut scratch.stream);
    scratch.tokens = [before, behind];
}

/// Passes all tokens through one layer, not the last. With a helper, each thread computes half of
/// them.
fn pass(
    model: Model<'_>,
    index: usize,
    known: Known<'_>,
    behind: &mut Tokens,
    scratch: &mut layer::Scratch,
    helper: &mut Option<Helper<'_>>,
) {
    let c = model.network.shape.width;
    let tokens = known.x.len() / c;
    let next = &model.layout.blocks[index + 1].mixer;
    let Tokens { x, normed, cache } = behind;
    x.resize(tokens * c);
    normed.resize(tokens * c);
    let places = if model.is_last(index + 1) {
        None
    } else {
        next.resize(cache, tokens);
        Some(next.places(cache, &(0..tokens)))
    };
    let Some((pool, other)) = helper else {
        let all = Part {
            rows: 0..tokens,
            x,
            normed,
            places,
        };
        return pass_part(model, index, known, all, scratch);
    };
    let half = tokens.div_ceil(2);
    let (early_x, late_x) = x.split_at_mut(half * c);
    let (early_normed, late_normed) = normed.split_at_mut(half * c);
    let (early_places, late_places) = places.map(|places| next.split(places, half)).unzip();
    let early = Part {
        rows: 0..half,
        x: early_x,
        normed: early_normed,
        places: early_places,
    };
    let late = Part {
        rows: half..tokens,
        x: late_x,
        normed: late_normed,
        places: late_places,
    };
    let other = &mut other.layer;
    pool.in_place_scope(|scope| {
        scope.spawn(move |_| pass_part(model, index, known, late, other));
        pass_part(model, index, known, early, scratch);
    });
}

fn pass_part(
    model: Model<'_>,
    index: usize,
    known: Known<'_>,
    part: Part<'_>,
    scratch: &mut layer::Scratch,
) {
    let [layer, next] = [index, index + 1].map(|index| Layer::new(model, index, known.newest));
    let c = model.network.shape.width;
    let Part {
        rows,
        x,
        normed,
        places,
    } = part;
    let residual = &known.x[rows.start * c..rows.end * c];
    layer.mix(residual, scratch, |mixer, memory, branch| {
        mixer.pass(known.kept, &rows, memory, branch);
    });
    layer.finish(scratch, x);
    let statistics = &mut scratch.statistics;
    (next.network).norm_into(&next.at.norm_1, x, normed, statistics);
    if let Some(places) = places {
        next.mixer().keep(normed, &(0..rows.len()), places);
    }
}
