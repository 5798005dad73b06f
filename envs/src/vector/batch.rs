//! Rows of one concrete type behind one virtual call, and one row's step.

use super::autoreset::Autoreset;
use crate::{Env, Step};

/// The results of the rows' last step.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Numbers in one observation.
    pub(super) width: usize,
    pub(super) observations: Vec<f64>,
    pub(super) rewards: Vec<f64>,
    pub(super) terminated: Vec<bool>,
    pub(super) truncated: Vec<bool>,
    pub(super) final_observations: Vec<f64>,
}

impl Outcome {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self {
            width,
            observations: vec![0.0; rows * width],
            rewards: vec![0.0; rows],
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            final_observations: vec![0.0; rows * width],
        }
    }

    /// Whether any row's episode is over.
    pub(super) fn is_any_over(&self) -> bool {
        // Without branches, so vectorised.
        let any = |flags: &[bool]| flags.iter().fold(false, |any, &is| any | is);
        any(&self.terminated) | any(&self.truncated)
    }

    #[inline]
    pub(super) fn observation(&mut self, row: usize) -> &mut [f64] {
        &mut self.observations[row * self.width..][..self.width]
    }
}

/// The request for one step.
#[derive(Clone, Copy)]
pub(crate) struct StepRequest<'a> {
    /// The rows that step; `None` is all of them.
    pub(super) active: Option<&'a [usize]>,
    /// Rows x A.
    pub(super) actions: &'a [f64],
    /// Numbers in one action.
    pub(super) width: usize,
    pub(super) autoreset: Autoreset,
}

/// Rows of one concrete type behind one virtual call.
pub(crate) trait Batch: Send {
    fn step(&mut self, request: StepRequest, outcome: &mut Outcome);
    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]);
    fn env(&self, row: usize) -> &dyn Env;
    /// The same rows, divided among `threads` threads.
    fn shared(self: Box<Self>, threads: usize) -> Box<dyn Batch>;
}

/// Steps a row; `row` is its index in the outcome.
#[inline]
pub(super) fn step_row<E: Env>(
    env: &mut E,
    row: usize,
    action: &[f64],
    autoreset: Autoreset,
    outcome: &mut Outcome,
) {
    if restart_if_over(env, row, autoreset, outcome) {
        return;
    }
    let step = env.step(action, outcome.observation(row));
    note(env, row, step, autoreset, outcome);
}

/// Resets a row whose episode is over, if this step is for that; returns whether it did.
#[inline]
pub(super) fn restart_if_over<E: Env>(
    env: &mut E,
    row: usize,
    autoreset: Autoreset,
    outcome: &mut Outcome,
) -> bool {
    let is_over = outcome.terminated[row] || outcome.truncated[row];
    let restarts = is_over && autoreset == Autoreset::NextStep;
    if restarts {
        restart(env, row, outcome);
    }
    restarts
}

#[cold]
fn restart<E: Env>(env: &mut E, row: usize, outcome: &mut Outcome) {
    env.reset(None, outcome.observation(row));
    outcome.rewards[row] = 0.0;
    outcome.terminated[row] = false;
    outcome.truncated[row] = false;
}

/// Stores the result of a step, except the observation, which is stored already, and resets the row
/// if the autoreset mode does so in the same step.
#[inline]
pub(super) fn note<E: Env>(
    env: &mut E,
    row: usize,
    step: Step,
    autoreset: Autoreset,
    outcome: &mut Outcome,
) {
    outcome.rewards[row] = step.reward;
    outcome.terminated[row] = step.terminated;
    outcome.truncated[row] = step.truncated;
    if step.is_last() && autoreset == Autoreset::SameStep {
        keep_and_reset(env, row, outcome);
    }
}

#[cold]
fn keep_and_reset<E: Env>(env: &mut E, row: usize, outcome: &mut Outcome) {
    let (width, at) = (outcome.width, row * outcome.width);
    let last = &outcome.observations[at..][..width];
    outcome.final_observations[at..][..width].copy_from_slice(last);
    env.reset(None, outcome.observation(row));
}
