//! A replay buffer: the last transitions of an agent that is learning while it acts.
//!
//! A ring of rows. Next observations are not stored twice: a row links to its successor, the next
//! step of the same episode, whose observation is the one to use. A row without a successor (the
//! end of an episode, the newest step) has its next observation stored apart. A link always leads
//! to a newer row, so it is valid for as long as the row exists; a transition over `n` steps
//! follows links and therefore crosses neither the end of an episode nor the write head, also where
//! the steps of several environments arrive interleaved.
//!
//! Buffers that save memory by taking the next row's observation use the reset state as the next
//! observation of a truncated step (cleanrl#460); here it is the real final observation.

mod episodes;
mod push;
mod state;

use std::collections::BTreeSet;

use rand::{Rng, RngExt};
use rtg_envs::Space;

pub use self::push::Experience;
pub use self::state::ReplayInfo;
use super::actions::ActionUnits;
use super::blocks::fetch;
use super::transitions::{NStep, ReturnsToGo, Shape, TransitionConfig, Transitions};
use super::{AHEAD, Sampler};
use crate::{Error, Normaliser};

/// Links are stored as `f32`, which has all whole numbers up to this.
const MAX_CAPACITY: usize = 1 << 24;

/// The columns of a row after its observation and its action.
const REWARD: usize = 0;
/// 1 where the step reached a terminal state, else 0.
const TERMINATED: usize = 1;
/// The successor's row; or `-1 - place` of the next observation's place among the final ones.
const SUCCESSOR: usize = 2;

/// The last `capacity` steps of an agent, stored as they were, and transitions drawn from them.
///
/// Memory is allocated as it fills.
#[derive(Clone, Debug)]
pub struct ReplayBuffer {
    config: TransitionConfig,
    shape: Shape,
    action_space: Space,
    normaliser: Option<Normaliser>,
    capacity: usize,
    /// The row that is written next.
    head: usize,
    /// The newest row of each stream whose episode continues.
    newest: Vec<Option<u32>>,
    /// Each row in one piece: observation, action as stored, reward, terminated, successor.
    rows: Vec<f32>,
    /// Next observations of rows without a successor, `S` numbers each.
    finals: Vec<f32>,
    /// Places in `finals` that are free. The first of them is taken next, so that it follows from
    /// what is stored.
    free: BTreeSet<u32>,
}

impl ReplayBuffer {
    /// An empty buffer for `capacity` steps in these spaces.
    ///
    /// Rewards, actions and observations are transformed when they are drawn. Returns-to-go, if
    /// requested, are 0: an online row has none (Cal-QL ignores its bound there).
    ///
    /// # Errors
    /// [`Error::Sampling`]: a capacity of 0 or above 2^24, an action space that is neither Box nor
    /// Discrete, next actions (the newest step has none), an invalid configuration.
    pub fn new(
        observation_space: &Space,
        action_space: &Space,
        capacity: usize,
        config: TransitionConfig,
    ) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        let actions = ActionUnits::of(action_space, config.action_map.as_ref())?;
        config.check(&actions)?;
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return fail(format!(
                "the capacity of a replay buffer must be between 1 and {MAX_CAPACITY}, not \
                    {capacity}"
            ));
        }
        if config.next_actions {
            return fail("a replay buffer has no next actions".into());
        }
        let shape = Shape {
            observation: observation_space.width(),
            actions,
            has_next_actions: false,
            has_returns: config.returns_to_go != ReturnsToGo::Off,
        };
        Ok(Self {
            config,
            shape,
            action_space: action_space.clone(),
            normaliser: None,
            capacity,
            head: 0,
            newest: Vec::new(),
            rows: Vec::new(),
            finals: Vec::new(),
            free: BTreeSet::new(),
        })
    }

    /// Normalises observations as they are drawn; `None`: they stay unchanged.
    ///
    /// # Errors
    /// [`Error::Sampling`] if its width is another.
    pub fn set_normaliser(&mut self, normaliser: Option<Normaliser>) -> Result<(), Error> {
        let s = self.shape.observation;
        if let Some(normaliser) = &normaliser
            && (normaliser.mean.len() != s || normaliser.std.len() != s)
        {
            return Err(Error::Sampling(format!(
                "the normaliser has {} dimensions, observations {s}",
                normaliser.width()
            )));
        }
        self.normaliser = normaliser;
        Ok(())
    }

    /// How transitions are made.
    pub fn config(&self) -> &TransitionConfig {
        &self.config
    }

    /// How observations are normalised as they are drawn.
    pub fn normaliser(&self) -> Option<&Normaliser> {
        self.normaliser.as_ref()
    }

    /// The number of steps it contains.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width()
    }

    /// Whether it contains no step.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The capacity, in steps.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Numbers in an action row of a batch: those of the space, or `n` for a discrete action.
    pub fn action_width(&self) -> usize {
        self.shape.actions.width()
    }

    /// Fills `batch` with `rows` rows, drawn uniformly with replacement from the steps it contains.
    /// The same generator state and content give the same batch.
    ///
    /// # Panics
    /// If it is empty.
    pub fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Transitions) {
        assert!(!self.is_empty() || rows == 0, "an empty replay buffer");
        batch.shape(rows, &self.shape);
        let held = self.len() as u64;
        let mut drawn = [0; AHEAD];
        for next in 0..rows + AHEAD {
            if let Some(row) = next.checked_sub(AHEAD) {
                self.write(drawn[row % AHEAD], row, batch);
            }
            if next < rows {
                let place = rng.random_range(0..held) as usize;
                // The successor most often is the next row.
                let both = place * self.width()..(place + 2) * self.width();
                fetch(&self.rows[both.start..both.end.min(self.rows.len())]);
                drawn[next % AHEAD] = place;
            }
        }
    }

    fn write(&self, place: usize, row: usize, batch: &mut Transitions) {
        let s = self.shape.observation;
        let own = row * s..(row + 1) * s;
        let a = self.action_space.width();
        let (observation, rest) = self.row(place).split_at(s);
        self.normalise(observation, &mut batch.observations[own.clone()]);
        let numbers = self.action_width();
        if self.shape.actions.is_discrete() {
            let mut choice = [0.0];
            self.shape.actions.convert(&rest[..a], &mut choice);
            batch.put_action(row, &choice, &self.shape.actions);
        } else {
            let action = &mut batch.actions[row * numbers..(row + 1) * numbers];
            self.shape.actions.convert(&rest[..a], action);
            self.config.clip(action);
        }
        let mut sum = NStep::new(self.config.discount);
        let mut last = &rest[a..];
        let next = loop {
            sum.add(self.config.reward.apply(f64::from(last[REWARD])));
            match Link::of(last[SUCCESSOR]) {
                Link::Row(next) if sum.steps < self.config.n_step => last = self.numbers(next),
                Link::Row(next) => break &self.row(next)[..s],
                Link::Final(place) => break &self.finals[place * s..(place + 1) * s],
            }
        };
        self.normalise(next, &mut batch.next_observations[own]);
        batch.rewards[row] = sum.sum as f32;
        batch.terminated[row] = last[TERMINATED];
        batch.discounts[row] = sum.power as f32;
        if self.shape.has_returns {
            batch.returns_to_go[row] = 0.0;
        }
    }

    fn normalise(&self, observation: &[f32], out: &mut [f32]) {
        match &self.normaliser {
            Some(normaliser) => normaliser.apply(observation, out),
            None => out.copy_from_slice(observation),
        }
    }

    /// Numbers in a row.
    fn width(&self) -> usize {
        self.shape.observation + self.action_space.width() + SUCCESSOR + 1
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.rows[place * self.width()..(place + 1) * self.width()]
    }

    /// A row's numbers after its observation and its action.
    fn numbers(&self, place: usize) -> &[f32] {
        &self.row(place)[self.width() - SUCCESSOR - 1..]
    }
}

impl Sampler for ReplayBuffer {
    type Batch = Transitions;

    fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Transitions) {
        Self::sample(self, rng, rows, batch);
    }
}

/// Where a row's next observation is.
#[derive(Clone, Copy)]
enum Link {
    /// It is the observation of this row.
    Row(usize),
    /// It has this index among the final ones.
    Final(usize),
}

impl Link {
    fn of(number: f32) -> Self {
        if number < 0.0 {
            Self::Final((-1.0 - number) as usize)
        } else {
            Self::Row(number as usize)
        }
    }

    fn number(self) -> f32 {
        match self {
            Self::Row(row) => row as f32,
            Self::Final(place) => -1.0 - place as f32,
        }
    }
}

#[cfg(test)]
mod tests;
