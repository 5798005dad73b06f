//! A replay buffer's state for a checkpoint: sizes, and flat columns of the part that is filled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Link, ReplayBuffer, TERMINATED};
use crate::Error;

/// The sizes of a replay buffer and the positions where it continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayInfo {
    /// `S`.
    pub observation_width: usize,
    /// Numbers in a stored action.
    pub action_width: usize,
    /// The capacity, in steps.
    pub capacity: usize,
    /// The number of steps it contains.
    pub filled: usize,
    /// The row that is written next.
    pub head: usize,
    /// The newest row of each stream whose episode continues.
    pub newest: Vec<Option<u32>>,
}

impl ReplayBuffer {
    /// The names of [`columns`](Self::columns).
    pub const COLUMNS: [&'static str; 2] = ["rows", "final_observations"];

    /// Its sizes.
    pub fn info(&self) -> ReplayInfo {
        ReplayInfo {
            observation_width: self.shape.observation,
            action_width: self.action_space.width(),
            capacity: self.capacity,
            filled: self.len(),
            head: self.head,
            newest: self.newest.clone(),
        }
    }

    /// Its numbers, under the names of [`COLUMNS`](Self::COLUMNS): for each step it contains
    /// `S + A + 3` numbers (observation, action, reward, terminated, successor), and the next
    /// observations of steps without a successor.
    pub fn columns(&self) -> [&[f32]; 2] {
        [&self.rows, &self.finals]
    }

    /// Restores a state that [`info`](Self::info) and [`columns`](Self::columns) returned. It draws
    /// and continues as the buffer they are of would.
    ///
    /// # Errors
    /// [`Error::Sampling`], and the buffer unchanged: other widths or another capacity than its
    /// own, numbers that contradict each other.
    pub fn restore(&mut self, info: &ReplayInfo, columns: [Vec<f32>; 2]) -> Result<(), Error> {
        let fail = |reason: &str| Err(Error::Sampling(format!("the replay buffer's {reason}")));
        let [rows, finals] = columns;
        let own = self.info();
        if (own.observation_width, own.action_width, own.capacity)
            != (info.observation_width, info.action_width, info.capacity)
        {
            return fail("state is of other widths or of another capacity");
        }
        let mut restored = Self {
            rows,
            finals,
            head: info.head,
            newest: info.newest.clone(),
            free: BTreeSet::new(),
            ..self.empty_copy()
        };
        let s = own.observation_width;
        let held = restored.len();
        let head = if held == own.capacity {
            info.head
        } else {
            held % own.capacity
        };
        if held * restored.width() != restored.rows.len()
            || held != info.filled
            || held > own.capacity
            || info.head != head
            || info.head >= own.capacity
            || info.newest.len() > own.capacity
            || !restored.finals.len().is_multiple_of(s.max(1))
        {
            return fail("sizes contradict each other");
        }
        let numbers = || restored.rows.iter().chain(&restored.finals);
        if numbers().any(|number| !number.is_finite()) {
            return fail("numbers are not all finite");
        }
        restored.free = match restored.free_places() {
            Some(free) if restored.are_sound() => free,
            _ => return fail("rows contradict each other"),
        };
        *self = restored;
        Ok(())
    }

    /// An empty buffer of the same kind.
    fn empty_copy(&self) -> Self {
        Self {
            config: self.config.clone(),
            shape: self.shape.clone(),
            action_space: self.action_space.clone(),
            normaliser: self.normaliser.clone(),
            capacity: self.capacity,
            head: 0,
            newest: Vec::new(),
            rows: Vec::new(),
            finals: Vec::new(),
            free: BTreeSet::new(),
        }
    }

    /// The indices of final observations that no row has; `None` if two rows share one or an index
    /// is out of range.
    fn free_places(&self) -> Option<BTreeSet<u32>> {
        // Observations without numbers take no memory.
        let s = self.shape.observation;
        let places = self.finals.len().checked_div(s).unwrap_or(0);
        let mut used = vec![false; places];
        for row in 0..self.len() {
            if let Link::Final(place) = self.link(row)
                && s > 0
                && std::mem::replace(used.get_mut(place)?, true)
            {
                return None;
            }
        }
        let free = (0..places).filter(|&place| !used[place]);
        Some(free.map(|place| place as u32).collect())
    }

    /// Whether links lead to newer rows, terminal rows have none, actions are of their space, and
    /// streams continue at rows without a successor.
    fn are_sound(&self) -> bool {
        let held = self.len();
        let age = |row: usize| (row + self.capacity - self.head) % self.capacity;
        let (s, a) = (self.shape.observation, self.action_space.width());
        let is_terminal = |row: usize| self.numbers(row)[TERMINATED] > 0.0;
        let is_sound = |row: usize| {
            let follows = match self.link(row) {
                Link::Row(next) => next < held && age(next) > age(row) && !is_terminal(row),
                Link::Final(_) => true,
            };
            let action: Vec<f64> = self.row(row)[s..s + a]
                .iter()
                .map(|&x| f64::from(x))
                .collect();
            let is_choice =
                !self.shape.actions.is_discrete() || self.action_space.contains(&action);
            let numbers = &self.numbers(row)[TERMINATED..];
            let are_whole = numbers.iter().all(|number| number.fract() == 0.0);
            follows && is_choice && are_whole && (0.0..=1.0).contains(&numbers[0])
        };
        let goes_on = |row: u32| {
            let row = row as usize;
            row < held && matches!(self.link(row), Link::Final(_)) && !is_terminal(row)
        };
        (0..held).all(is_sound) && self.newest.iter().flatten().all(|&row| goes_on(row))
    }
}
