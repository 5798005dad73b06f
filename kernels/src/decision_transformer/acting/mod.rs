//! Acting: the next action of many episodes at once, computing only what it depends on.
//!
//! A row is one running episode. While its episode fits into the context, a step appends its new
//! tokens (the previous action, the return-to-go, the observation) to the cached keys and values of
//! every layer, which is exact. Then the window slides: the oldest step leaves it, and every token
//! that attended to that step changes. Only what depends on a single token remains valid: the
//! embedded tokens and the first layer's keys and values. The rest is recomputed for the tokens of
//! the window, except that the last layer computes only the newest observation. There, with one
//! query q, keys and values need not be computed at all: with `n_j` the normed tokens
//!
//! ```text
//! q . k_j = q . (n_j Wk + bk) = n_j . (Wk q) + const, and the constant leaves the softmax;
//! sum_j p_j v_j = (sum_j p_j n_j) Wv + bv, because the p_j add up to one.
//! ```
//!
//! A scan's memory, or an LSTM's, moves with the newest token while the episode fits, and is
//! computed again once the window slides.
//!
//! Where every mixer reaches back a fixed number of tokens, and the window holds all that its
//! newest token depends on, nothing slides: a step's new tokens go through all layers, behind the
//! few tokens of each layer that they see. That is exact, too: not a bit differs from the whole
//! window's.
//!
//! Where the model predicts its return-to-go, a step comes in two parts: up to the observation,
//! whose token gives the return-to-go, and that, whose token gives the action.
//!
//! [`Memory::Streaming`] appends where the window would slide: each layer keeps the keys and values
//! of the last K steps as they were computed. That is attention over the whole episode in which a
//! token sees those steps only (`reference`).
//!
//! A row's actions have the same bits whichever rows act beside it: rows that append go through the
//! products together ([`step`]), a window that slides is worked on alone ([`slide`]). Many rows are
//! shared out to the threads. A single one is worked on by two ([`helper`]): they share the tokens
//! of a window that slides, or the columns of large MLPs of new tokens ([`halves`]). The second
//! stays awake between two decisions for up to a millisecond. With one thread, a step of one row
//! allocates nothing.

mod halves;
mod helper;
mod layer;
#[cfg(test)]
mod reference;
mod row;
mod slide;
mod step;

use super::layout::Layout;
use super::network::Network;
use super::network::packing::{Packing, Purpose};
use super::shape::Shape;
use super::trunk::Model;
use super::trunk::weights::Weights;
use crate::likelihood;
use crate::precision::Precision;
use crate::simd::Level;
use crate::threads;
use halves::Halves;
use helper::{Calls, Helper};
use rayon::ThreadPool;
use row::Row;
use slide::Handover;
use step::{Job, Scratch};

/// What acting remembers of an episode that is longer than the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// The model's function of the last K steps, nothing else.
    #[default]
    Exact,
    /// Each layer's keys and values of the last K steps as they were computed, from windows that
    /// began earlier. A step costs only its new tokens, but it is another function once the window
    /// slides: through the layers, a token depends on up to L K steps. Attention alone has it; the
    /// other mixers act exactly.
    Streaming,
}

/// Acts in many episodes in lock-step, or in one without allocating.
#[derive(Debug)]
pub struct Acting {
    shape: Shape,
    layout: Layout,
    level: Level,
    parameters: Vec<f32>,
    weights: Weights,
    /// The threads that work beside the calling one.
    pool: Option<ThreadPool>,
    /// Memory for each thread.
    scratch: Vec<Scratch>,
    handover: Handover,
    halves: Halves,
    calls: Calls,
    rows: Vec<Row>,
}

/// The inputs of one step; each array has an entry for every row, active or not.
#[derive(Clone, Copy, Debug)]
pub struct StepInputs<'a> {
    /// rows x S, normalised
    pub observations: &'a [f32],
    /// rows x R, scaled; ignored where the model predicts them
    pub returns_to_go: &'a [f32],
    /// rows, each below the rows of the timestep table
    pub timesteps: &'a [u32],
    /// rows x A, the action of the previous step, in the model's units; ignored at an episode's
    /// first step
    pub previous_actions: &'a [f32],
}

impl Acting {
    /// A policy for `rows` episodes with the given parameters, on at most `threads` threads.
    ///
    /// # Panics
    /// If the parameters do not have the length of the shape's layout.
    pub fn new(shape: Shape, parameters: &[f32], rows: usize, threads: usize) -> Self {
        Self::with(Memory::Exact, shape, parameters, rows, threads)
    }

    /// The same with a given memory.
    ///
    /// # Panics
    /// As [`Acting::new`].
    pub fn with(
        memory: Memory,
        shape: Shape,
        parameters: &[f32],
        rows: usize,
        threads: usize,
    ) -> Self {
        Self::at(Level::detect(), memory, shape, parameters, rows, threads)
    }

    /// The same with a given instruction set.
    ///
    /// # Panics
    /// As [`Acting::new`].
    pub fn at(
        level: Level,
        memory: Memory,
        shape: Shape,
        parameters: &[f32],
        rows: usize,
        threads: usize,
    ) -> Self {
        let threads = if rows > 1 { threads } else { threads.min(2) };
        let pool = threads::start_beside(threads, "acting");
        let workers = 1 + pool.as_ref().map_or(0, ThreadPool::current_num_threads);
        let mut acting = Self {
            shape,
            layout: Layout::new(&shape),
            level,
            parameters: Vec::new(),
            weights: Weights::default(),
            pool,
            scratch: (0..workers).map(|_| Scratch::default()).collect(),
            handover: Handover::new(shape.layers),
            halves: Halves::default(),
            calls: Calls::default(),
            rows: Vec::new(),
        };
        let new_row = |_| Row::new(&shape, &acting.layout, memory);
        acting.rows = (0..rows).map(new_row).collect();
        acting.set_parameters(parameters);
        acting
    }

    /// Replaces the parameters; every row must begin a new episode afterwards.
    ///
    /// # Panics
    /// If they do not have the length of the shape's layout.
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        assert_eq!(
            parameters.len(),
            self.layout.len(),
            "the parameters have the layout's length"
        );
        self.parameters.clear();
        self.parameters.extend_from_slice(parameters);
        let Self {
            level,
            layout,
            weights,
            ..
        } = self;
        let packing = Packing {
            level: *level,
            precision: Precision::F32,
            purpose: Purpose::Acting,
        };
        weights.pack(packing, layout, parameters, |blocks, pack| {
            blocks
                .iter_mut()
                .enumerate()
                .for_each(|(index, block)| pack(index, block));
        });
        self.rows.iter_mut().for_each(Row::begin);
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Starts a new episode in `row`.
    pub fn begin(&mut self, row: usize) {
        self.rows[row].begin();
    }

    /// What the row's last action was predicted with: its return-to-go of the scene or, where the
    /// model predicts it ([`Condition::Predicted`](super::Condition::Predicted)), that.
    pub fn return_to_go(&self, row: usize) -> f32 {
        self.rows[row].return_to_go
    }

    /// Where the model predicts returns-to-go, which return it expects of the row's last action:
    /// the [estimate](super::Estimate) beside bins, else [`Self::return_to_go`].
    pub fn promised(&self, row: usize) -> f32 {
        self.rows[row].promised
    }

    /// A sample of a stochastic policy for the row's last step, with noise from N(0, 1): A numbers
    /// each. Of a deterministic policy, nothing.
    ///
    /// # Panics
    /// If noise or action are shorter.
    pub fn sample(&self, row: usize, noise: &[f32], action: &mut [f32]) {
        let Some(deviation) = self.shape.deviation else {
            return;
        };
        let Row {
            means,
            raw_deviations,
            ..
        } = &self.rows[row];
        assert!(
            noise.len().min(action.len()) >= means.len(),
            "noise and action have A numbers"
        );
        let kind = (deviation, self.shape.largest_action());
        likelihood::cpu::sample(kind, (means, raw_deviations), noise, action);
    }

    /// The predictions of the active rows' next actions, into their rows of `actions` (rows x A;
    /// the others are left alone).
    ///
    /// # Panics
    /// If an array does not fit the rows and the shape, or a timestep the table.
    pub fn act(&mut self, active: &[usize], inputs: &StepInputs<'_>, actions: &mut [f32]) {
        let (rows, a) = (self.rows.len(), self.shape.action);
        assert_eq!(
            inputs.observations.len(),
            rows * self.shape.observation,
            "observations are rows x S"
        );
        assert_eq!(
            inputs.returns_to_go.len(),
            rows * self.shape.condition.numbers(),
            "returns-to-go are rows x R"
        );
        assert_eq!(inputs.timesteps.len(), rows, "one timestep a row");
        assert_eq!(
            inputs.previous_actions.len(),
            rows * a,
            "previous actions are rows x A"
        );
        assert_eq!(actions.len(), rows * a, "actions are rows x A");
        let Self {
            shape,
            layout,
            level,
            parameters,
            weights,
            pool,
            scratch,
            handover,
            halves,
            calls,
            ..
        } = self;
        let network = Network {
            level: *level,
            precision: Precision::F32,
            shape,
            parameters,
        };
        let model = Model {
            network,
            layout,
            weights,
        };
        let Some((first, others)) = scratch.split_first_mut() else {
            return;
        };
        if let [row] = active {
            let helper = pool.as_ref().zip(others.first_mut());
            let helper = helper.map(|(pool, scratch)| Helper {
                pool,
                scratch,
                handover,
                halves,
                calls,
            });
            let to = &mut actions[row * a..(row + 1) * a];
            let mut job = [Job::new(*row, &mut self.rows[*row], to)];
            return step::act(model, inputs, &mut job, first, helper);
        }
        let mut wanted = vec![false; rows];
        for row in active {
            wanted[*row] = true;
        }
        let all = self.rows.iter_mut().zip(actions.chunks_mut(a)).enumerate();
        let wanted = all.filter(|(index, _)| wanted[*index]);
        let mut jobs: Vec<_> = wanted
            .map(|(index, (row, to))| Job::new(index, row, to))
            .collect();
        let Some(pool) = pool else {
            return step::act(model, inputs, &mut jobs, first, None);
        };
        let share = jobs.len().div_ceil(1 + others.len()).max(1);
        let own = share.min(jobs.len());
        let (own, shares) = jobs.split_at_mut(own);
        pool.in_place_scope(|scope| {
            for (jobs, scratch) in shares.chunks_mut(share).zip(others) {
                scope.spawn(move |_| step::act(model, inputs, jobs, scratch, None));
            }
            step::act(model, inputs, own, first, None);
        });
    }
}

#[cfg(test)]
mod tests;
