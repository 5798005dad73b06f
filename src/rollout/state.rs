//! A rollout in a checkpoint.
//!
//! An environment's whole state is not always accessible (a `MuJoCo` simulation warm-starts its
//! solver, a time limit counts), but it follows from the seed of its reset and the actions since.
//! So the state holds those, and the environments are rebuilt by replaying them, which is exact for
//! all.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ActiveEpisode, Rollout, widths};
use crate::policy::{Policy, Start};

/// A paused rollout: everything but its environments and its source of starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutState {
    /// The episode of each row, if it is in one.
    pub rows: Vec<Option<RowState>>,
    /// Number of the next start to take.
    pub next_start: usize,
    /// First row that has not stepped in the current round.
    pub next_row: usize,
    /// Whether the source of starts has run out.
    pub exhausted: bool,
    /// The value of [`Policy::state`].
    pub policy: Value,
}

/// A row's episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowState {
    /// Number of its start.
    pub index: usize,
    /// Its start.
    pub start: Start,
    /// length x A: the actions since the reset, as the bits of the numbers, which every format
    /// keeps.
    pub actions: Vec<u64>,
    /// Bits of the last step's reward, to check the replay by.
    pub last_reward: u64,
}

/// Why a rollout cannot continue from a state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A state of another number of rows.
    #[error("the paused rollout has {found} rows, this one has {expected}")]
    Rows {
        /// Rows of the rollout.
        expected: usize,
        /// Rows of the state.
        found: usize,
    },
    /// Numbers that do not make up whole actions, or a row that does not exist.
    #[error("the paused rollout does not fit {env}")]
    Shape {
        /// The environment.
        env: String,
    },
    /// A replay with another result.
    #[error("row {row} of the paused rollout has a different result when replayed in {env}")]
    Diverged {
        /// The row.
        row: usize,
        /// The environment.
        env: String,
    },
    /// The policy's part of the state.
    #[error("the paused rollout contains another policy's state ({0})")]
    Policy(#[from] serde_json::Error),
}

impl Rollout {
    /// The state of the rollout between two calls of [`Rollout::advance`] with this policy.
    pub fn state(&self, policy: &dyn Policy) -> RolloutState {
        let row_state = |(row, episode): (usize, &Option<ActiveEpisode>)| {
            let episode = episode.as_ref()?;
            Some(RowState {
                index: episode.index,
                start: episode.start,
                actions: episode
                    .actions
                    .iter()
                    .map(|action| action.to_bits())
                    .collect(),
                last_reward: self.last_rewards[row].to_bits(),
            })
        };
        RolloutState {
            rows: self.episodes.iter().enumerate().map(row_state).collect(),
            next_start: self.next_start,
            next_row: self.next_row,
            exhausted: self.exhausted,
            policy: policy.state(),
        }
    }

    /// Restores a new rollout, opened like the paused one, and a policy with the same weights. From
    /// then on all results have the same bits as without the pause.
    ///
    /// No sink is called. The environments are replayed. So are the decisions of a policy without a
    /// state; the decisions themselves are ignored.
    ///
    /// # Errors
    /// A state of another environment, number of rows or policy.
    pub fn restore(
        mut self,
        state: &RolloutState,
        policy: &mut dyn Policy,
    ) -> Result<Self, RestoreError> {
        self.check(state)?;
        let width = widths(&self.envs).1;
        for (row, saved) in state.rows.iter().enumerate() {
            self.episodes[row] = saved.as_ref().map(|saved| {
                self.reset(row, &saved.start, policy);
                ActiveEpisode::new(saved.index, saved.start)
            });
        }
        for step in 0.. {
            let is_in = |saved: &Option<RowState>| {
                (saved.as_ref()).is_some_and(|saved| saved.actions.len() > step * width)
            };
            self.active.clear();
            let rows = (0..state.rows.len()).filter(|&row| is_in(&state.rows[row]));
            self.active.extend(rows);
            if self.active.is_empty() {
                break;
            }
            if state.policy.is_null() {
                policy.act(
                    &self.active,
                    self.envs.observations(),
                    &self.last_rewards,
                    &mut self.actions,
                );
            }
            self.replay(state, step)?;
        }
        for (row, saved) in state.rows.iter().enumerate() {
            if let Some(saved) = saved
                && saved.last_reward != self.last_rewards[row].to_bits()
            {
                return Err(self.diverged(row));
            }
        }
        if !state.policy.is_null() {
            policy.restore(&state.policy)?;
        }
        self.next_start = state.next_start;
        self.next_row = state.next_row;
        self.exhausted = state.exhausted;
        Ok(self)
    }

    fn check(&self, state: &RolloutState) -> Result<(), RestoreError> {
        if state.rows.len() != self.rows() {
            return Err(RestoreError::Rows {
                expected: self.rows(),
                found: state.rows.len(),
            });
        }
        let width = widths(&self.envs).1;
        let mut episodes = state.rows.iter().flatten();
        let fits = state.next_row <= self.rows()
            && episodes.all(|saved| {
                saved.actions.len().is_multiple_of(width) && saved.index < state.next_start
            });
        fits.then_some(()).ok_or_else(|| RestoreError::Shape {
            env: self.envs.spec().id.clone(),
        })
    }

    /// Repeats the step of this number in the active rows.
    fn replay(&mut self, state: &RolloutState, step: usize) -> Result<(), RestoreError> {
        let width = widths(&self.envs).1;
        for &row in &self.active {
            if let Some(saved) = &state.rows[row] {
                let done = &saved.actions[step * width..][..width];
                let action = &mut self.actions[row * width..][..width];
                for (number, &bits) in action.iter_mut().zip(done) {
                    *number = f64::from_bits(bits);
                }
            }
        }
        self.envs.step_rows(&self.active, &self.actions);
        for &row in &self.active {
            if self.envs.terminated()[row] || self.envs.truncated()[row] {
                return Err(self.diverged(row));
            }
            if let Some(episode) = &mut self.episodes[row] {
                let action = &self.actions[row * width..][..width];
                self.last_rewards[row] = episode.add(action, &self.envs, row);
            }
        }
        Ok(())
    }

    fn diverged(&self, row: usize) -> RestoreError {
        RestoreError::Diverged {
            row,
            env: self.envs.spec().id.clone(),
        }
    }
}
