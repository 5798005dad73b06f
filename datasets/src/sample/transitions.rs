//! Transitions `(s, a, r, s')` for methods that learn values, drawn uniformly with replacement.
//!
//! An episode of `T` steps has `T` rows, or `T - 1` where its last step is omitted
//! ([`TruncatedLast`]). A row's next observation is the one stored after it; an episode stores `T +
//! 1`, so it is real after a time limit too. Only a terminal state counts as terminated.
//!
//! With `n` steps, a row `t` sums up the rewards of the steps `t..u`, `u = min(t + n, rows)`, and
//! continues from observation `u` with the discount to the power `u - t`. So a transition never
//! crosses the end of an episode, and before a cut it is shorter.
//!
//! | | D4RL, CORL | d3rlpy | here, `drop` | here, `keep` |
//! |---|---|---|---|---|
//! | rows of a terminated episode | `T` | `T` | `T` | `T` |
//! | of a truncated one | `T - 1` | `T - 1` | `T - 1` | `T` |
//! | both flags | `T - 1` | `T`, terminal | `T - 1` | `T`, terminal |
//! | next observation of a terminal row | of the next episode | 0 | stored | stored |
//! | the last row of a file | never used | used | used | used |
//!
//! Next observations of terminal rows are multiplied by 0 in every method, so the last but one line
//! changes nothing. (D4RL `offline_env.py: qlearning_dataset`; d3rlpy `transition_pickers.py`.)

mod batch;
mod config;
mod n_step;

use rand::Rng;

pub(super) use self::batch::Shape;
pub use self::batch::Transitions;
pub use self::config::{ReturnsToGo, RewardTransform, TransitionConfig, TruncatedLast};
pub(super) use self::n_step::NStep;
use super::actions::{ActionUnits, one_hot};
use super::blocks::{Blocks, Filling, fetch};
use super::draws::Draws;
use super::{AHEAD, Sampler};
use crate::{Dataset, EpisodeView, Error, Normaliser, returns_to_go};

/// Draws transitions from a dataset.
///
/// It keeps its own numbers, `f32` in the model's units: in memory for a dataset in memory, for a
/// mapped one ([`Dataset::is_mapped`]) in a file next to its store that is deleted with the
/// sampler. The same generator gives the same batches in both cases, bit for bit.
#[derive(Debug)]
pub struct TransitionSampler {
    config: TransitionConfig,
    shape: Shape,
    draws: Draws,
    /// Each row in one piece: observation, action (a discrete one as the index of its choice),
    /// reward, steps (negative if they end in a terminal state), perhaps return-to-go. After the
    /// rows of each episode there is one more, the observation and action that follow.
    blocks: Blocks<1>,
    /// The discounts of 0, 1, ... steps.
    discounts: Vec<f32>,
}

impl TransitionSampler {
    /// Checks the data and prepares the numbers: normalises observations, maps actions, sums up
    /// rewards.
    ///
    /// # Errors
    /// [`Error::Sampling`]: no rows, numbers that are not finite, discrete actions outside their
    /// space, an invalid configuration. [`Error::Io`] where a file cannot be written.
    pub fn new(
        dataset: &Dataset,
        normaliser: &Normaliser,
        config: TransitionConfig,
    ) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        let info = dataset.info();
        let actions = ActionUnits::of(&info.action_space, config.action_map.as_ref())?;
        config.check(&actions)?;
        let s = dataset.observation_width();
        if normaliser.mean.len() != s || normaliser.std.len() != s {
            return fail(format!(
                "the normaliser has {} dimensions, observations {s}",
                normaliser.width()
            ));
        }
        let draws = Draws::new(&config.lengths(dataset), dataset.weights());
        if draws.rows() == 0 {
            return fail(format!(
                "none of the {} steps of the dataset is a transition",
                dataset.steps()
            ));
        }
        let shape = Shape {
            observation: s,
            actions,
            has_next_actions: config.next_actions,
            has_returns: config.returns_to_go != ReturnsToGo::Off,
        };
        let (mut powers, mut power) = (Vec::new(), NStep::new(config.discount));
        for _ in 0..=config.n_step {
            powers.push(power.power as f32);
            power.add(0.0);
        }
        let conversion = Conversion {
            dataset,
            normaliser,
            config: &config,
            shape: &shape,
        };
        Ok(Self {
            blocks: conversion.blocks(&draws)?,
            discounts: powers,
            config,
            shape,
            draws,
        })
    }

    /// How transitions are made.
    pub fn config(&self) -> &TransitionConfig {
        &self.config
    }

    /// The number of different rows.
    pub fn rows(&self) -> usize {
        self.draws.rows()
    }

    /// Numbers in an observation row, `S`.
    pub fn observation_width(&self) -> usize {
        self.shape.observation
    }

    /// Numbers in an action row of a batch: those of the space, or `n` for a discrete action.
    pub fn action_width(&self) -> usize {
        self.shape.actions.width()
    }

    /// Fills `batch` with `rows` rows. The same generator state gives the same batch.
    pub fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Transitions) {
        batch.shape(rows, &self.shape);
        let mut drawn: [[&[f32]; 2]; AHEAD] = Default::default();
        for next in 0..rows + AHEAD {
            if let Some(row) = next.checked_sub(AHEAD) {
                self.write(drawn[row % AHEAD], row, batch);
            }
            if next < rows {
                let ends = self.ends(self.draws.draw(rng));
                ends.into_iter().for_each(fetch);
                drawn[next % AHEAD] = ends;
            }
        }
    }

    /// All rows in their order, as in a batch, for a mean over the whole dataset.
    pub fn all(&self) -> Transitions {
        let mut batch = Transitions::default();
        batch.shape(self.rows(), &self.shape);
        for row in 0..self.rows() {
            self.write(self.ends(row), row, &mut batch);
        }
        batch
    }

    /// The numbers of a row, and those of the row at which its transition ends.
    #[inline]
    fn ends(&self, row: usize) -> [&[f32]; 2] {
        let episode = self.draws.episode(row);
        let end = (row + self.config.n_step).min(self.draws.starts()[episode + 1]);
        // One more row is stored after each episode.
        [row, end].map(|row| self.blocks.row(row + episode))
    }

    #[inline]
    fn write(&self, [own, end]: [&[f32]; 2], row: usize, batch: &mut Transitions) {
        let Shape {
            observation: s,
            actions,
            has_next_actions,
            has_returns,
        } = &self.shape;
        let (s, a) = (*s, actions.width());
        let stored = if actions.is_discrete() { 1 } else { a };
        let (observation, own) = own.split_at(s);
        let (action, numbers) = own.split_at(stored);
        let (next_observation, end) = end.split_at(s);
        let is_terminal = numbers[1] < 0.0;
        batch.observations[row * s..(row + 1) * s].copy_from_slice(observation);
        batch.put_action(row, action, actions);
        batch.rewards[row] = numbers[0];
        batch.next_observations[row * s..(row + 1) * s].copy_from_slice(next_observation);
        batch.terminated[row] = f32::from(u8::from(is_terminal));
        batch.discounts[row] = self.discounts[numbers[1].abs() as usize];
        if *has_returns {
            batch.returns_to_go[row] = numbers[2];
        }
        if *has_next_actions {
            let next_action = &mut batch.next_actions[row * a..(row + 1) * a];
            if is_terminal {
                next_action.fill(0.0);
            } else if actions.is_discrete() {
                one_hot(end[0], next_action);
            } else {
                next_action.copy_from_slice(&end[..a]);
            }
        }
    }
}

impl Sampler for TransitionSampler {
    type Batch = Transitions;

    fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Transitions) {
        Self::sample(self, rng, rows, batch);
    }
}

/// A dataset that is being converted into blocks.
struct Conversion<'a> {
    dataset: &'a Dataset,
    normaliser: &'a Normaliser,
    config: &'a TransitionConfig,
    shape: &'a Shape,
}

impl Conversion<'_> {
    fn blocks(&self, draws: &Draws) -> Result<Blocks<1>, Error> {
        let (s, a) = (self.shape.observation, self.dataset.action_width());
        let width = s + a + 2 + usize::from(self.shape.has_returns);
        // The store fits on the disk, so a smaller file does too.
        let store = self.dataset.store();
        let directory = store.map(|store| store.parent().unwrap_or(store));
        let rows = draws.rows() + self.dataset.episodes();
        let mut filling = Filling::new([width], rows, directory)?;
        let least = self.least_reward();
        let (mut observations, mut actions, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (episode, starts)) in
            (self.dataset.iter().zip(draws.starts().windows(2))).enumerate()
        {
            let length = starts[1] - starts[0];
            let space = &self.dataset.info().action_space;
            self.shape.actions.check(index, space, episode.actions)?;
            observations.resize((length + 1) * s, 0.0);
            let stored = &episode.observations[..(length + 1) * s];
            self.normaliser.apply(stored, &mut observations);
            // After the last row there may be no action.
            let taken = episode.len().min(length + 1) * a;
            actions.clear();
            actions.resize((length + 1) * a, 0.0);
            let (units, stored) = (&self.shape.actions, &episode.actions[..taken]);
            units.convert(stored, &mut actions[..taken]);
            self.config.clip(&mut actions);
            rows.clear();
            rows.resize((length + 1) * width, 0.0);
            for (row, out) in rows.chunks_exact_mut(width).enumerate() {
                out[..s].copy_from_slice(&observations[row * s..(row + 1) * s]);
                out[s..s + a].copy_from_slice(&actions[row * a..(row + 1) * a]);
            }
            self.values(episode, length, least, &mut rows, (width, s + a));
            if let Some(at) = rows.iter().position(|number| !number.is_finite()) {
                return Err(Error::Sampling(format!(
                    "{} of episode {index}, step {}, is not finite in the model's units",
                    match at % width {
                        number if number < s => format!("observation number {number}"),
                        number if number < s + a => format!("action number {}", number - s),
                        _ => "the sum of rewards".into(),
                    },
                    at / width
                )));
            }
            filling.push(length + 1, [&rows])?;
        }
        filling.finish()
    }

    /// Writes reward, steps and return-to-go of an episode's rows; the first is at `at.1`.
    fn values(
        &self,
        episode: EpisodeView<'_>,
        length: usize,
        least: f64,
        rows: &mut [f32],
        (width, at): (usize, usize),
    ) {
        let config = self.config;
        let reward = |&reward: &f64| config.reward.apply(reward);
        let rewards: Vec<f64> = episode.rewards[..length].iter().map(reward).collect();
        let is_terminal = episode.terminated && length == episode.len();
        let failed = config.returns_to_go == ReturnsToGo::Sparse
            && rewards.iter().all(|&reward| reward <= least);
        let returns = if failed {
            let endless = least / (1.0 - config.discount);
            vec![endless; length]
        } else {
            returns_to_go(&rewards, config.discount)
        };
        for (row, out) in rows.chunks_exact_mut(width).take(length).enumerate() {
            let end = (row + config.n_step).min(length);
            let mut sum = NStep::new(config.discount);
            rewards[row..end].iter().for_each(|&reward| sum.add(reward));
            let steps = sum.steps as f32;
            let ends_in_terminal = is_terminal && end == length;
            out[at] = sum.sum as f32;
            out[at + 1] = if ends_in_terminal { -steps } else { steps };
            if self.shape.has_returns {
                out[at + 2] = returns[row] as f32;
            }
        }
    }

    /// The least transformed reward of the dataset; only sparse returns need it.
    fn least_reward(&self) -> f64 {
        if self.config.returns_to_go != ReturnsToGo::Sparse {
            return f64::NEG_INFINITY;
        }
        let rewards = self.dataset.iter().flat_map(|episode| episode.rewards);
        let transformed = rewards.map(|&reward| self.config.reward.apply(reward));
        transformed.fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests;
