//! The engine: distributes a batch of windows over threads and sums their gradients in a fixed
//! order.

use super::block::cpu::Weights as BlockWeights;
use super::embedding;
use super::group::{Group, rows_at_a_time};
use super::layout::Layout;
use super::mixer::scan;
use super::network::Network;
use super::network::packing::{Packing, Purpose};
use super::position;
use super::shape::{MixerKind, Shape};
use super::trunk::memory::Memory;
use super::trunk::weights::Weights;
use super::trunk::{
    Model, backward::backward, deviations, forward::forward, next_observations, returns,
};
use super::windows::Windows;
use crate::buffer::Buffer;
use crate::dropout::Dropout;
use crate::likelihood::{Entropy, Likelihood};
use crate::loss::{self, Denominator, Objective};
use crate::precision::Precision;
use crate::simd::Level;
use crate::threads;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;

/// The most tokens that a thread processes together, except for a window that has more. The tokens
/// of an LSTM's window follow each other, and the rows of their products are windows: about twelve,
/// a register tile.
fn group_tokens(shape: &Shape) -> usize {
    let rows = rows_at_a_time(shape);
    match shape.mixer {
        MixerKind::Scan => scan::rows_at_a_time(shape),
        MixerKind::Lstm => (12 * shape.condition.tokens(shape.context)).clamp(rows, rows.max(2048)),
        MixerKind::Attention | MixerKind::Convolution | MixerKind::Linear => rows,
    }
}

/// Trains and predicts on the CPU. Owns its threads and all memory, and allocates nothing after the
/// first call.
#[derive(Debug)]
pub struct Engine {
    shape: Shape,
    layout: Layout,
    level: Level,
    precision: Precision,
    /// Whether the last layer's mixer uses its shortcut in training.
    shortcut: bool,
    pool: Option<ThreadPool>,
    weights: Weights,
    workers: Vec<Worker>,
    entropy: Entropy,
}

/// The state of one thread.
#[derive(Debug, Default)]
struct Worker {
    group: Group,
    memory: Memory,
    gradient: Buffer,
    loss: f64,
    likelihood: Likelihood,
}

/// What a thread computes for each group.
#[derive(Clone, Copy)]
struct Task<'a> {
    model: Model<'a>,
    windows: &'a Windows<'a>,
    dropout: Option<&'a Dropout>,
    objective: Objective,
    count: usize,
    /// Of a stochastic policy: how its entropy counts.
    entropy: Entropy,
    /// What errors of returns-to-go are divided by, and how many of them the mean counts.
    returns: (f64, usize),
    /// Whether the gradient is wanted, too.
    learns: bool,
}

impl Engine {
    /// An engine of `threads` threads (at least one). Uses only the calling thread if the system
    /// refuses to start threads.
    ///
    /// # Panics
    /// If a size of the shape is zero or the width is not a multiple of the heads.
    pub fn new(shape: Shape, threads: usize) -> Self {
        Self::with(shape, threads, Precision::F32)
    }

    /// The same with a given precision.
    ///
    /// # Panics
    /// As [`Engine::new`], or if the precision [is not available](Precision::is_available).
    pub fn with(shape: Shape, threads: usize, precision: Precision) -> Self {
        assert!(precision.is_available(), "this CPU has no {precision:?}");
        Self::at(Level::detect(), shape, threads, precision)
    }

    /// The same with a given instruction set; emulates a precision that the CPU lacks.
    ///
    /// # Panics
    /// As [`Engine::new`].
    pub fn at(level: Level, shape: Shape, threads: usize, precision: Precision) -> Self {
        let Shape {
            observation,
            action,
            context,
            width,
            heads,
            layers,
            timesteps,
            ..
        } = shape;
        let sizes = [
            observation,
            action,
            context,
            width,
            heads,
            layers,
            timesteps,
        ];
        assert!(
            sizes.iter().all(|size| *size > 0),
            "no size of {shape:?} may be zero"
        );
        assert!(
            width % heads == 0,
            "{heads} heads do not divide a width of {width}"
        );
        assert!(
            shape.next_observation.is_none() || shape.deviation.is_none(),
            "next observations follow from deterministic actions"
        );
        let pool = threads::start(threads, "engine");
        let workers = pool.as_ref().map_or(1, ThreadPool::current_num_threads);
        let layout = Layout::new(&shape);
        let last = layout.blocks.last();
        Self {
            shortcut: last.is_some_and(|block| block.mixer.has_shortcut(precision, &shape)),
            layout,
            shape,
            level,
            precision,
            pool,
            weights: Weights::default(),
            workers: (0..workers).map(|_| Worker::default()).collect(),
            entropy: Entropy::default(),
        }
    }

    /// The sizes of the model.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The range of each parameter.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// The instruction set.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The precision of the large products' factors.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How the entropy of a stochastic policy counts in the following batches; at first, not at
    /// all. A deterministic one has none.
    pub fn set_entropy(&mut self, entropy: Entropy) {
        self.entropy = entropy;
    }

    /// The likelihood of the last batch's actions, or of what was computed of it, in a stochastic
    /// policy; zeros of a deterministic one.
    pub fn likelihood(&self) -> Likelihood {
        let parts = self.workers.iter().map(|worker| worker.likelihood);
        parts.fold(Likelihood::default(), Likelihood::plus)
    }

    /// The loss of a batch: `objective` or, for a stochastic policy, that of
    /// [`likelihood`](crate::likelihood). Its gradient is added to `gradient` (as long as
    /// the parameters). A batch without valid steps has loss 0 and no gradient. The same input and
    /// number of threads give the same bits.
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn loss_and_gradient(
        &mut self,
        parameters: &[f32],
        windows: &Windows<'_>,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
        gradient: &mut [f32],
    ) -> f64 {
        let loss = self.learn(parameters, windows, objective, denominator, dropout);
        self.add_gradient(gradient);
        loss
    }

    /// The loss of a batch. Like [`Engine::loss_and_gradient`], but the gradient stays in the
    /// engine until the next call.
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn learn(
        &mut self,
        parameters: &[f32],
        windows: &Windows<'_>,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        let part = (windows, 0..windows.lengths.len());
        self.learn_part(parameters, part, objective, denominator, dropout)
    }

    /// What some windows of a batch contribute to its loss and gradient: those of all parts of a
    /// batch add up to what [`Engine::learn`] computes. The denominator and the dropout masks are
    /// those of the batch.
    ///
    /// # Panics
    /// As [`Engine::learn`], or if the windows are not in the batch.
    pub fn learn_part(
        &mut self,
        parameters: &[f32],
        part: (&Windows<'_>, Range<usize>),
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        self.run(parameters, part, (objective, denominator), dropout, true)
    }

    /// The loss of a batch without dropout. No gradient is computed.
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn loss(
        &mut self,
        parameters: &[f32],
        windows: &Windows<'_>,
        objective: Objective,
        denominator: Denominator,
    ) -> f64 {
        let part = (windows, 0..windows.lengths.len());
        self.run(parameters, part, (objective, denominator), None, false)
    }

    /// Adds the gradient of the last [`Engine::learn`] to `gradient`.
    ///
    /// # Panics
    /// If `gradient` does not have the length of the parameters.
    pub fn add_gradient(&self, gradient: &mut [f32]) {
        self.add_up(gradient, |level, worker, to| {
            embedding::cpu::add(level, worker, to);
        });
    }

    /// Writes the gradient of the last [`Engine::learn`] to `gradient`.
    ///
    /// # Panics
    /// If `gradient` does not have the length of the parameters.
    pub fn write_gradient(&self, gradient: &mut [f32]) {
        self.add_up(gradient, |_, worker, to| to.copy_from_slice(worker));
    }

    /// Sums the workers' gradients in the order of the workers; `begin` takes the first one.
    fn add_up(&self, gradient: &mut [f32], begin: impl Fn(Level, &[f32], &mut [f32]) + Sync) {
        /// Numbers per block, few enough to stay in the cache while all workers' parts are added.
        const BLOCK: usize = 4096;
        assert_eq!(
            gradient.len(),
            self.layout.len(),
            "a gradient for each parameter"
        );
        let part = gradient.len().div_ceil(self.workers.len());
        let mut parts: Vec<_> = gradient.chunks_mut(part).collect();
        each(self.pool.as_ref(), &mut parts, &|index, to| {
            let starts = (index * part..).step_by(BLOCK);
            for (start, to) in starts.zip(to.chunks_mut(BLOCK)) {
                let range = start..start + to.len();
                let (first, others) = self.workers.split_at(1);
                begin(self.level, &first[0].gradient[range.clone()], to);
                for worker in others {
                    embedding::cpu::add(self.level, &worker.gradient[range.clone()], to);
                }
            }
        });
    }

    fn run(
        &mut self,
        parameters: &[f32],
        (windows, part): (&Windows<'_>, Range<usize>),
        (objective, denominator): (Objective, Denominator),
        dropout: Option<&Dropout>,
        learns: bool,
    ) -> f64 {
        self.check(parameters, windows);
        windows.check_targets(&self.shape);
        let steps = match denominator {
            Denominator::Valid => windows.steps(),
            Denominator::All | Denominator::Steps => windows.lengths.len() * windows.context,
        };
        if learns && windows.steps() == 0 {
            for worker in &mut self.workers {
                worker.gradient.resize(parameters.len());
                worker.gradient.fill(0.0);
            }
        }
        if windows.steps() == 0 {
            let workers = self.workers.iter_mut();
            workers.for_each(|worker| worker.likelihood = Likelihood::default());
            return 0.0;
        }
        let (shortcut, entropy) = (self.shortcut, self.entropy);
        self.pack(parameters, Purpose::Training { shortcut });
        let shares = windows.shares(part, self.workers.len());
        let (model, workers, pool) = self.split(parameters);
        let count = match model.network.shape.deviation {
            None => objective.count(denominator, steps, model.network.shape.action),
            Some(_) => steps,
        };
        let task = Task {
            model,
            windows,
            dropout,
            objective,
            count,
            entropy,
            returns: (windows.mean_magnitude_of_returns(), steps),
            learns,
        };
        each(pool, workers, &|index, worker| {
            if learns {
                worker.gradient.resize(parameters.len());
                worker.gradient.fill(0.0);
            }
            worker.learn(task, shares[index].clone());
        });
        self.workers.iter().map(|worker| worker.loss).sum()
    }

    /// The predictions of a batch without dropout, B x K x A; zero at padded steps.
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn predict(&mut self, parameters: &[f32], windows: &Windows<'_>, predictions: &mut [f32]) {
        self.check(parameters, windows);
        let rows = windows.lengths.len() * windows.context;
        assert_eq!(
            predictions.len(),
            rows * self.shape.action,
            "predictions are B x K x A"
        );
        self.pack(parameters, Purpose::Prediction);
        predictions.fill(0.0);
        let shares = windows.shares(0..windows.lengths.len(), self.workers.len());
        let row = windows.context * self.shape.action;
        let (model, workers, pool) = self.split(parameters);
        let mut rest = predictions;
        let mut jobs = Vec::new();
        for (worker, share) in workers.iter_mut().zip(shares) {
            let (mine, others) = std::mem::take(&mut rest).split_at_mut(share.len() * row);
            rest = others;
            jobs.push((worker, share, mine));
        }
        each(pool, &mut jobs, &|_, (worker, share, mine)| {
            worker.predict(model, windows, share.clone(), mine);
        });
    }

    fn check(&self, parameters: &[f32], windows: &Windows<'_>) {
        assert_eq!(
            parameters.len(),
            self.layout.len(),
            "the parameters have the layout's length"
        );
        windows.check(&self.shape);
    }

    fn pack(&mut self, parameters: &[f32], purpose: Purpose) {
        let packing = Packing {
            level: self.level,
            precision: self.precision,
            purpose,
        };
        let Self {
            layout,
            weights,
            pool,
            ..
        } = self;
        let spread = |blocks: &mut [BlockWeights],
                      work: &(dyn Fn(usize, &mut BlockWeights) + Sync)| {
            each(pool.as_ref(), blocks, work);
        };
        weights.pack(packing, layout, parameters, spread);
    }

    fn split<'a>(
        &'a mut self,
        parameters: &'a [f32],
    ) -> (Model<'a>, &'a mut [Worker], Option<&'a ThreadPool>) {
        let Self {
            level,
            precision,
            shape,
            layout,
            weights,
            pool,
            workers,
            ..
        } = self;
        let network = Network {
            level: *level,
            precision: *precision,
            shape,
            parameters,
        };
        let model = Model {
            network,
            layout,
            weights,
        };
        (model, workers, pool.as_ref())
    }
}

impl Worker {
    /// Runs `work` on each group of each worker's share of the windows.
    fn groups(
        &mut self,
        windows: &Windows<'_>,
        share: Range<usize>,
        shape: &Shape,
        mut work: impl FnMut(&Group, &mut Memory, &mut Buffer),
    ) {
        let (condition, most_tokens) = (shape.condition, group_tokens(shape));
        self.group.clear();
        for window in share {
            let tokens = condition.tokens(windows.lengths[window]);
            if self.group.tokens > 0 && self.group.tokens + tokens > most_tokens {
                work(&self.group, &mut self.memory, &mut self.gradient);
                self.group.clear();
            }
            self.group.push(condition, windows, window);
        }
        if self.group.tokens > 0 {
            work(&self.group, &mut self.memory, &mut self.gradient);
        }
    }

    fn learn(&mut self, task: Task<'_>, share: Range<usize>) {
        let Task {
            model,
            windows,
            dropout,
            objective,
            count,
            entropy,
            returns: of_returns,
            learns,
        } = task;
        let shape = model.network.shape;
        let (mut total, mut likelihood) = (0.0, Likelihood::default());
        self.groups(
            windows,
            share,
            model.network.shape,
            |group, memory, gradient| {
                forward(model, group, windows, dropout, memory);
                memory.targets.clear();
                for sequence in &group.sequences {
                    memory
                        .targets
                        .extend(windows.sequence(sequence.window).actions);
                }
                if let Some(deviation) = shape.deviation {
                    let scales = (entropy, count);
                    let part = deviations::loss((model, deviation), group, scales, memory);
                    likelihood = likelihood.plus(part);
                    total += part.loss(entropy.temperature);
                } else {
                    let Memory {
                        predictions,
                        targets,
                        logits_gradient: dz,
                        ..
                    } = memory;
                    dz.resize(predictions.len());
                    let (head, a) = (shape.head, shape.action);
                    total += loss::cpu::loss(head, objective, predictions, targets, a, count, dz);
                }
                total += returns::loss(model, group, windows, of_returns, memory);
                total += next_observations::loss(model, group, windows, of_returns.1, memory);
                if learns {
                    backward(model, group, windows, dropout, memory, gradient);
                }
            },
        );
        if learns {
            position::backward(model.layout, &mut self.gradient);
        }
        (self.loss, self.likelihood) = (total, likelihood);
    }

    fn predict(
        &mut self,
        model: Model<'_>,
        windows: &Windows<'_>,
        share: Range<usize>,
        predictions: &mut [f32],
    ) {
        let a = model.network.shape.action;
        let start = share.start;
        self.groups(windows, share, model.network.shape, |group, memory, _| {
            forward(model, group, windows, None, memory);
            for sequence in &group.sequences {
                let at = (sequence.window - start) * windows.context + sequence.first_step;
                let rows = sequence.step_rows();
                let found = &memory.predictions[rows.start * a..rows.end * a];
                predictions[at * a..(at + sequence.steps) * a].copy_from_slice(found);
            }
        });
    }
}

/// Runs `work` on each item, on the thread pool if there is one.
fn each<T: Send>(
    pool: Option<&ThreadPool>,
    items: &mut [T],
    work: &(dyn Fn(usize, &mut T) + Sync),
) {
    match pool {
        Some(pool) if items.len() > 1 => pool.install(|| {
            items
                .par_iter_mut()
                .enumerate()
                .with_max_len(1)
                .for_each(|(i, item)| work(i, item));
        }),
        _ => items
            .iter_mut()
            .enumerate()
            .for_each(|(i, item)| work(i, item)),
    }
}

mod update;

#[cfg(test)]
mod tests;
