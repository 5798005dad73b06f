//! Rows of cheap environments, stepped many at a time.
//!
//! Each row keeps its own state. For a step the numbers of active rows are copied into blocks of a
//! few columns, where the loops of the physics vectorise, and the results are copied back. The
//! numbers are those of one row at a time, to the last bit.

use super::batch::{Batch, Outcome, StepRequest, note, restart_if_over, step_row};
use crate::{
    Env, TimeLimit,
    world::{Dynamics, World},
};

/// Environments side by side in a block: the f64 lanes of the widest vectors.
pub(crate) const LANES: usize = 16;

/// A column of a block.
pub(crate) type Column<T = f64> = [T; LANES];

/// Dynamics that step blocks of environments.
pub(crate) trait InColumns: Dynamics {
    /// [`LANES`] environments: a column for each number that a step reads or writes.
    type Block: Default + Send;

    /// Copies this state and its next action into a lane.
    fn enter(&self, action: &[f64], block: &mut Self::Block, lane: usize);

    /// One time step of all lanes.
    fn advance_blocks(blocks: &mut [Self::Block]);

    /// Copies the new state from the lane; returns what [`Dynamics::advance`] returns. `self` is
    /// still the state before the step.
    fn leave(&mut self, action: &[f64], block: &Self::Block, lane: usize) -> (f64, bool);
}

/// Rows whose dynamics step in blocks.
pub(crate) struct Columns<D: InColumns> {
    envs: Vec<TimeLimit<World<D>>>,
    blocks: Vec<D::Block>,
    /// The rows that take the step.
    stepping: Vec<usize>,
}

impl<D: InColumns> Columns<D> {
    pub(crate) fn new(envs: Vec<TimeLimit<World<D>>>) -> Self {
        Self {
            blocks: (0..envs.len().div_ceil(LANES))
                .map(|_| D::Block::default())
                .collect(),
            stepping: Vec::with_capacity(envs.len()),
            envs,
        }
    }
}

impl<D: InColumns + 'static> Batch for Columns<D> {
    fn step(&mut self, request: StepRequest, outcome: &mut Outcome) {
        let is_row_once = |active: &[usize]| active.is_sorted_by(|row, next| row < next);
        if !request.active.is_none_or(is_row_once) {
            return self.envs.step(request, outcome);
        }
        let Self {
            envs,
            blocks,
            stepping,
        } = self;
        let autoreset = request.autoreset;
        stepping.clear();
        match request.active {
            None => stepping.extend(0..envs.len()),
            Some(active) => stepping.extend(active),
        }
        if outcome.is_any_over() {
            stepping.retain(|&row| !restart_if_over(&mut envs[row], row, autoreset, outcome));
        }
        let action = |row: usize| &request.actions[row * request.width..][..request.width];
        // A block that is nearly empty costs more than its rows one by one.
        let filled = stepping.len() - stepping.len() % LANES;
        let filled = if stepping.len() - filled < LANES / 2 {
            filled
        } else {
            stepping.len()
        };
        let (together, alone) = stepping.split_at(filled);
        for (rows, block) in together.chunks(LANES).zip(&mut *blocks) {
            for (lane, &row) in rows.iter().enumerate() {
                (envs[row].inner().dynamics()).enter(action(row), block, lane);
            }
        }
        D::advance_blocks(&mut blocks[..filled.div_ceil(LANES)]);
        for (rows, block) in together.chunks(LANES).zip(&*blocks) {
            for (lane, &row) in rows.iter().enumerate() {
                let env = &mut envs[row];
                let step = env
                    .limited(|env| env.moved(|dynamics| dynamics.leave(action(row), block, lane)));
                env.observe(outcome.observation(row));
                note(env, row, step, autoreset, outcome);
            }
        }
        for &row in alone {
            step_row(&mut envs[row], row, action(row), autoreset, outcome);
        }
    }

    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]) {
        self.envs[row].reset(seed, observation);
    }

    fn env(&self, row: usize) -> &dyn Env {
        &self.envs[row]
    }

    fn shared(self: Box<Self>, threads: usize) -> Box<dyn Batch> {
        if threads == 1 {
            return self;
        }
        Box::new(self.envs).shared(threads)
    }
}
