//! Many copies of one environment, stepped together.
//!
//! All rows lie next to each other: observations are rows x S, actions rows x A. Nothing is
//! allocated in a step. The rows are of one concrete type, so a batch costs one virtual call and
//! the dynamics are compiled into the loop. Slow environments can be divided among
//! [threads](VecEnv::with_threads).

mod autoreset;
mod batch;
mod columns;
mod rows;
mod team;

pub use autoreset::Autoreset;
pub(crate) use batch::Batch;
pub(crate) use columns::{Column, Columns, InColumns, LANES};

use crate::{Env, Error, Spec};
use batch::{Outcome, StepRequest};

/// Copies of one environment as contiguous rows: registered ones by [`make_vec`](crate::make_vec).
///
/// ```
/// use rtg_envs::{Autoreset, make_vec};
/// let mut envs = make_vec("CartPole-v1", 3, Autoreset::SameStep)?;
/// envs.reset(Some(7)); // seeds 7, 8, 9
/// envs.step(&[0.0, 1.0, 1.0]);
/// assert_eq!(envs.observations().len(), 3 * 4);
/// assert_eq!(envs.rewards(), [1.0, 1.0, 1.0]);
/// # Ok::<(), rtg_envs::Error>(())
/// ```
pub struct VecEnv {
    batch: Box<dyn Batch>,
    spec: Spec,
    autoreset: Autoreset,
    outcome: Outcome,
    action_width: usize,
}

impl VecEnv {
    /// Rows made of custom environments, reset with seeds 0, 1, 2 ... All must be of one kind.
    pub fn from_envs<E: Env + 'static>(envs: Vec<E>, autoreset: Autoreset) -> Result<Self, Error> {
        if let Some(row) = envs.iter().position(|env| env.spec() != envs[0].spec()) {
            return Err(Error::MixedRows {
                row,
                expected: envs[0].spec().id.clone(),
                got: envs[row].spec().id.clone(),
            });
        }
        let rows = envs.len();
        Self::from_batch(Box::new(envs), rows, autoreset)
    }

    pub(crate) fn from_batch(
        batch: Box<dyn Batch>,
        rows: usize,
        autoreset: Autoreset,
    ) -> Result<Self, Error> {
        if rows == 0 {
            return Err(Error::NoRows);
        }
        let spec = batch.env(0).spec().clone();
        let outcome = Outcome::new(rows, spec.observation_space.width());
        let mut envs = Self {
            batch,
            autoreset,
            outcome,
            action_width: spec.action_space.width(),
            spec,
        };
        envs.reset(Some(0));
        Ok(envs)
    }

    /// The same rows, stepped by `threads` threads from now on, this one included; at first there
    /// is one. The others wait between steps, which costs some microseconds: that pays off for slow
    /// environments, such as `MuJoCo`'s, and not for classic control. The numbers stay the same.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        let threads = threads.clamp(1, self.rows());
        Self {
            batch: self.batch.shared(threads),
            ..self
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.outcome.rewards.len()
    }

    /// The description that all rows share.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Resets every row. `Some(seed)` gives row `i` the seed `seed + i`, as Gymnasium does; `None`
    /// continues with each row's own generator.
    pub fn reset(&mut self, seed: Option<u64>) {
        for row in 0..self.rows() {
            self.restart(row, seed.map(|seed| seed.wrapping_add(row as u64)));
        }
    }

    /// Resets one row, with its own seed; `None` continues with the row's generator.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reset_row(&mut self, row: usize, seed: impl Into<Option<u64>>) {
        self.restart(row, seed.into());
    }

    fn restart(&mut self, row: usize, seed: Option<u64>) {
        let width = self.outcome.width;
        self.batch.reset(
            row,
            seed,
            &mut self.outcome.observations[row * width..][..width],
        );
        self.outcome.rewards[row] = 0.0;
        self.outcome.terminated[row] = false;
        self.outcome.truncated[row] = false;
    }

    /// Steps every row; `actions` is rows x A.
    ///
    /// # Panics
    /// If `actions` has another size or, with [`Autoreset::Disabled`], if a row's episode is over.
    /// Then no row has moved. Also if an environment panics, in any thread.
    pub fn step(&mut self, actions: &[f64]) {
        self.check_actions(actions);
        if self.autoreset == Autoreset::Disabled {
            for row in 0..self.rows() {
                self.check_running(row);
            }
        }
        self.order(None, actions);
    }

    /// Steps the rows in `active` and leaves the others as they are, for evaluations in lock step;
    /// `actions` is rows x A, only the active rows are read.
    ///
    /// # Panics
    /// If there is no such row, and as [`VecEnv::step`].
    pub fn step_rows(&mut self, active: &[usize], actions: &[f64]) {
        self.check_actions(actions);
        for &row in active {
            self.check_running(row);
        }
        self.order(Some(active), actions);
    }

    fn order(&mut self, active: Option<&[usize]>, actions: &[f64]) {
        let request = StepRequest {
            active,
            actions,
            width: self.action_width,
            autoreset: self.autoreset,
        };
        self.batch.step(request, &mut self.outcome);
    }

    fn check_actions(&self, actions: &[f64]) {
        let expected = self.rows() * self.action_width;
        assert_eq!(
            actions.len(),
            expected,
            "{} rows need {expected} action numbers",
            self.rows()
        );
    }

    fn check_running(&self, row: usize) {
        let is_over = self.outcome.terminated[row] || self.outcome.truncated[row];
        assert!(
            !is_over || self.autoreset != Autoreset::Disabled,
            "the episode in row {row} is over; reset the row before stepping it"
        );
    }

    /// The current observations, rows x S.
    pub fn observations(&self) -> &[f64] {
        &self.outcome.observations
    }

    /// The rewards of the last step; 0 after a reset.
    pub fn rewards(&self) -> &[f64] {
        &self.outcome.rewards
    }

    /// Which rows' episodes terminated in the last step.
    pub fn terminated(&self) -> &[bool] {
        &self.outcome.terminated
    }

    /// Which rows' episodes were truncated in the last step.
    pub fn truncated(&self) -> &[bool] {
        &self.outcome.truncated
    }

    /// With [`Autoreset::SameStep`], the last observation of each row's last ended episode, rows x
    /// S; zeros where none has ended.
    pub fn final_observations(&self) -> &[f64] {
        &self.outcome.final_observations
    }

    /// How often a simulation has become unstable, in all rows since they were made: see
    /// [`Env::instabilities`].
    pub fn instabilities(&self) -> u64 {
        (0..self.rows())
            .map(|row| self.batch.env(row).instabilities())
            .sum()
    }

    /// One row's environment, read-only. Panics if there is no such row.
    pub fn env(&self, row: usize) -> &dyn Env {
        self.batch.env(row)
    }
}

#[cfg(test)]
mod tests;
