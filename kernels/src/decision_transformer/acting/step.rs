//! One step of some rows on one thread.
//!
//! Rows whose new tokens are appended go through the layers together, so that a weight that is in
//! the cache serves all of them. A row's bits do not depend on that: an element of a product
//! depends on its row and column alone.

use super::StepInputs;
use super::halves::Halves;
use super::helper::Helper;
use super::layer::{self, Layer};
use super::row::{Row, Step};
use super::slide::{Known, Tokens, slide};
use crate::buffer::Buffer;
use crate::decision_transformer::trunk::Model;
use crate::decision_transformer::trunk::forward::{apply_final_norm, apply_head};
use crate::decision_transformer::trunk::{deviations, returns};
use crate::loss;
use std::ops::Range;

/// The most rows that are worked on together: enough to share the reading of the weights, few
/// enough that their activations stay in the cache.
const TOGETHER: usize = 16;

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
    /// What the last layer gives of each row's newest token.
    answers: Buffer,
    /// R numbers of each row.
    returns_to_go: Vec<f32>,
    predictions: Buffer,
    /// The raw deviations of a stochastic policy.
    raw: Buffer,
}

/// A row that acts.
pub(super) struct Job<'a> {
    /// Its entry of the inputs.
    index: usize,
    row: &'a mut Row,
    /// Where its prediction goes, A numbers.
    action: &'a mut [f32],
    /// The tokens that the step adds.
    new: Range<usize>,
}

impl<'a> Job<'a> {
    pub(super) fn new(index: usize, row: &'a mut Row, action: &'a mut [f32]) -> Self {
        Self {
            index,
            row,
            action,
            new: 0..0,
        }
    }

    /// The new tokens that are in the window. With a context of one step, the previous action is
    /// not.
    fn fresh(&self) -> Range<usize> {
        self.new.start.max(self.row.window().start)..self.new.end
    }
}

/// One step of these rows. Only a row whose window slides uses the helper.
pub(super) fn act(
    model: Model<'_>,
    inputs: &StepInputs<'_>,
    jobs: &mut [Job<'_>],
    scratch: &mut Scratch,
    mut helper: Option<Helper<'_>>,
) {
    for jobs in jobs.chunks_mut(TOGETHER) {
        let helper = helper.as_mut().map(Helper::again);
        act_together(model, inputs, jobs, scratch, helper);
    }
}

fn act_together(
    model: Model<'_>,
    inputs: &StepInputs<'_>,
    jobs: &mut [Job<'_>],
    scratch: &mut Scratch,
    mut helper: Option<Helper<'_>>,
) {
    let condition = model.network.shape.condition;
    let numbers = condition.numbers();
    scratch.returns_to_go.clear();
    for job in &*jobs {
        let at = job.index * numbers;
        let given = &inputs.returns_to_go[at..at + numbers];
        scratch.returns_to_go.extend_from_slice(given);
    }
    if let Some(prediction) = condition.prediction() {
        // Up to the observation first, and its return-to-go instead of the given one.
        let helper = helper.as_mut().map(Helper::again);
        answer(model, inputs, jobs, 0, scratch, helper);
        let memory = (&mut scratch.normed, &mut scratch.statistics);
        let predicted = &mut scratch.predictions;
        predicted.resize(jobs.len() * prediction.numbers());
        returns::predict(model, &scratch.answers, memory, predicted);
        let predicted = predicted.chunks(prediction.numbers());
        let chosen = scratch.returns_to_go.iter_mut().zip(&mut *jobs);
        for ((return_to_go, job), predicted) in chosen.zip(predicted) {
            *return_to_go = prediction.chosen(predicted);
            job.row.promised = prediction.promised(predicted);
        }
    }
    answer(
        model,
        inputs,
        jobs,
        condition.predicting_token(),
        scratch,
        helper,
    );
    let Scratch {
        answers,
        normed,
        statistics,
        returns_to_go,
        predictions,
        raw,
        ..
    } = scratch;
    apply_final_norm(model, returns_to_go, answers, (normed, statistics));
    let a = model.network.shape.action;
    predictions.resize(jobs.len() * a);
    apply_head(model, normed, predictions);
    deviations::compute(model, normed, raw);
    if !raw.is_empty() {
        // Those of each row, or the same for all.
        let raw = raw.chunks(a).cycle();
        for (job, (means, raw)) in jobs.iter_mut().zip(predictions.chunks(a).zip(raw)) {
            job.row.means.copy_from_slice(means);
            job.row.raw_deviations.copy_from_slice(raw);
        }
    }
    loss::cpu::predict(model.network.shape.head, predictions);
    let found = predictions.chunks(a).zip(returns_to_go.chunks(numbers));
    for (job, (action, return_to_go)) in jobs.iter_mut().zip(found) {
        job.action.copy_from_slice(action);
        job.row.return_to_go = return_to_go[0];
    }
}

/// Adds the step's tokens up to the `newest`-th and writes to `scratch.answers` what the last layer
/// gives of that, C numbers a row.
fn answer(
    model: Model<'_>,
    inputs: &StepInputs<'_>,
    jobs: &mut [Job<'_>],
    newest: usize,
    scratch: &mut Scratch,
    mut helper: Option<Helper<'_>>,
) {
    let shape = model.network.shape;
    let c = shape.width;
    append(model, inputs, jobs, newest, scratch);
    let mut answers = std::mem::take(&mut scratch.answers);
    answers.resize(jobs.len() * c);
    let sliding = jobs.iter().zip(answers.chunks_mut(c));
    for (job, answer) in sliding.filter(|(job, _)| !job.row.appends(shape)) {
        let window = job.row.window();
        let known = Known {
            newest,
            x: job.row.embedded(&window, c),
            kept: model.layout.blocks[0]
                .mixer
                .kept(&job.row.caches[0], &window),
        };
        slide(model, known, scratch, helper.as_mut().map(Helper::again));
        answer.copy_from_slice(&scratch.stream);
    }
    extend(model, jobs, newest, scratch, helper, &mut answers);
    scratch.answers = answers;
}

/// Puts the new tokens behind the others of their rows, with what the first layer makes of each.
fn append(
    model: Model<'_>,
    inputs: &StepInputs<'_>,
    jobs: &mut [Job<'_>],
    newest: usize,
    scratch: &mut Scratch,
) {
    let network = model.network;
    let (c, first) = (network.shape.width, Layer::new(model, 0, newest));
    let Scratch {
        layer: memory,
        embedded,
        normed,
        statistics,
        stream,
        returns_to_go,
        ..
    } = scratch;
    embedded.resize(jobs.len() * network.shape.condition.stride() * c);
    let mut end = 0;
    let returns_to_go = returns_to_go.chunks(network.shape.condition.numbers());
    for (job, return_to_go) in jobs.iter_mut().zip(returns_to_go) {
        let step = Step::of(inputs, job.index, network.shape, return_to_go);
        job.new = job.row.append(model, &step, newest, &mut embedded[end..]);
        end += job.new.len() * c;
    }
    model.embed_norm(&embedded[..end], stream, statistics);
    first.norm(stream, normed, statistics);
    let mut rest = &**stream;
    let places = jobs.iter_mut().map(|job| {
        let (these, others) = rest.split_at(job.new.len() * c);
        job.row.keep(&job.new, these);
        rest = others;
        let cache = &mut job.row.caches[0];
        (job.new.len(), first.at.mixer.places(cache, &job.new))
    });
    (first.mixer()).keep_each(normed, places, &mut memory.mixer);
}

/// The new tokens of the rows that append them, through all layers, behind the cached ones.
fn extend(
    model: Model<'_>,
    jobs: &mut [Job<'_>],
    newest: usize,
    scratch: &mut Scratch,
    helper: Option<Helper<'_>>,
    answers: &mut [f32],
) {
    let (shape, c) = (model.network.shape, model.network.shape.width);
    let appends = |job: &&mut Job<'_>| job.row.appends(shape);
    let stream = &mut scratch.stream;
    let tokens: usize = (jobs.iter_mut().filter(appends))
        .map(|job| job.fresh().len())
        .sum();
    if tokens == 0 {
        return;
    }
    stream.resize(tokens * c);
    let mut end = 0;
    for job in jobs.iter_mut().filter(appends) {
        let fresh = job.row.embedded(&job.fresh(), c);
        stream[end..end + fresh.len()].copy_from_slice(fresh);
        end += fresh.len();
    }
    match helper {
        Some(helper) if Halves::pay(model) => {
            let halves = helper.halves;
            halves.begin();
            helper.run(
                |scratch| {
                    let _end = halves.helping();
                    for index in 0..model.layout.blocks.len() {
                        let half = Layer::new(model, index, newest).half(1);
                        halves.help(half, &mut scratch.layer.hidden);
                    }
                },
                || {
                    let _end = halves.owning();
                    extend_through(model, jobs, newest, scratch, Some(halves));
                },
            );
        }
        _ => extend_through(model, jobs, newest, scratch, None),
    }
    let answers = jobs.iter_mut().zip(answers.chunks_mut(c));
    let answers = answers.filter(|(job, _)| job.row.appends(shape));
    for ((_, answer), found) in answers.zip(scratch.stream.chunks(c)) {
        answer.copy_from_slice(found);
    }
}

/// The new tokens, in `scratch.stream`, through all layers.
fn extend_through(
    model: Model<'_>,
    jobs: &mut [Job<'_>],
    newest: usize,
    scratch: &mut Scratch,
    halves: Option<&Halves>,
) {
    let (shape, c) = (model.network.shape, model.network.shape.width);
    let appends = |job: &&mut Job<'_>| job.row.appends(shape);
    let Scratch {
        layer: memory,
        stream,
        normed,
        statistics,
        ..
    } = scratch;
    for index in 0..model.layout.blocks.len() {
        let layer = Layer::new(model, index, newest);
        let mixer = &layer.at.mixer;
        if index > 0 {
            layer.norm(stream, normed, statistics);
            let places = jobs.iter_mut().filter(appends).map(|job| {
                let fresh = job.fresh();
                let cache = &mut job.row.caches[index];
                (fresh.len(), mixer.places(cache, &fresh))
            });
            (layer.mixer()).keep_each(normed, places, &mut memory.mixer);
        }
        for job in jobs.iter_mut().filter(appends) {
            let fresh = job.fresh();
            layer.advance(&mut job.row.caches[index], &fresh, memory);
        }
        let last = model.is_last(index);
        if last {
            let counts = jobs.iter_mut().filter(appends).map(|job| job.fresh().len());
            keep_newest(counts, c, stream);
        }
        let runs = jobs.iter_mut().filter(appends).map(|job| {
            let (window, fresh) = (job.row.window(), job.fresh());
            let requested = if last {
                fresh.end - 1..fresh.end
            } else {
                fresh
            };
            let kept = mixer.kept(&job.row.caches[index], &window);
            (
                kept,
                requested.start - window.start..requested.end - window.start,
            )
        });
        layer.mix(stream, memory, |mixer, scratch, branch| {
            mixer.extend_each(runs, scratch, branch);
        });
        layer.finish(memory, halves, stream);
    }
}

/// Keeps the last of each run of tokens.
fn keep_newest(counts: impl Iterator<Item = usize>, c: usize, stream: &mut Buffer) {
    let (mut kept, mut end) = (0, 0);
    for count in counts {
        end += count;
        stream.copy_within((end - 1) * c..end * c, kept * c);
        kept += 1;
    }
    stream.resize(kept * c);
}
