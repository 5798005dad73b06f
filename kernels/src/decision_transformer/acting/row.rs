//! One episode: its past, and what a step adds to it.

use super::{Memory, StepInputs};
use crate::buffer::Buffer;
use crate::decision_transformer::embedding;
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::mixer::acting::Cache;
use crate::decision_transformer::shape::{Condition, MixerKind, Shape};
use crate::decision_transformer::trunk::Model;
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
    /// What the model predicts of it, by which this history is compared with others.
    pub(super) promised: f32,
    /// The raw means and deviations of a stochastic policy, A numbers each.
    pub(super) means: Vec<f32>,
    pub(super) raw_deviations: Vec<f32>,
    past: Past,
    /// Embedded tokens.
    x: Buffer,
    /// The cache of each layer; beyond the first layer, only while tokens are
    /// [appended](Row::appends).
    pub(super) caches: Vec<Cache>,
}

/// What becomes of the tokens in the window when its oldest step leaves it.
#[derive(Clone, Copy, Debug)]
enum Past {
    /// They change.
    Changes,
    /// They stay as they were computed.
    Stays,
    /// They never depended on more than this many tokens before them.
    Reaches(usize),
}

/// What one row sees of the inputs.
pub(super) struct Step<'a> {
    observation: &'a [f32],
    return_to_go: &'a [f32],
    timestep: u32,
    previous_action: &'a [f32],
}

impl<'a> Step<'a> {
    /// A row's entries, with this return-to-go.
    pub(super) fn of(
        inputs: &StepInputs<'a>,
        row: usize,
        shape: &Shape,
        return_to_go: &'a [f32],
    ) -> Self {
        let (s, a) = (shape.observation, shape.action);
        Self {
            observation: &inputs.observations[row * s..(row + 1) * s],
            return_to_go,
            timestep: inputs.timesteps[row],
            previous_action: &inputs.previous_actions[row * a..(row + 1) * a],
        }
    }

    /// The numbers of its `kind`-th token, in front of the action.
    fn token(&self, condition: Condition, kind: usize) -> &[f32] {
        let is_return = match condition {
            Condition::Token | Condition::Nullable => kind == 0,
            Condition::Adaln => false,
            Condition::Predicted { .. } => kind == 1,
        };
        if is_return {
            self.return_to_go
        } else {
            self.observation
        }
    }
}

impl Row {
    pub(super) fn new(shape: &Shape, layout: &Layout, memory: Memory) -> Self {
        let (c, context) = (shape.width, shape.context);
        let stride = shape.condition.stride();
        let past = match (reach(shape, layout), memory) {
            (Some(reach), _) => Past::Reaches(reach),
            (None, Memory::Streaming) if shape.mixer == MixerKind::Attention => Past::Stays,
            (None, _) => Past::Changes,
        };
        // A few more steps than the context, so that the past is moved rarely.
        let sliding = stride * (context + context / 4 + 1);
        let (most, beyond_the_first) = match past {
            Past::Changes => (sliding, stride * context),
            Past::Stays => (sliding, sliding),
            Past::Reaches(reach) => (reach + stride, reach + stride),
        };
        let caches = layout.blocks.iter().enumerate().map(|(layer, block)| {
            let mut cache = Cache::default();
            let tokens = if layer == 0 { most } else { beyond_the_first };
            block.mixer.resize(&mut cache, tokens);
            cache
        });
        let stochastic = vec![0.0; shape.deviation.map_or(0, |_| shape.action)];
        Self {
            steps: 0,
            tokens: 0,
            left: 0,
            newest: None,
            timestep: 0,
            return_to_go: 0.0,
            promised: 0.0,
            means: stochastic.clone(),
            raw_deviations: stochastic,
            past,
            x: Buffer::zeros(most * c),
            caches: caches.collect(),
        }
    }

    pub(super) fn begin(&mut self) {
        (self.steps, self.tokens, self.left) = (0, 0, 0);
        self.newest = None;
    }

    /// Whether a step's new tokens go through all layers behind the cached ones; otherwise all
    /// tokens of the window do.
    pub(super) fn appends(&self, shape: &Shape) -> bool {
        !matches!(self.past, Past::Changes) || self.steps <= shape.context
    }

    /// The tokens in the window.
    pub(super) fn window(&self) -> Range<usize> {
        self.left..self.tokens
    }

    /// Some embedded tokens.
    pub(super) fn embedded(&self, tokens: &Range<usize>, width: usize) -> &[f32] {
        &self.x[tokens.start * width..tokens.end * width]
    }

    /// Keeps embedded tokens.
    pub(super) fn keep(&mut self, tokens: &Range<usize>, embedded: &[f32]) {
        let width = embedded.len() / tokens.len();
        self.x[tokens.start * width..tokens.end * width].copy_from_slice(embedded);
    }

    /// Makes room for the tokens of a step up to the `newest`-th and returns their places; writes
    /// their embedding, before its norm, to the front of `x`.
    pub(super) fn append(
        &mut self,
        model: Model<'_>,
        step: &Step<'_>,
        newest: usize,
        x: &mut [f32],
    ) -> Range<usize> {
        let shape = model.network.shape;
        let rows = shape.timesteps;
        assert!(
            (step.timestep as usize) < rows,
            "timestep {}, the table has {rows} rows",
            step.timestep
        );
        if self.newest.is_none_or(|at| at >= newest) {
            self.begin_step(model.layout, shape);
        }
        let count = self.embed(model, step, newest, x);
        let new = self.tokens..self.tokens + count;
        (self.tokens, self.newest) = (new.end, Some(newest));
        self.timestep = step.timestep;
        new
    }

    /// Makes room for a step's tokens, and leaves the oldest step where the window is full.
    fn begin_step(&mut self, layout: &Layout, shape: &Shape) {
        let stride = shape.condition.stride();
        if let Past::Reaches(reach) = self.past {
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
    /// step up to the `newest`-th that are not there yet. Returns how many they are.
    fn embed(&self, model: Model<'_>, step: &Step<'_>, newest: usize, x: &mut [f32]) -> usize {
        let network = model.network;
        let (at, panels) = (&model.layout.embedding, &model.weights.embedding);
        let (level, parameters, shape) = (network.level, network.parameters, network.shape);
        let (c, stride) = (shape.width, shape.condition.stride());
        let begun = self.newest.filter(|at| *at < newest);
        let actions = usize::from(self.newest.is_some() && begun.is_none());
        let kinds = begun.map_or(0, |at| at + 1)..newest + 1;
        let count = kinds.len() + actions;
        let (before, to) = x[..count * c].split_at_mut(actions * c);
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
        count
    }

    /// Moves the tokens of the window to the front of the memory.
    fn forget(&mut self, layout: &Layout, c: usize) {
        // With a context of one step, not even the previous action, which is appended next, is in
        // the window.
        let window = self.left.min(self.tokens)..self.tokens;
        self.x.copy_within(window.start * c..window.end * c, 0);
        // Where tokens change, the caches of the other layers are no longer used.
        let layers = match self.past {
            Past::Changes => 1,
            Past::Stays | Past::Reaches(_) => self.caches.len(),
        };
        for (block, cache) in layout.blocks.iter().zip(&mut self.caches).take(layers) {
            block.mixer.forget(cache, &window);
        }
        (self.tokens, self.left) = (window.len(), self.left - window.start);
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
    let before = usize::from(shape.condition.prediction().is_some());
    let fits = seen + before <= shape.condition.tokens(shape.context);
    reaches.into_iter().max().filter(|_| fits)
}
