//! One episode: its cached past, and one forward step.

use super::StepInputs;
use super::layer::{self, Layer};
use super::slide::{Known, Tokens, slide};
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Layout;
use crate::kernels::decision_transformer::mixer::acting::Cache;
use crate::kernels::decision_transformer::shape::Shape;
use crate::kernels::decision_transformer::trunk::Model;
use crate::kernels::decision_transformer::trunk::forward::{apply_final_norm, apply_head};
use rayon::ThreadPool;
use std::ops::Range;

/// The past of one episode. Tokens are stored in the order of time; when the memory is full, those
/// outside the window are dropped.
#[derive(Debug)]
pub(super) struct Row {
    /// Steps of the episode so far.
    steps: usize,
    /// Tokens in memory, and how many of them the window no longer contains.
    tokens: usize,
    left: usize,
    timestep: u32,
    /// How many tokens a layer reaches back, if no window is needed: its tokens never change then.
    reach: Option<usize>,
    /// Embedded tokens.
    x: Buffer,
    /// The cache of each layer; beyond the first layer, only while the episode fits into the
    /// context or no window is needed.
    caches: Vec<Cache>,
}

/// Scratch memory of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) layer: layer::Scratch,
    embedded: Buffer,
    normed: Buffer,
    statistics: Vec<[f32; 2]>,
    /// The residual stream.
    pub(super) stream: Buffer,
    /// A sliding window's tokens before a layer, and after it.
    pub(super) tokens: [Tokens; 2],
}

/// A second thread for one row, and its scratch memory.
pub(super) type Helper<'a> = (&'a ThreadPool, &'a mut Scratch);

impl Row {
    pub(super) fn new(shape: &Shape, layout: &Layout) -> Self {
        let (c, context) = (shape.width, shape.context);
        let stride = shape.condition.stride();
        let reach = reach(shape, layout);
        // A few more steps than the context, so that the past is moved rarely.
        let sliding = stride * (context + context / 4 + 1);
        let most = reach.map_or(sliding, |reach| reach + stride);
        let caches = layout.blocks.iter().enumerate().map(|(layer, block)| {
            let mut cache = Cache::default();
            let tokens = if layer == 0 || reach.is_some() {
                most
            } else {
                stride * context
            };
            block.mixer.resize(&mut cache, tokens);
            cache
        });
        Self {
            steps: 0,
            tokens: 0,
            left: 0,
            timestep: 0,
            reach,
            x: Buffer::zeros(most * c),
            caches: caches.collect(),
        }
    }

    pub(super) fn begin(&mut self) {
        (self.steps, self.tokens, self.left) = (0, 0, 0);
    }

    /// One step: reads entry `row` of the inputs, writes the prediction of A numbers.
    pub(super) fn act(
        &mut self,
        model: Model<'_>,
        inputs: &StepInputs<'_>,
        row: usize,
        scratch: &mut Scratch,
        helper: Option<Helper<'_>>,
        action: &mut [f32],
    ) {
        let new = self.append(model, inputs, row, scratch);
        if self.reach.is_some() || self.steps <= model.network.shape.context {
            self.extend(model, new, scratch);
        } else {
            let c = model.network.shape.width;
            let window = self.left..self.tokens;
            let known = Known {
                x: &self.x[window.start * c..window.end * c],
                kept: model.layout.blocks[0].mixer.kept(&self.caches[0], &window),
            };
            slide(model, known, scratch, helper);
        }
        let Scratch {
            stream,
            normed,
            statistics,
            ..
        } = scratch;
        let returns_to_go = &inputs.returns_to_go[row..=row];
        apply_final_norm(model, returns_to_go, stream, (normed, statistics));
        apply_head(model, normed, action);
    }

    /// Appends the new tokens, with the first layer's cache of each; returns their rows.
    fn append(
        &mut self,
        model: Model<'_>,
        inputs: &StepInputs<'_>,
        row: usize,
        scratch: &mut Scratch,
    ) -> Range<usize> {
        let (network, layout, first) = (model.network, model.layout, Layer::new(model, 0));
        let (shape, stride) = (network.shape, network.shape.condition.stride());
        let timestep = inputs.timesteps[row];
        let rows = shape.timesteps;
        assert!(
            (timestep as usize) < rows,
            "timestep {timestep}, the table has {rows} rows"
        );
        let c = shape.width;
        if let Some(reach) = self.reach {
            self.left = self.tokens.saturating_sub(reach);
        } else if self.steps >= shape.context {
            self.left += stride;
        }
        if (self.tokens + stride) * c > self.x.len() {
            self.forget(layout, c);
        }
        let Scratch {
            normed,
            statistics,
            embedded,
            ..
        } = scratch;
        self.embed(model, inputs, row, embedded);
        let new = self.tokens..self.tokens + embedded.len() / c;
        (self.steps, self.tokens, self.timestep) = (self.steps + 1, new.end, timestep);
        network.norm(&layout.embed_norm, embedded, normed, statistics);
        self.x[new.start * c..new.end * c].copy_from_slice(normed);
        network.norm(&first.at.norm_1, normed, embedded, statistics);
        let places = first.at.mixer.places(&mut self.caches[0], &new);
        first.mixer().keep(embedded, &(0..new.len()), places);
        new
    }

    /// Embeds the new tokens: the previous action, if there was one, and those up to the
    /// observation.
    fn embed(&self, model: Model<'_>, inputs: &StepInputs<'_>, row: usize, x: &mut Buffer) {
        let network = model.network;
        let (at, panels) = (&model.layout.embedding, &model.weights.embedding);
        let (level, parameters, shape) = (network.level, network.parameters, network.shape);
        let (c, s, a) = (shape.width, shape.observation, shape.action);
        let actions = usize::from(self.steps > 0);
        x.resize((shape.condition.tokens(1) + actions) * c);
        let previous = &inputs.previous_actions[row * a..(row + 1) * a];
        if actions == 1 {
            let before = self.timestep;
            embedding::cpu::forward_action(level, at, parameters, panels, previous, before, x);
        }
        let steps = embedding::Steps {
            observations: &inputs.observations[row * s..(row + 1) * s],
            actions: previous,
            returns_to_go: &inputs.returns_to_go[row..=row],
            timesteps: &inputs.timesteps[row..=row],
        };
        let to = &mut x[actions * c..];
        embedding::cpu::forward(level, at, parameters, panels, steps, to);
    }

    /// Moves the tokens of the window to the front of the memory.
    fn forget(&mut self, layout: &Layout, c: usize) {
        // With a context of one step, not even the previous action, which is appended next, is in
        // the window.
        let window = self.left.min(self.tokens)..self.tokens;
        self.x.copy_within(window.start * c..window.end * c, 0);
        // Where a window slides, the caches of the other layers are no longer used.
        let layers = self.reach.map_or(1, |_| self.caches.len());
        for (block, cache) in layout.blocks.iter().zip(&mut self.caches).take(layers) {
            block.mixer.forget(cache, &window);
        }
        (self.tokens, self.left) = (window.len(), self.left - window.start);
    }

    /// While the episode fits into the context: passes the new tokens through all layers, after the
    /// cached ones.
    fn extend(&mut self, model: Model<'_>, new: Range<usize>, scratch: &mut Scratch) {
        let c = model.network.shape.width;
        let Scratch {
            layer: memory,
            stream,
            normed,
            statistics,
            ..
        } = scratch;
        stream.resize(new.len() * c);
        stream.copy_from_slice(&self.x[new.start * c..new.end * c]);
        for (index, cache) in self.caches.iter_mut().enumerate() {
            let layer = Layer::new(model, index);
            // The last layer computes the newest token only, the observation.
            let first = if model.is_last(index) {
                new.len() - 1
            } else {
                0
            };
            let mixer = &layer.at.mixer;
            if index > 0 {
                (model.network).norm(&layer.at.norm_1, stream, normed, statistics);
                let places = mixer.places(cache, &new);
                layer.mixer().keep(normed, &(first..new.len()), places);
            }
            let kept = mixer.kept(cache, &(0..new.end));
            let query_rows = new.start + first..new.end;
            let residual = &stream[first * c..];
            layer.mix(residual, memory, |mixer, scratch, branch| {
                mixer.extend(kept, query_rows, scratch, branch);
            });
            stream.resize((new.len() - first) * c);
            layer.finish(memory, stream);
        }
    }
}

/// How many tokens a layer reaches back, if the newest token of a full window depends on nothing
/// before the window.
fn reach(shape: &Shape, layout: &Layout) -> Option<usize> {
    let reaches = layout.blocks.iter().map(|block| block.mixer.reach());
    let reaches: Vec<usize> = reaches.collect::<Option<_>>()?;
    let seen = reaches.iter().sum::<usize>() + 1;
    let fits = seen <= shape.condition.tokens(shape.context);
    reaches.into_iter().max().filter(|_| fits)
}
