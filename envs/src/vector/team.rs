//! Rows that several threads step together.
//!
//! The rows are cut into shares, some for each thread. A share is moved to the next free thread,
//! with its actions in it, and moved back with the results of the step; so no memory is shared and
//! nothing is allocated. Which thread steps which share has no influence on the numbers.

use super::{
    autoreset::Autoreset,
    batch::{Batch, Outcome, StepRequest, step_row},
};
use crate::Env;
use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

/// Shares for each thread: more of them even out rows that take longer than others.
const SHARES: usize = 4;

/// Adjacent rows with everything that one step of them needs.
struct Share<E> {
    /// The number of the first row.
    first: usize,
    envs: Vec<E>,
    /// The rows that step, counted from the first one.
    active: Vec<usize>,
    /// Actions of these rows, one after the other.
    actions: Vec<f64>,
    /// Numbers in one action.
    width: usize,
    autoreset: Autoreset,
    outcome: Outcome,
}

impl<E: Env> Share<E> {
    /// Copies the request for these rows and their previous results.
    fn prepare(&mut self, request: StepRequest, before: &Outcome) {
        let rows = self.first..self.first + self.envs.len();
        self.active.clear();
        match request.active {
            None => self.active.extend(0..self.envs.len()),
            Some(active) => {
                let own = active.iter().filter(|row| rows.contains(row));
                self.active.extend(own.map(|row| row - self.first));
            }
        }
        self.width = request.width;
        self.autoreset = request.autoreset;
        self.actions.clear();
        for &here in &self.active {
            let row = self.first + here;
            self.actions
                .extend_from_slice(&request.actions[row * request.width..][..request.width]);
            let (to, from, width) = (here * before.width, row * before.width, before.width);
            self.outcome.observations[to..][..width]
                .copy_from_slice(&before.observations[from..][..width]);
            self.outcome.terminated[here] = before.terminated[row];
            self.outcome.truncated[here] = before.truncated[row];
        }
    }

    fn step(&mut self) {
        for (&here, action) in self.active.iter().zip(self.actions.chunks(self.width)) {
            let env = &mut self.envs[here];
            step_row(env, here, action, self.autoreset, &mut self.outcome);
        }
    }

    /// Copies the results of the step to those of all rows.
    fn report(&self, whole: &mut Outcome) {
        let (width, part) = (whole.width, &self.outcome);
        for &here in &self.active {
            let row = self.first + here;
            let (to, from) = (row * width, here * width);
            whole.observations[to..][..width].copy_from_slice(&part.observations[from..][..width]);
            whole.rewards[row] = part.rewards[here];
            whole.terminated[row] = part.terminated[here];
            whole.truncated[row] = part.truncated[here];
            if part.terminated[here] || part.truncated[here] {
                whole.final_observations[to..][..width]
                    .copy_from_slice(&part.final_observations[from..][..width]);
            }
        }
    }
}

/// The queue of shares.
struct Table<E> {
    waiting: Vec<Share<E>>,
    stepped: Vec<Share<E>>,
    /// The message of the first panic of an environment.
    panic: Option<Box<dyn Any + Send>>,
    is_closed: bool,
}

struct WorkQueue<E> {
    table: Mutex<Table<E>>,
    /// There are shares to take, or the team shuts down.
    work: Condvar,
    /// All shares have been stepped.
    rest: Condvar,
    shares: usize,
}

impl<E: Env> WorkQueue<E> {
    fn table(&self) -> MutexGuard<'_, Table<E>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps shares until none is left.
    fn work<'a>(&'a self, mut table: MutexGuard<'a, Table<E>>) -> MutexGuard<'a, Table<E>> {
        while let Some(mut share) = table.waiting.pop() {
            drop(table);
            // The share's environments are not used again unless the caller insists.
            let result = catch_unwind(AssertUnwindSafe(|| share.step()));
            table = self.table();
            if let Err(panic) = result {
                table.panic.get_or_insert(panic);
            }
            table.stepped.push(share);
            if table.stepped.len() == self.shares {
                self.rest.notify_one();
            }
        }
        table
    }

    /// The loop of a worker thread.
    fn live(&self) {
        let mut table = self.table();
        while !table.is_closed {
            table = self.work(table);
            table = self
                .work
                .wait_while(table, |table| table.waiting.is_empty() && !table.is_closed)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Rows that several threads step together.
pub(super) struct ThreadTeam<E> {
    /// All shares, in order, between steps.
    shares: Vec<Share<E>>,
    /// Rows in each share but the last.
    size: usize,
    queue: Arc<WorkQueue<E>>,
    threads: Vec<JoinHandle<()>>,
}

impl<E: Env + 'static> ThreadTeam<E> {
    /// `threads` includes the one that calls; if the system refuses some, the others take over
    /// their shares.
    pub(super) fn new(envs: Vec<E>, threads: usize) -> Self {
        let rows = envs.len();
        let size = rows.div_ceil(SHARES * threads).max(1);
        let mut envs = envs.into_iter();
        let shares: Vec<_> = (0..rows)
            .step_by(size)
            .map(|first| {
                let envs: Vec<E> = envs.by_ref().take(size).collect();
                let width = envs
                    .first()
                    .map_or(0, |env| env.spec().observation_space.width());
                Share {
                    first,
                    active: Vec::with_capacity(envs.len()),
                    actions: Vec::new(),
                    width: 0,
                    autoreset: Autoreset::default(),
                    outcome: Outcome::new(envs.len(), width),
                    envs,
                }
            })
            .collect();
        let queue = Arc::new(WorkQueue {
            table: Mutex::new(Table {
                waiting: Vec::with_capacity(shares.len()),
                stepped: Vec::with_capacity(shares.len()),
                panic: None,
                is_closed: false,
            }),
            work: Condvar::new(),
            rest: Condvar::new(),
            shares: shares.len(),
        });
        let threads = (1..threads)
            .filter_map(|number| {
                let queue = Arc::clone(&queue);
                let thread = Builder::new().name(format!("rtg-envs-{number}"));
                thread.spawn(move || queue.live()).ok()
            })
            .collect();
        Self {
            shares,
            size,
            queue,
            threads,
        }
    }
}

impl<E> Drop for ThreadTeam<E> {
    fn drop(&mut self) {
        self.queue
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_closed = true;
        self.queue.work.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches every panic of an environment, so that join cannot fail.
            let _ = thread.join();
        }
    }
}

impl<E: Env + 'static> Batch for ThreadTeam<E> {
    fn step(&mut self, request: StepRequest, outcome: &mut Outcome) {
        for share in &mut self.shares {
            share.prepare(request, outcome);
        }
        let mut table = self.queue.table();
        table.waiting.append(&mut self.shares);
        self.queue.work.notify_all();
        table = self.queue.work(table);
        table = self
            .queue
            .rest
            .wait_while(table, |table| table.stepped.len() < self.queue.shares)
            .unwrap_or_else(PoisonError::into_inner);
        self.shares.append(&mut table.stepped);
        let panic = table.panic.take();
        drop(table);
        self.shares.sort_unstable_by_key(|share| share.first);
        for share in &self.shares {
            share.report(outcome);
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]) {
        self.shares[row / self.size].envs[row % self.size].reset(seed, observation);
    }

    fn env(&self, row: usize) -> &dyn Env {
        &self.shares[row / self.size].envs[row % self.size]
    }

    fn shared(mut self: Box<Self>, threads: usize) -> Box<dyn Batch> {
        let shares = mem::take(&mut self.shares);
        let envs: Vec<E> = shares.into_iter().flat_map(|share| share.envs).collect();
        Box::new(envs).shared(threads)
    }
}
