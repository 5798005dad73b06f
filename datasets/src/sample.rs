//! Training windows: `K` consecutive steps of one episode, padded where the episode is shorter.
//!
//! Shapes: `B` rows of a batch, `K` steps of context, `S` observation numbers, `A` action numbers.
//!
//! Both peers draw an episode with a probability proportional to its length and then a start in
//! it uniformly. That is one uniform draw over all steps, and the step fixes the episode. In a
//! mixture an episode's probability is its length times its weight. The window runs from the drawn
//! step on, to the episode's end at most.
//!
//! | | official (kzl) | CORL |
//! |---|---|---|
//! | padding stands | before the steps | after the steps |
//! | observation there | 0 before normalisation, `-mean / std` after | 0 after normalisation |
//! | action there | -10 in every number | 0 |
//! | return-to-go there | 0 | 0 |
//! | timestep there | 0 | runs on past the episode |
//! | timestep of a step | at most `max_episode_steps - 1` | not limited |
//!
//! [`WindowConfig::official`] and [`WindowConfig::corl`] are these two columns.

use rand::{Rng, RngExt};
use rtg_envs::Space;

use crate::{Column, Dataset, EpisodeView, Error, Normaliser};

/// More choices than this are not laid out as one-hot rows.
const MAX_CHOICES: usize = 4096;

/// Where the padding of a short window stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Before the steps: the last step is always in the last place.
    Left,
    /// After the steps: the first step is always in the first place.
    #[default]
    Right,
}

/// What fills the places that no step fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    /// The observation there.
    pub observation: PaddedObservation,
    /// Every number of the action there, of a one-hot row too.
    pub action: f32,
}

/// The observation of a padded place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddedObservation {
    /// Zeros that are then normalised: `-mean / std`.
    ZeroBeforeNormalisation,
    /// Zeros as the model sees them: the mean observation.
    ZeroAfterNormalisation,
}

/// Brings an action into the model's units: `(action - offset) / scale`, for each number.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionMap {
    /// What becomes 0.
    pub offset: Vec<f64>,
    /// What becomes 1 above it; not 0.
    pub scale: Vec<f64>,
}

/// How windows are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowConfig {
    /// Steps in a window, `K`.
    pub context: usize,
    /// Where the padding stands.
    pub side: Side,
    /// What it is filled with.
    pub padding: Padding,
    /// Returns-to-go are divided by this.
    pub return_scale: f64,
    /// The largest timestep; later ones become this one. `None`: no limit.
    pub max_timestep: Option<usize>,
    /// The map of continuous actions into the model's units. `None`: as they are stored.
    pub action_map: Option<ActionMap>,
}

impl WindowConfig {
    /// The windows of the official Decision Transformer.
    pub fn official(context: usize, return_scale: f64, max_episode_steps: usize) -> Self {
        Self {
            context,
            side: Side::Left,
            padding: Padding {
                observation: PaddedObservation::ZeroBeforeNormalisation,
                action: -10.0,
            },
            return_scale,
            max_timestep: Some(max_episode_steps.saturating_sub(1)),
            action_map: None,
        }
    }

    /// The windows of CORL's Decision Transformer.
    pub fn corl(context: usize, return_scale: f64) -> Self {
        Self {
            context,
            side: Side::Right,
            padding: Padding {
                observation: PaddedObservation::ZeroAfterNormalisation,
                action: 0.0,
            },
            return_scale,
            max_timestep: None,
            action_map: None,
        }
    }
}

/// `B` windows. Reuse one batch: it allocates when it grows only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `B x K x S`, normalised.
    pub observations: Vec<f32>,
    /// `B x K x A` in the model's units; for discrete actions one-hot rows, `A = n`.
    pub actions: Vec<f32>,
    /// `B x K`: the index of each discrete action, 0 in the padding. Empty for continuous ones.
    pub labels: Vec<u32>,
    /// `B x K`, divided by the return scale.
    pub returns_to_go: Vec<f32>,
    /// `B x K`, counted from the episode's start.
    pub timesteps: Vec<u32>,
    /// `B`: how many of the `K` places hold a step.
    pub lengths: Vec<usize>,
    /// Where the other places are.
    pub side: Side,
    /// `B`.
    pub rows: usize,
    /// `K`.
    pub context: usize,
}

impl Batch {
    /// The places of `row` that hold steps, counted in `0..K`.
    pub fn valid(&self, row: usize) -> std::ops::Range<usize> {
        match self.side {
            Side::Left => self.context - self.lengths[row]..self.context,
            Side::Right => 0..self.lengths[row],
        }
    }
}

/// Draws windows from a dataset, whose numbers it keeps as `f32` in the model's units.
#[derive(Debug)]
pub struct WindowSampler {
    config: WindowConfig,
    /// `N x S` over all steps of all episodes, without the final observations.
    observations: Vec<f32>,
    actions: Actions,
    /// `N`.
    returns_to_go: Vec<f32>,
    /// As [`Dataset::starts`].
    starts: Vec<usize>,
    /// Steps times weight of all episodes up to and with each; empty where all weigh alike.
    shares: Vec<f64>,
    /// `S`.
    padded_observation: Vec<f32>,
}

#[derive(Debug)]
enum Actions {
    /// `N x width`.
    Continuous { numbers: Vec<f32>, width: usize },
    /// `N`, each below `n`.
    Discrete { labels: Vec<u32>, n: usize },
}

impl WindowSampler {
    /// Prepares the columns: normalises observations, sums returns-to-go, maps actions.
    pub fn new(
        dataset: &Dataset,
        normaliser: &Normaliser,
        config: WindowConfig,
    ) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        let s = dataset.observation_width();
        if dataset.steps() == 0 {
            return fail("the dataset has no steps".into());
        }
        if config.context == 0 {
            return fail("the context is 0 steps".into());
        }
        if normaliser.mean.len() != s || normaliser.std.len() != s {
            return fail(format!(
                "the normaliser has {} dimensions, observations {s}",
                normaliser.width()
            ));
        }
        if !config.return_scale.is_finite() || config.return_scale == 0.0 {
            return fail(format!("the return scale is {}", config.return_scale));
        }
        let mut observations = vec![0.0; dataset.steps() * s];
        let mut returns_to_go = Vec::with_capacity(dataset.steps());
        let mut free = observations.as_mut_slice();
        for episode in dataset.iter() {
            let (own, rest) = free.split_at_mut(episode.len() * s);
            normaliser.apply(&episode.observations[..episode.len() * s], own);
            free = rest;
            let returns = crate::returns_to_go(episode.rewards, 1.0);
            returns_to_go.extend(returns.iter().map(|r| (r / config.return_scale) as f32));
        }
        if let Some(at) = observations.iter().position(|x| !x.is_finite()) {
            return fail(format!(
                "{} {} is not finite after normalisation",
                Column::Observation,
                at % s
            ));
        }
        let mut padded_observation = vec![0.0; s];
        if config.padding.observation == PaddedObservation::ZeroBeforeNormalisation {
            normaliser.apply(&vec![0.0; s], &mut padded_observation);
        }
        Ok(Self {
            actions: Actions::of(dataset, config.action_map.as_ref())?,
            observations,
            returns_to_go,
            starts: dataset.starts().to_vec(),
            shares: shares(dataset),
            padded_observation,
            config,
        })
    }

    /// How windows are cut.
    pub fn config(&self) -> &WindowConfig {
        &self.config
    }

    /// Numbers in an action row of a batch: those of the space, or `n` for a discrete action.
    pub fn action_width(&self) -> usize {
        match self.actions {
            Actions::Continuous { width, .. } => width,
            Actions::Discrete { n, .. } => n,
        }
    }

    /// Fills `batch` with `rows` windows. The same generator state gives the same batch.
    pub fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Batch) {
        self.shape(rows, batch);
        for row in 0..rows {
            let step = self.draw(rng);
            self.write(step, row, batch);
        }
    }

    /// Draws the step, counted over all episodes, at which a window begins.
    fn draw(&self, rng: &mut impl Rng) -> usize {
        let Some(&all) = self.shares.last() else {
            return rng.random_range(0..self.returns_to_go.len() as u64) as usize;
        };
        let share = rng.random::<f64>() * all;
        let last = self.shares.len() - 1;
        let episode = self
            .shares
            .partition_point(|&up_to| up_to <= share)
            .min(last);
        rng.random_range(self.starts[episode] as u64..self.starts[episode + 1] as u64) as usize
    }

    /// Gives the batch its sizes, without allocation if it has had them before.
    fn shape(&self, rows: usize, batch: &mut Batch) {
        let context = self.config.context;
        let places = rows * context;
        batch
            .observations
            .resize(places * self.padded_observation.len(), 0.0);
        batch.actions.resize(places * self.action_width(), 0.0);
        let labels = if matches!(self.actions, Actions::Discrete { .. }) {
            places
        } else {
            0
        };
        batch.labels.resize(labels, 0);
        batch.returns_to_go.resize(places, 0.0);
        batch.timesteps.resize(places, 0);
        batch.lengths.resize(rows, 0);
        (batch.side, batch.rows, batch.context) = (self.config.side, rows, context);
    }

    /// Writes the window that begins at `step`, counted over all episodes, into a row.
    fn write(&self, step: usize, row: usize, batch: &mut Batch) {
        let context = self.config.context;
        let episode = self.starts.partition_point(|&start| start <= step) - 1;
        let first_timestep = step - self.starts[episode];
        let length = context.min(self.starts[episode + 1] - step);
        batch.lengths[row] = length;
        let valid = batch.valid(row);
        let (first, last) = (row * context + valid.start, row * context + valid.end);
        let (begin, end) = (row * context, (row + 1) * context);

        let s = self.padded_observation.len();
        let source = &self.observations[step * s..(step + length) * s];
        batch.observations[first * s..last * s].copy_from_slice(source);
        let returns = &self.returns_to_go[step..step + length];
        batch.returns_to_go[first..last].copy_from_slice(returns);
        for padding in [begin..first, last..end] {
            for place in padding.clone() {
                batch.observations[place * s..(place + 1) * s]
                    .copy_from_slice(&self.padded_observation);
            }
            batch.returns_to_go[padding].fill(0.0);
        }
        self.actions.write(
            step,
            length,
            self.config.padding.action,
            begin..end,
            first,
            batch,
        );

        let limit = self.config.max_timestep.unwrap_or(usize::MAX);
        batch.timesteps[begin..first].fill(0);
        for (k, timestep) in batch.timesteps[first..end].iter_mut().enumerate() {
            *timestep = (first_timestep + k).min(limit) as u32;
        }
    }
}

/// Steps times weight of a mixture's episodes, summed up; empty where all weigh alike.
fn shares(dataset: &Dataset) -> Vec<f64> {
    let weights = dataset.weights().unwrap_or_default();
    let own = dataset.iter().zip(weights);
    let sum = |sum: &mut f64, (episode, weight): (EpisodeView<'_>, &f64)| {
        *sum += episode.len() as f64 * weight;
        Some(*sum)
    };
    own.scan(0.0, sum).collect()
}

impl Actions {
    /// The actions of a dataset in the model's units.
    fn of(dataset: &Dataset, map: Option<&ActionMap>) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        match dataset.info().action_space {
            Space::Discrete { n, start } => {
                if n > MAX_CHOICES {
                    return fail(format!("{n} discrete actions are more than {MAX_CHOICES}"));
                }
                let mut labels = Vec::with_capacity(dataset.steps());
                for (index, episode) in dataset.iter().enumerate() {
                    for (step, &action) in episode.actions.iter().enumerate() {
                        if !dataset.info().action_space.contains(&[action]) {
                            return fail(format!(
                                "action {action} at episode {index}, step {step} is none of {n} choices from {start} on"
                            ));
                        }
                        labels.push((action - start as f64) as u32);
                    }
                }
                Ok(Self::Discrete { labels, n })
            }
            Space::Box(_) => {
                let width = dataset.action_width();
                let (offset, scale) = match map {
                    Some(ActionMap { offset, scale }) => (offset.clone(), scale.clone()),
                    None => (vec![0.0; width], vec![1.0; width]),
                };
                let sound = |scale: &f64| scale.is_finite() && *scale != 0.0;
                if offset.len() != width || scale.len() != width || !scale.iter().all(sound) {
                    return fail(format!("the action map does not fit {width} numbers"));
                }
                let mut numbers = Vec::with_capacity(dataset.steps() * width);
                for episode in dataset.iter() {
                    let mapped = |(i, action): (usize, &f64)| {
                        ((action - offset[i % width]) / scale[i % width]) as f32
                    };
                    numbers.extend(episode.actions.iter().enumerate().map(mapped));
                }
                Ok(Self::Continuous { numbers, width })
            }
            _ => fail("the action space is neither Box nor Discrete".into()),
        }
    }

    /// Writes `length` actions from `step` on at place `first`, and the padding around them.
    fn write(
        &self,
        step: usize,
        length: usize,
        padding: f32,
        places: std::ops::Range<usize>,
        first: usize,
        batch: &mut Batch,
    ) {
        let last = first + length;
        match self {
            Self::Continuous { numbers, width } => {
                batch.actions[places.start * width..first * width].fill(padding);
                batch.actions[last * width..places.end * width].fill(padding);
                let source = &numbers[step * width..(step + length) * width];
                batch.actions[first * width..last * width].copy_from_slice(source);
            }
            Self::Discrete { labels, n } => {
                batch.actions[places.start * n..first * n].fill(padding);
                batch.actions[last * n..places.end * n].fill(padding);
                batch.actions[first * n..last * n].fill(0.0);
                batch.labels[places.clone()].fill(0);
                for (place, &label) in (first..last).zip(&labels[step..]) {
                    batch.labels[place] = label;
                    batch.actions[place * n + label as usize] = 1.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
