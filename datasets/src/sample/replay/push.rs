//! Writing into a replay buffer: step by step, or a whole dataset.

use super::{Link, ReplayBuffer, SUCCESSOR};
use crate::{Dataset, EpisodeColumn, Error};

/// One step of an environment.
#[derive(Clone, Copy, Debug)]
pub struct Experience<'a> {
    /// `S` numbers, the observation before the step.
    pub observation: &'a [f64],
    /// `A` numbers as the environment expects them; one for a discrete action.
    pub action: &'a [f64],
    /// The reward.
    pub reward: f64,
    /// `S` numbers, the observation after the step: of a last step the final one, not that of the
    /// next reset.
    pub next_observation: &'a [f64],
    /// Whether the step reached a terminal state.
    pub terminated: bool,
    /// Whether the step was cut off, by a time limit for instance.
    pub truncated: bool,
}

impl ReplayBuffer {
    /// Appends a step; a full buffer loses its oldest one. Numbers are rounded to `f32`.
    ///
    /// `stream` is 0, or the number of the environment where several are interleaved: the steps of
    /// an episode arrive in one stream, in their order.
    ///
    /// # Errors
    /// [`Error::Sampling`], and the buffer as it was: other widths, numbers that are not finite, an
    /// action outside a discrete space, a stream as large as the capacity.
    pub fn push(&mut self, stream: usize, step: &Experience<'_>) -> Result<(), Error> {
        self.check(stream, step)?;
        let (place, s) = (self.head, self.shape.observation);
        self.forget(place);
        let following = self.store_final(step.next_observation);
        if self.newest.len() <= stream {
            self.newest.resize(stream + 1, None);
        }
        let before = self.newest[stream].take();
        let width = self.width();
        if place * width == self.rows.len() {
            let total = self.capacity * width;
            grow(&mut self.rows, width, total);
            self.rows.resize((place + 1) * width, 0.0);
        }
        let row = &mut self.rows[place * width..(place + 1) * width];
        let (observation, rest) = row.split_at_mut(s);
        let (action, numbers) = rest.split_at_mut(step.action.len());
        round(step.observation, observation);
        round(step.action, action);
        let terminated = f32::from(u8::from(step.terminated));
        numbers.copy_from_slice(&[step.reward as f32, terminated, following.number()]);
        if let Some(before) = before {
            self.connect(before as usize, place);
        }
        let goes_on = !step.terminated && !step.truncated;
        self.newest[stream] = goes_on.then_some(place as u32);
        self.head = (place + 1) % self.capacity;
        Ok(())
    }

    /// Appends the steps of a dataset that are rows by
    /// [`truncated_last`](super::TransitionConfig::truncated_last), as [`push`](Self::push) would.
    ///
    /// # Errors
    /// [`Error::Sampling`]: the spaces differ, there are more rows than fit, the dataset has
    /// weights, or a number is too large for `f32` (the steps before it stay in the buffer).
    pub fn extend(&mut self, dataset: &Dataset) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        let (s, a) = (dataset.observation_width(), dataset.action_width());
        let (own, other) = (&self.action_space, &dataset.info().action_space);
        let is_discrete = self.shape.actions.is_discrete();
        if s != self.shape.observation || a != own.width() || is_discrete && own != other {
            return fail("the dataset has other spaces than the replay buffer".into());
        }
        if dataset.weights().is_some() {
            return fail("a replay buffer draws uniformly, but the dataset has weights".into());
        }
        let lengths = self.config.lengths(dataset);
        let rows: usize = lengths.iter().sum();
        if rows > self.capacity - self.len() {
            return fail(format!(
                "the dataset has {rows} rows, the replay buffer has space for {}",
                self.capacity - self.len()
            ));
        }
        for (episode, length) in dataset.iter().zip(lengths) {
            // An episode never continues what was pushed before.
            if let Some(newest) = self.newest.first_mut() {
                *newest = None;
            }
            for step in 0..length {
                let is_last = step + 1 == length;
                let terminated = episode.terminated && step + 1 == episode.len();
                let row = |step: usize| &episode.observations[step * s..(step + 1) * s];
                self.push(
                    0,
                    &Experience {
                        observation: row(step),
                        action: &episode.actions[step * a..(step + 1) * a],
                        reward: episode.rewards[step],
                        next_observation: row(step + 1),
                        terminated,
                        truncated: is_last && !terminated,
                    },
                )?;
            }
        }
        Ok(())
    }

    fn check(&self, stream: usize, step: &Experience<'_>) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        if stream >= self.capacity {
            return fail(format!("stream {stream} in {} rows", self.capacity));
        }
        let (s, a) = (self.shape.observation, self.action_space.width());
        for (what, numbers, width) in [
            (EpisodeColumn::Observation, step.observation, s),
            (EpisodeColumn::Observation, step.next_observation, s),
            (EpisodeColumn::Action, step.action, a),
            (EpisodeColumn::Reward, &[step.reward], 1),
        ] {
            if numbers.len() != width {
                return fail(format!("{} {what} numbers, not {width}", numbers.len()));
            }
            if let Some(number) = numbers.iter().find(|x| !(**x as f32).is_finite()) {
                return fail(format!("{what} {number} in a step"));
            }
        }
        if self.shape.actions.is_discrete() && !self.action_space.contains(step.action) {
            return fail(format!(
                "action {} is not one of the choices",
                step.action[0]
            ));
        }
        Ok(())
    }

    /// Releases the row that is about to be overwritten.
    fn forget(&mut self, place: usize) {
        if place >= self.len() {
            return;
        }
        if let Link::Final(own) = self.link(place) {
            self.free.insert(own as u32);
        }
        let is_old = |newest: &&mut Option<u32>| **newest == Some(place as u32);
        self.newest
            .iter_mut()
            .filter(is_old)
            .for_each(|newest| *newest = None);
    }

    /// Stores a separate next observation.
    fn store_final(&mut self, observation: &[f64]) -> Link {
        let s = self.shape.observation;
        let place = self.free.pop_first().map_or_else(
            || {
                let places = self.finals.len().checked_div(s).unwrap_or(0);
                let total = self.capacity * s;
                grow(&mut self.finals, s, total);
                self.finals.resize(self.finals.len() + s, 0.0);
                places
            },
            |place| place as usize,
        );
        round(observation, &mut self.finals[place * s..(place + 1) * s]);
        Link::Final(place)
    }

    /// Makes a row the successor of another, if its observation is the other's next observation.
    /// (If it does not, an environment was set to another state, and the other keeps its next
    /// observation.)
    fn connect(&mut self, before: usize, after: usize) {
        let s = self.shape.observation;
        if let Link::Final(place) = self.link(before)
            && self.finals[place * s..(place + 1) * s] == self.row(after)[..s]
        {
            let at = (before + 1) * self.width() - 1;
            self.rows[at] = Link::Row(after).number();
            self.free.insert(place as u32);
        }
    }

    pub(super) fn link(&self, place: usize) -> Link {
        Link::of(self.numbers(place)[SUCCESSOR])
    }
}

fn round(numbers: &[f64], out: &mut [f32]) {
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = *number as f32;
    }
}

/// Reserves memory for `more` numbers: doubles the capacity, but never beyond `total`.
fn grow(numbers: &mut Vec<f32>, more: usize, total: usize) {
    if numbers.capacity() - numbers.len() < more {
        let room = total.saturating_sub(numbers.len());
        numbers.reserve_exact(numbers.len().clamp(more, room.max(more)));
    }
}
