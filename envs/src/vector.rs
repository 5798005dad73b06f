//! Many copies of one environment, stepped together.
//!
//! All rows lie next to each other: observations are rows x S, actions rows x A. Nothing is
//! allocated in a step. The rows are of one concrete type, so a batch costs one virtual call and
//! the dynamics are compiled into the loop.

use crate::{Env, Error, Spec, registry};

/// When the row of an ended episode is reset, as in Gymnasium 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Autoreset {
    /// With the next step, which ignores the row's action and gives reward 0. Gymnasium's default.
    #[default]
    NextStep,
    /// In the same step: the observation is the new episode's first, the old one's last is in
    /// [`VecEnv::final_observations`].
    SameStep,
    /// Never: the caller resets, and stepping an ended row is a bug that panics.
    Disabled,
}

/// What the rows gave in the last step.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Numbers in one observation.
    width: usize,
    observations: Vec<f64>,
    rewards: Vec<f64>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    final_observations: Vec<f64>,
}

/// Rows of one concrete type behind one virtual call.
pub(crate) trait Batch: Send {
    fn step(
        &mut self,
        active: Option<&[usize]>,
        actions: &[f64],
        autoreset: Autoreset,
        outcome: &mut Outcome,
    );
    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]);
    fn env(&self, row: usize) -> &dyn Env;
}

impl<E: Env + 'static> Batch for Vec<E> {
    fn step(
        &mut self,
        active: Option<&[usize]>,
        actions: &[f64],
        autoreset: Autoreset,
        outcome: &mut Outcome,
    ) {
        let (rows, width) = (self.len(), actions.len() / self.len());
        let step = |row: usize| {
            let action = &actions[row * width..][..width];
            step_row(&mut self[row], row, action, autoreset, outcome);
        };
        match active {
            None => (0..rows).for_each(step),
            Some(active) => active.iter().copied().for_each(step),
        }
    }

    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]) {
        self[row].reset(seed, observation);
    }

    fn env(&self, row: usize) -> &dyn Env {
        &self[row]
    }
}

#[inline]
fn step_row<E: Env>(
    env: &mut E,
    row: usize,
    action: &[f64],
    autoreset: Autoreset,
    outcome: &mut Outcome,
) {
    let width = outcome.width;
    let observation = &mut outcome.observations[row * width..][..width];
    let is_over = outcome.terminated[row] || outcome.truncated[row];
    if is_over && autoreset == Autoreset::NextStep {
        env.reset(None, observation);
        outcome.rewards[row] = 0.0;
        outcome.terminated[row] = false;
        outcome.truncated[row] = false;
        return;
    }
    let step = env.step(action, observation);
    outcome.rewards[row] = step.reward;
    outcome.terminated[row] = step.terminated;
    outcome.truncated[row] = step.truncated;
    if step.is_last() && autoreset == Autoreset::SameStep {
        outcome.final_observations[row * width..][..width].copy_from_slice(observation);
        env.reset(None, observation);
    }
}

/// Copies of one environment as contiguous rows.
///
/// ```
/// use rtg_envs::{Autoreset, VecEnv};
/// let mut envs = VecEnv::new("CartPole-v1", 3, Autoreset::SameStep)?;
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
    /// `rows` copies of a registered environment, time limit included, reset with seeds 0, 1, 2 ...
    pub fn new(id: &str, rows: usize, autoreset: Autoreset) -> Result<Self, Error> {
        Self::from_batch(registry::rows(id, rows)?, rows, autoreset)
    }

    /// Rows made of your own environments, reset with seeds 0, 1, 2 ... All must be of one kind.
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

    fn from_batch(batch: Box<dyn Batch>, rows: usize, autoreset: Autoreset) -> Result<Self, Error> {
        if rows == 0 {
            return Err(Error::NoRows);
        }
        let spec = batch.env(0).spec().clone();
        let width = spec.observation_space.width();
        let outcome = Outcome {
            width,
            observations: vec![0.0; rows * width],
            rewards: vec![0.0; rows],
            terminated: vec![false; rows],
            truncated: vec![false; rows],
            final_observations: vec![0.0; rows * width],
        };
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

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.outcome.rewards.len()
    }

    /// The description that all rows share.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Resets every row. `Some(seed)` gives row `i` the seed `seed + i`, as Gymnasium does; `None`
    /// goes on with each row's own generator.
    pub fn reset(&mut self, seed: Option<u64>) {
        for row in 0..self.rows() {
            self.restart(row, seed.map(|seed| seed.wrapping_add(row as u64)));
        }
    }

    /// Resets one row with a seed of its own.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reset_row(&mut self, row: usize, seed: u64) {
        self.restart(row, Some(seed));
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
    /// Then no row has moved.
    pub fn step(&mut self, actions: &[f64]) {
        self.check_actions(actions);
        for row in 0..self.rows() {
            self.check_running(row);
        }
        self.batch
            .step(None, actions, self.autoreset, &mut self.outcome);
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
        self.batch
            .step(Some(active), actions, self.autoreset, &mut self.outcome);
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

    /// The present observations, rows x S.
    pub fn observations(&self) -> &[f64] {
        &self.outcome.observations
    }

    /// The rewards of the last step; 0 after a reset.
    pub fn rewards(&self) -> &[f64] {
        &self.outcome.rewards
    }

    /// Which rows' worlds ended in the last step.
    pub fn terminated(&self) -> &[bool] {
        &self.outcome.terminated
    }

    /// Which rows' episodes were cut off in the last step.
    pub fn truncated(&self) -> &[bool] {
        &self.outcome.truncated
    }

    /// With [`Autoreset::SameStep`], the last observation of each row's last ended episode, rows x
    /// S; zeros where none has ended.
    pub fn final_observations(&self) -> &[f64] {
        &self.outcome.final_observations
    }

    /// One row's environment, to look at. Panics if there is no such row.
    pub fn env(&self, row: usize) -> &dyn Env {
        self.batch.env(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make;

    fn with(autoreset: Autoreset) -> VecEnv {
        VecEnv::new("CartPole-v1", 3, autoreset).unwrap()
    }

    /// Steps to the right until a row ends; gives that row.
    fn run_to_an_end(envs: &mut VecEnv) -> usize {
        loop {
            envs.step(&[1.0; 3]);
            if let Some(row) = envs.terminated().iter().position(|&terminated| terminated) {
                return row;
            }
        }
    }

    fn row_of(numbers: &[f64], row: usize) -> &[f64] {
        &numbers[row * 4..][..4]
    }

    #[test]
    fn row_i_is_the_environment_with_seed_plus_i() {
        let mut envs = with(Autoreset::Disabled);
        envs.reset(Some(7));
        envs.step(&[0.0, 1.0, 0.0]);
        for row in 0..3 {
            let mut env = make("CartPole-v1").unwrap();
            let mut observation = [0.0; 4];
            env.reset(Some(7 + row as u64), &mut observation);
            env.step(&[(row % 2) as f64], &mut observation);
            assert_eq!(row_of(envs.observations(), row), observation);
            assert_eq!(envs.env(row).state(), env.state());
        }
    }

    #[test]
    fn next_step_resets_with_the_step_after_the_end() {
        let mut envs = with(Autoreset::NextStep);
        let row = run_to_an_end(&mut envs);
        assert_eq!(envs.rewards(), [1.0; 3]);
        assert!(
            row_of(envs.observations(), row)[2].abs() > 0.2,
            "the last observation is seen"
        );
        envs.step(&[1.0; 3]);
        assert_eq!(envs.rewards()[row].to_bits(), 0.0_f64.to_bits());
        assert!(!envs.terminated()[row]);
        assert!(
            row_of(envs.observations(), row)[2].abs() < 0.05,
            "a new episode"
        );
    }

    #[test]
    fn same_step_resets_at_once_and_keeps_the_last_observation() {
        let mut envs = with(Autoreset::SameStep);
        let row = run_to_an_end(&mut envs);
        assert_eq!(envs.rewards(), [1.0; 3]);
        assert!(row_of(envs.final_observations(), row)[2].abs() > 0.2);
        assert!(row_of(envs.observations(), row)[2].abs() < 0.05);
    }

    #[test]
    fn without_autoreset_the_caller_resets_the_row() {
        let mut envs = with(Autoreset::Disabled);
        run_to_an_end(&mut envs);
        while let Some(row) = (0..3).find(|&row| envs.terminated()[row]) {
            envs.reset_row(row, 1);
            assert!(row_of(envs.observations(), row)[2].abs() < 0.05);
        }
        envs.step(&[1.0; 3]);
        assert_eq!(envs.rewards(), [1.0; 3]);
    }

    #[test]
    #[should_panic(expected = "is over; reset the row before stepping it")]
    fn without_autoreset_an_ended_row_is_refused() {
        let mut envs = with(Autoreset::Disabled);
        run_to_an_end(&mut envs);
        envs.step(&[1.0; 3]);
    }

    #[test]
    #[should_panic(expected = "3 rows need 3 action numbers")]
    fn a_batch_of_actions_of_the_wrong_size_is_refused() {
        with(Autoreset::NextStep).step(&[0.0]);
    }

    #[test]
    fn step_rows_leaves_the_other_rows_untouched() {
        let mut envs = with(Autoreset::Disabled);
        let before = envs.observations().to_vec();
        envs.step_rows(&[1], &[1.0; 3]);
        assert_eq!(row_of(envs.observations(), 0), row_of(&before, 0));
        assert_ne!(row_of(envs.observations(), 1), row_of(&before, 1));
        assert_eq!(row_of(envs.observations(), 2), row_of(&before, 2));
        assert_eq!(envs.rewards(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn rows_of_nothing_or_of_different_kinds_are_an_error() {
        assert_eq!(
            VecEnv::new("CartPole-v1", 0, Autoreset::NextStep).err(),
            Some(Error::NoRows)
        );
        let mixed = vec![make("CartPole-v1").unwrap(), make("Pendulum-v1").unwrap()];
        assert!(matches!(
            VecEnv::from_envs(mixed, Autoreset::NextStep),
            Err(Error::MixedRows { row: 1, .. })
        ));
    }
}
