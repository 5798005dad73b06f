//! One episode: what is kept of its past, and one step forward.

use super::{Actor, Scene};
use crate::kernels::attention::{self, Visible};
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::embedding;
use crate::kernels::decision_transformer::layout::Shape;
use crate::kernels::decision_transformer::trunk::Model;
use crate::kernels::decision_transformer::trunk::forward::{
    add_mlp, add_projection, apply_head, norm, project_keys_values, project_queries,
};
use crate::kernels::decision_transformer::trunk::memory::Block;
use crate::kernels::epilogue::{Store, StoreWithBias};
use crate::kernels::layer_norm;
use crate::kernels::linear::cpu::{Left, product};
use rayon::ThreadPool;
use std::ops::Range;

/// The past of one episode. Tokens lie one behind the other in the order of time; when the memory is full, those
/// that have left the window are dropped.
#[derive(Debug)]
pub(crate) struct Row {
    /// Steps of the episode so far.
    steps: usize,
    /// Tokens in memory, and those of them that the window no longer holds.
    tokens: usize,
    left: usize,
    timestep: u32,
    /// Embedded tokens, and the first layer's queries, keys and values of them.
    x: Buffer,
    q: Buffer,
    /// For each layer; beyond the first, only while the episode fits into the context.
    kv: Vec<Buffer>,
}

/// What a thread needs while it works on a row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    block: Block,
    attention: attention::cpu::Scratch,
    embedded: Buffer,
    normed: Buffer,
    statistics: Vec<[f32; 2]>,
    scores: Buffer,
    across: Buffer,
    mixed: Buffer,
    /// The residual stream.
    stream: Buffer,
    /// A sliding window's tokens in front of a layer, and behind it.
    tokens: [Tokens; 2],
}

/// Tokens in front of a layer: the stream, its norm, and the queries, keys and values made of that.
#[derive(Debug, Default)]
struct Tokens {
    x: Buffer,
    normed: Buffer,
    q: Buffer,
    kv: Buffer,
}

/// A second thread for one row, and what it needs.
pub(crate) type Helper<'a> = (&'a ThreadPool, &'a mut Scratch);

impl Row {
    pub(crate) fn new(shape: &Shape) -> Self {
        let (c, context) = (shape.width, shape.context);
        // A few steps more than the context, so that moving the past is rare.
        let most = 3 * (context + context / 4 + 1);
        let cache = |layer| Buffer::zeros(2 * c * if layer == 0 { most } else { 3 * context });
        Self {
            steps: 0,
            tokens: 0,
            left: 0,
            timestep: 0,
            x: Buffer::zeros(most * c),
            q: Buffer::zeros(most * c),
            kv: (0..shape.layers).map(cache).collect(),
        }
    }

    pub(crate) fn begin(&mut self) {
        (self.steps, self.tokens, self.left) = (0, 0, 0);
    }

    /// One step: reads entry `row` of the scene, writes the prediction, A numbers.
    pub(crate) fn act(
        &mut self,
        actor: Actor<'_>,
        scene: &Scene<'_>,
        row: usize,
        scratch: &mut Scratch,
        helper: Option<Helper<'_>>,
        action: &mut [f32],
    ) {
        let model = actor.model;
        let new = self.append(actor, scene, row, scratch);
        if self.steps <= model.shape.context {
            self.extend(actor, new, scratch);
        } else {
            self.slide(actor, scratch, helper);
        }
        let Scratch {
            stream,
            normed,
            statistics,
            ..
        } = scratch;
        norm(model, &model.layout.final_norm, stream, normed, statistics);
        apply_head(model, normed, action);
    }

    /// Puts the new tokens behind the others, with what the first layer makes of each; returns their rows.
    fn append(
        &mut self,
        actor: Actor<'_>,
        scene: &Scene<'_>,
        row: usize,
        scratch: &mut Scratch,
    ) -> Range<usize> {
        let model = actor.model;
        let (layout, parameters) = (model.layout, model.parameters);
        let panels = &model.weights.embedding;
        let (c, s, a) = (
            model.shape.width,
            model.shape.observation,
            model.shape.action,
        );
        let timesteps = &scene.timesteps[row..=row];
        let rows = model.shape.timesteps;
        assert!(
            (timesteps[0] as usize) < rows,
            "timestep {}, the table has {rows} rows",
            timesteps[0]
        );
        if self.steps >= model.shape.context {
            self.left += 3;
        }
        if (self.tokens + 3) * c > self.x.len() {
            self.forget(c);
        }
        let actions = usize::from(self.steps > 0);
        let x = &mut scratch.embedded;
        x.resize((2 + actions) * c);
        let previous = &scene.previous_actions[row * a..(row + 1) * a];
        if actions == 1 {
            embedding::cpu::forward_action(
                model.level,
                layout,
                parameters,
                panels,
                previous,
                self.timestep,
                x,
            );
        }
        let steps = embedding::Steps {
            observations: &scene.observations[row * s..(row + 1) * s],
            actions: previous,
            returns_to_go: &scene.returns_to_go[row..=row],
            timesteps,
        };
        let to = &mut x[actions * c..];
        embedding::cpu::forward(model.level, layout, parameters, panels, steps, to);

        let new = self.tokens..self.tokens + 2 + actions;
        (self.steps, self.tokens, self.timestep) = (self.steps + 1, new.end, timesteps[0]);
        let Scratch {
            normed,
            statistics,
            embedded,
            ..
        } = scratch;
        norm(model, &layout.embed_norm, embedded, normed, statistics);
        self.x[new.start * c..new.end * c].copy_from_slice(normed);
        norm(
            model,
            &layout.blocks[0].norm_1,
            normed,
            embedded,
            statistics,
        );
        project_queries(model, 0, embedded, &mut self.q[new.start * c..new.end * c]);
        let kv = &mut self.kv[0][new.start * 2 * c..new.end * 2 * c];
        project_keys_values(model, 0, embedded, kv);
        new
    }

    /// Moves the tokens of the window to the front of the memory.
    fn forget(&mut self, c: usize) {
        // With a context of one step, not even the previous action, yet to come, is in the window.
        let window = self.left.min(self.tokens)..self.tokens;
        self.x.copy_within(window.start * c..window.end * c, 0);
        self.q.copy_within(window.start * c..window.end * c, 0);
        self.kv[0].copy_within(window.start * 2 * c..window.end * 2 * c, 0);
        (self.tokens, self.left) = (window.len(), self.left - window.start);
    }

    /// While the episode fits into the context: the new tokens through all layers, behind the cached ones.
    fn extend(&mut self, actor: Actor<'_>, new: Range<usize>, scratch: &mut Scratch) {
        let model = actor.model;
        let c = model.shape.width;
        let Scratch {
            block,
            stream,
            scores,
            ..
        } = scratch;
        stream.resize(new.len() * c);
        stream.copy_from_slice(&self.x[new.start * c..new.end * c]);
        for layer in 0..model.shape.layers {
            // The last layer answers the newest token, the observation.
            let asking = if model.is_last(layer) {
                new.end - 1..new.end
            } else {
                new.clone()
            };
            let residual = &stream[(asking.start - new.start) * c..];
            let kv = &mut self.kv[layer];
            let q = if layer == 0 {
                &self.q[asking.start * c..asking.end * c]
            } else {
                let pair = &model.layout.blocks[layer].norm_1;
                norm(
                    model,
                    pair,
                    stream,
                    &mut block.normed_1,
                    &mut block.statistics_1,
                );
                let cached = &mut kv[new.start * 2 * c..new.end * 2 * c];
                project_keys_values(model, layer, &block.normed_1, cached);
                block.q.resize(asking.len() * c);
                let normed = &block.normed_1[(asking.start - new.start) * c..];
                project_queries(model, layer, normed, &mut block.q);
                &block.q
            };
            block.attended.resize(asking.len() * c);
            let rows = asking.zip(q.chunks(c)).zip(block.attended.chunks_mut(c));
            for ((token, q), out) in rows {
                ask(actor, q, &kv[..(token + 1) * 2 * c], scores, out);
            }
            add_projection(model, layer, None, residual, block);
            stream.resize(block.middle.len());
            add_mlp(model, layer, None, block, stream);
        }
    }

    /// The window has slid: all of its tokens through all layers, from what is known of each alone.
    fn slide(&self, actor: Actor<'_>, scratch: &mut Scratch, mut helper: Option<Helper<'_>>) {
        let model = actor.model;
        let c = model.shape.width;
        let window = self.left..self.tokens;
        let known = Known {
            x: &self.x[window.start * c..window.end * c],
            q: &self.q[window.start * c..window.end * c],
            kv: &self.kv[0][window.start * 2 * c..window.end * 2 * c],
        };
        let last = model.shape.layers - 1;
        if last == 0 {
            let Scratch {
                block,
                stream,
                scores,
                ..
            } = scratch;
            let newest = (window.len() - 1) * c..window.len() * c;
            block.attended.resize(c);
            ask(
                actor,
                &known.q[newest.clone()],
                known.kv,
                scores,
                &mut block.attended,
            );
            add_projection(model, 0, None, &known.x[newest], block);
            stream.resize(c);
            add_mlp(model, 0, None, block, stream);
            return;
        }
        let [mut before, mut behind] = std::mem::take(&mut scratch.tokens);
        for layer in 0..last {
            let known = if layer == 0 {
                known
            } else {
                Known {
                    x: &before.x,
                    q: &before.q,
                    kv: &before.kv,
                }
            };
            pass(model, layer, known, &mut behind, scratch, &mut helper);
            std::mem::swap(&mut before, &mut behind);
        }
        answer(actor, &before, scratch);
        scratch.tokens = [before, behind];
    }
}

/// What a layer reads of the tokens in front of it.
#[derive(Clone, Copy)]
struct Known<'a> {
    x: &'a [f32],
    q: &'a [f32],
    kv: &'a [f32],
}

/// A run of tokens behind a layer, to be written.
struct Part<'a> {
    rows: Range<usize>,
    x: &'a mut [f32],
    normed: &'a mut [f32],
    q: &'a mut [f32],
    kv: &'a mut [f32],
}

impl Part<'_> {
    fn split(self, rows: usize, c: usize) -> (Self, Self) {
        let (x, other_x) = self.x.split_at_mut(rows * c);
        let (normed, other_normed) = self.normed.split_at_mut(rows * c);
        // The last layer's queries, keys and values are never made.
        let made = usize::from(!self.q.is_empty());
        let (q, other_q) = self.q.split_at_mut(made * rows * c);
        let (kv, other_kv) = self.kv.split_at_mut(made * rows * 2 * c);
        let middle = self.rows.start + rows;
        let other = Part {
            rows: middle..self.rows.end,
            x: other_x,
            normed: other_normed,
            q: other_q,
            kv: other_kv,
        };
        (
            Part {
                rows: self.rows.start..middle,
                x,
                normed,
                q,
                kv,
            },
            other,
        )
    }
}

/// All tokens through one layer, but not the last. With a helper, each thread takes half of them.
fn pass(
    model: Model<'_>,
    layer: usize,
    known: Known<'_>,
    behind: &mut Tokens,
    scratch: &mut Scratch,
    helper: &mut Option<Helper<'_>>,
) {
    let c = model.shape.width;
    let tokens = known.x.len() / c;
    let made = if model.is_last(layer + 1) { 0 } else { tokens };
    let Tokens { x, normed, q, kv } = behind;
    x.resize(tokens * c);
    normed.resize(tokens * c);
    q.resize(made * c);
    kv.resize(made * 2 * c);
    let all = Part {
        rows: 0..tokens,
        x,
        normed,
        q,
        kv,
    };
    let Some((pool, other)) = helper else {
        return pass_part(model, layer, known, all, scratch);
    };
    let (early, late) = all.split(tokens.div_ceil(2), c);
    pool.in_place_scope(|scope| {
        scope.spawn(move |_| pass_part(model, layer, known, late, other));
        pass_part(model, layer, known, early, scratch);
    });
}

fn pass_part(
    model: Model<'_>,
    layer: usize,
    known: Known<'_>,
    part: Part<'_>,
    scratch: &mut Scratch,
) {
    let (c, heads) = (model.shape.width, model.shape.heads);
    let Scratch {
        block,
        attention,
        statistics,
        ..
    } = scratch;
    let rows = part.rows;
    let of_rows = rows.start * c..rows.end * c;
    block.attended.resize(of_rows.len());
    block.logs.resize(rows.len() * heads);
    let problem = attention::cpu::Problem {
        queries: rows.len(),
        keys: rows.end,
        width: c,
        heads,
        visible: Visible::behind(rows.start),
        masked: None,
    };
    let (q, kv) = (&known.q[of_rows.clone()], &known.kv[..rows.end * 2 * c]);
    let Block { attended, logs, .. } = block;
    attention::cpu::forward(model.level, problem, q, kv, attended, logs, attention);
    add_projection(model, layer, None, &known.x[of_rows], block);
    add_mlp(model, layer, None, block, part.x);
    let pair = &model.layout.blocks[layer + 1].norm_1;
    let (gain, bias) = (model.of(&pair.weight), model.of(&pair.bias));
    statistics.resize(rows.len(), [0.0; 2]);
    layer_norm::cpu::forward(model.level, part.x, gain, bias, part.normed, statistics);
    if !part.q.is_empty() {
        project_queries(model, layer + 1, part.normed, part.q);
        project_keys_values(model, layer + 1, part.normed, part.kv);
    }
}

/// One token's attention, all heads: over every row of kv.
fn ask(actor: Actor<'_>, q: &[f32], kv: &[f32], scores: &mut Buffer, out: &mut [f32]) {
    let shape = actor.model.shape;
    let (c, d) = (shape.width, shape.width / shape.heads);
    scores.resize(kv.len() / (2 * c));
    for head in (0..c).step_by(d) {
        let part = head..head + d;
        let (keys, values) = (&kv[head..], &kv[c + head..]);
        let (q, out) = (&q[part.clone()], &mut out[part]);
        let (strides, scale) = ((2 * c, 2 * c), 1.0 / (d as f32).sqrt());
        attention::cpu::one_query(
            actor.model.level,
            q,
            keys,
            values,
            strides,
            scale,
            scores,
            out,
        );
    }
}

/// The last layer for the newest token, without keys and values: `scratch.stream` becomes its one row.
fn answer(actor: Actor<'_>, tokens: &Tokens, scratch: &mut Scratch) {
    let Actor {
        model,
        keys_across,
        values,
    } = actor;
    let Scratch {
        block,
        stream,
        across,
        mixed,
        scores,
        ..
    } = scratch;
    let (c, heads) = (model.shape.width, model.shape.heads);
    let (d, layer, level) = (c / heads, model.shape.layers - 1, model.level);
    let newest = tokens.x.len() - c..tokens.x.len();
    block.q.resize(c);
    project_queries(model, layer, &tokens.normed[newest.clone()], &mut block.q);
    scores.resize(tokens.x.len() / c);
    across.resize(c);
    mixed.resize(c);
    block.attended.resize(c);
    let bias = &model.of(&model.layout.blocks[layer].qkv.bias)[2 * c..];
    for (head, values) in values.iter().enumerate() {
        let part = head * d..(head + 1) * d;
        let left = Left::rows(&block.q[part.clone()], 1, d);
        let finish = Store {
            to: across,
            stride: c,
        };
        product(level, left, keys_across.part(part.clone(), c), finish);
        let (keys, scale) = (&tokens.normed, 1.0 / (d as f32).sqrt());
        attention::cpu::one_query(level, across, keys, keys, (c, c), scale, scores, mixed);
        let bias = &bias[part.clone()];
        let finish = StoreWithBias {
            bias,
            to: &mut block.attended[part],
            stride: d,
        };
        product(level, Left::rows(mixed, 1, c), values.all(), finish);
    }
    add_projection(model, layer, None, &tokens.x[newest], block);
    stream.resize(c);
    add_mlp(model, layer, None, block, stream);
}
