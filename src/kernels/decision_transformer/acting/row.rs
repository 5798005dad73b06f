//! One episode: its cached past, and one forward step.

use super::StepInputs;
use super::layer::{self, Layer};
use super::slide::{Known, Tokens, slide};
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Layout;
use crate::kernels::decision_transformer::mixer::acting::Cache;
use crate::kernels::decision_transformer::shape::{Condition, Shape};
use crate::kernels::decision_transformer::trunk::Model;
use crate::kernels::decision_transformer::trunk::forward::{apply_final_norm, apply_head};
use crate::kernels::decision_transformer::trunk::returns;
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
    /// The newest token, as which of its step's, and the time of that step.
    newest: Option<usize>,
    timestep: u32,
    /// That of the newest step.
    pub(super) return_to_go: f32,
    /// How far back a layer sees, if no window is needed: its tokens never change then.
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

/// What one row sees of a inputs.
struct Step<'a> {
    observation: &'a [f32],
    return_to_go: [f32; 1],
    timestep: u32,
    previous_action: &'a [f32],
}

impl<'a> Step<'a> {
    fn of(inputs: &StepInputs<'a>, row: usize, shape: &Shape) -> Self {
        let (s, a) = (shape.observation, shape.action);
        Self {
            observation: &inputs.observations[row * s..(row + 1) * s],
            return_to_go: [inputs.returns_to_go[row]],
            timestep: inputs.timesteps[row],
            previous_action: &inputs.previous_actions[row * a..(row + 1) * a],
        }
    }

    /// The numbers of its `kind`-th token, in front of the action.
    fn token(&self, condition: Condition, kind: usize) -> &[f32] {
        let is_return = match condition {
            Condition::Token => kind == 0,
            Condition::Adaln => false,
            Condition::Predicted { .. } => kind == 1,
        };
        if is_return {
            &self.return_to_go
        } else {
            self.observation
        }
    }
}

/// A second thread for one row, and what it needs.
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
            newest: None,
            timestep: 0,
            return_to_go: 0.0,
            reach,
            x: Buffer::zeros(most * c),
            caches: caches.collect(),
        }
    }

    pub(super) fn begin(&mut self) {
        (self.steps, self.tokens, self.left) = (0, 0, 0);
        self.newest = None;
    }

    /// One step: reads entry `row` of the inputs, writes the prediction of A numbers.
    pub(super) fn act(
        &mut self,
        model: Model<'_>,
        inputs: &StepInputs<'_>,
        row: usize,
        scratch: &mut Scratch,
        mut helper: Option<Helper<'_>>,
        action: &mut [f32],
    ) {
        let condition = model.network.shape.condition;
        let mut step = Step::of(inputs, row, model.network.shape);
        if condition.expectile().is_some() {
            // Up to the observation first, and its return-to-go instead of the given one.
            let helper = helper.as_mut().map(|(pool, other)| (*pool, &mut **other));
            self.answer(model, &step, 0, scratch, helper);
            let memory = (&mut scratch.normed, &mut scratch.statistics);
            let mut predicted = [0.0];
            returns::predict(model, &scratch.stream, memory, &mut predicted);
            step.return_to_go = predicted;
        }
        [self.return_to_go] = step.return_to_go;
        self.answer(model, &step, condition.answering(), scratch, helper);
        let Scratch {
            stream,
            normed,
            statistics,
            ..
        } = scratch;
        apply_final_norm(model, &step.return_to_go, stream, (normed, statistics));
        apply_head(model, normed, action);
    }

    /// Adds the step's tokens up to the `newest`-th and writes to `scratch.stream` what the last
    /// layer gives of that.
    fn answer(
        &mut self,
        model: Model<'_>,
        step: &Step<'_>,
        newest: usize,
        scratch: &mut Scratch,
        helper: Option<Helper<'_>>,
    ) {
        let new = self.append(model, step, newest, scratch);
        if self.reach.is_some() || self.steps <= model.network.shape.context {
            return self.extend(model, new, newest, scratch);
        }
        let c = model.network.shape.width;
        let window = self.left..self.tokens;
        let known = Known {
            newest,
            x: &self.x[window.start * c..window.end * c],
            kept: model.layout.blocks[0].mixer.kept(&self.caches[0], &window),
        };
        slide(model, known, scratch, helper);
    }

    /// Puts the new tokens behind the others, with what the first layer makes of each; returns
    /// their rows.
    fn append(
        &mut self,
        model: Model<'_>,
        step: &Step<'_>,
        newest: usize,
        scratch: &mut Scratch,
    ) -> Range<usize> {
        let (network, layout) = (model.network, model.layout);
        let (shape, first) = (network.shape, Layer::new(model, 0, newest));
        let rows = shape.timesteps;
        assert!(
            (step.timestep as usize) < rows,
            "timestep {}, the table has {rows} rows",
            step.timestep
        );
        let c = shape.width;
        if self.newest.is_none_or(|at| at >= newest) {
            self.begin_step(layout, shape);
        }
        let Scratch {
            normed,
            statistics,
            embedded,
            ..
        } = scratch;
        self.embed(model, step, newest, embedded);
        let new = self.tokens..self.tokens + embedded.len() / c;
        (self.tokens, self.newest) = (new.end, Some(newest));
        self.timestep = step.timestep;
        network.norm(&layout.embed_norm, embedded, normed, statistics);
        self.x[new.start * c..new.end * c].copy_from_slice(normed);
        network.norm(&first.at.norm_1, normed, embedded, statistics);
        let places = first.at.mixer.places(&mut self.caches[0], &new);
        first.mixer().keep(embedded, &(0..new.len()), places);
        new
    }

    /// Makes room for a step's tokens, and leaves the oldest step where the window slides.
    fn begin_step(&mut self, layout: &Layout, shape: &Shape) {
        let stride = shape.condition.stride();
        if let Some(reach) = self.reach {
            self.left = self.tokens.saturating_sub(reach);
        } else if self.steps >= shape.context {
            self.left += stride;
        }
        if (self.tokens + stride) * shape.width > self.x.len() {
            self.forget(layout, shape.width);
        }
        self.steps += 1;
    }

    /// The embedding of the new tokens: the previous action, if there was one, and those of the
    /// step up to the `newest`-th that are not there yet.
    fn embed(&self, model: Model<'_>, step: &Step<'_>, newest: usize, x: &mut Buffer) {
        let network = model.network;
        let (at, panels) = (&model.layout.embedding, &model.weights.embedding);
        let (level, parameters, shape) = (network.level, network.parameters, network.shape);
        let (c, stride) = (shape.width, shape.condition.stride());
        let begun = self.newest.filter(|at| *at < newest);
        let actions = usize::from(self.newest.is_some() && begun.is_none());
        let kinds = begun.map_or(0, |at| at + 1)..newest + 1;
        x.resize((kinds.len() + actions) * c);
        let (before, to) = x.split_at_mut(actions * c);
        if actions == 1 {
            let token = (stride - 1, step.previous_action);
            let timestep = self.timestep;
            embedding::cpu::forward_one(level, at, parameters, panels, token, timestep, before);
        }
        for (kind, to) in kinds.zip(to.chunks_mut(c)) {
            let token = (kind, step.token(shape.condition, kind));
            let timestep = step.timestep;
            embedding::cpu::forward_one(level, at, parameters, panels, token, timestep, to);
        }
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

    /// While the episode fits into the context: the new tokens through all layers, behind the kept
    /// ones.
    fn extend(
        &mut self,
        model: Model<'_>,
        new: Range<usize>,
        newest: usize,
        scratch: &mut Scratch,
    ) {
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
            let layer = Layer::new(model, index, newest);
            // The last layer answers the newest token.
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
            layer.advance(cache, &new, memory);
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
    // Where a return-to-go is predicted first, from the token in front of the one that actions are
    // predicted from.
    let before = usize::from(shape.condition.expectile().is_some());
    let fits = seen + before <= shape.condition.tokens(shape.context);
    reaches.into_iter().max().filter(|_| fits)
}
