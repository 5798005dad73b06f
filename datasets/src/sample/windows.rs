//! Training windows: `K` consecutive steps of one episode, padded where the episode is shorter.
//!
//! The peers draw an episode with a probability proportional to its length and then a step in it
//! uniformly. That is one uniform draw over all steps, and the step fixes the episode. In a
//! mixture an episode's probability is its length times its weight. The window runs from the drawn
//! step on, to the episode's end at most, or up to it, from the episode's start at most.
//!
//! | | official (kzl) | CORL | d3rlpy |
//! |---|---|---|---|
//! | drawn step | the first | the first | the last |
//! | padding | before the steps | after the steps | before the steps |
//! | observation in the padding | 0 before normalisation, `-mean / std` after | 0 after normalisation | as official |
//! | action in the padding | -10 in every number | 0 | 0 |
//! | return-to-go in the padding | 0 | 0 | 0 |
//! | timestep in the padding | 0 | runs on past the episode | 0 |
//! | timestep of a step | from 0, at most `max_episode_steps - 1` | from 0, not limited | from 1, at most `max_episode_steps` |
//!
//! [`WindowConfig::official`], [`WindowConfig::corl`] and [`WindowConfig::d3rlpy`] are these
//! columns.

mod columns;
mod source;

use rand::Rng;

pub use self::columns::Columns;
use self::source::{EpisodeSlice, Source, Units};
use super::actions::{ActionMap, one_hot};
use super::draws::Draws;
use super::{AHEAD, Sampler};
use crate::{Dataset, Error, Normaliser};

/// Where a short window is padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Before the steps: the last step is always at the last position.
    Left,
    /// After the steps: the first step is always at the first position.
    #[default]
    Right,
}

/// Which step of a window is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// Its first step.
    #[default]
    First,
    /// Its last step.
    Last,
}

/// The values of the padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    /// The observation in the padding.
    pub observation: PaddedObservation,
    /// Every number of the action in the padding, of a one-hot row too.
    pub action: f32,
}

/// The observation at a padded position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddedObservation {
    /// Zeros that are then normalised: `-mean / std`.
    ZeroBeforeNormalisation,
    /// Zeros as the model sees them: the mean observation.
    ZeroAfterNormalisation,
}

/// How windows are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowConfig {
    /// Steps in a window, `K`.
    pub context: usize,
    /// Which of its steps is drawn.
    pub anchor: Anchor,
    /// Where the padding is.
    pub side: Side,
    /// The values of the padding.
    pub padding: Padding,
    /// Returns-to-go are divided by this.
    pub return_scale: f64,
    /// The timestep of an episode's first step.
    pub first_timestep: u32,
    /// The largest timestep; later ones become this one. `None`: no limit.
    pub max_timestep: Option<usize>,
    /// The map of continuous actions into the model's units. `None`: as they are stored.
    pub action_map: Option<ActionMap>,
    /// Whether batches have [`Batch::next_observations`].
    pub next_observations: bool,
}

impl WindowConfig {
    /// The windows of the official Decision Transformer.
    pub fn official(context: usize, return_scale: f64, max_episode_steps: usize) -> Self {
        Self {
            context,
            anchor: Anchor::First,
            side: Side::Left,
            padding: Padding {
                observation: PaddedObservation::ZeroBeforeNormalisation,
                action: -10.0,
            },
            return_scale,
            first_timestep: 0,
            max_timestep: Some(max_episode_steps.saturating_sub(1)),
            action_map: None,
            next_observations: false,
        }
    }

    /// The windows of CORL's Decision Transformer.
    pub fn corl(context: usize, return_scale: f64) -> Self {
        Self {
            context,
            anchor: Anchor::First,
            side: Side::Right,
            padding: Padding {
                observation: PaddedObservation::ZeroAfterNormalisation,
                action: 0.0,
            },
            return_scale,
            first_timestep: 0,
            max_timestep: None,
            action_map: None,
            next_observations: false,
        }
    }

    /// The windows of d3rlpy's Decision Transformer.
    pub fn d3rlpy(context: usize, return_scale: f64, max_episode_steps: usize) -> Self {
        Self {
            anchor: Anchor::Last,
            padding: Padding {
                observation: PaddedObservation::ZeroBeforeNormalisation,
                action: 0.0,
            },
            first_timestep: 1,
            max_timestep: Some(max_episode_steps),
            ..Self::official(context, return_scale, max_episode_steps)
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
    /// `B x K`, divided by the return scale; labels, where the dataset has any.
    pub returns_to_go: Vec<f32>,
    /// `B x S`, normalised: the observation behind each window's last step. Empty unless
    /// [`WindowConfig::next_observations`].
    pub next_observations: Vec<f32>,
    /// `B x K`, counted from the episode's start, which is [`WindowConfig::first_timestep`].
    pub timesteps: Vec<u32>,
    /// `B`: the number of steps in each window, at most `K`.
    pub lengths: Vec<usize>,
    /// Where the other places are.
    pub side: Side,
    /// `B`.
    pub rows: usize,
    /// `K`.
    pub context: usize,
}

impl Batch {
    /// The positions of `row` that contain steps, within `0..K`.
    pub fn valid(&self, row: usize) -> std::ops::Range<usize> {
        match self.side {
            Side::Left => self.context - self.lengths[row]..self.context,
            Side::Right => 0..self.lengths[row],
        }
    }
}

/// Draws windows from a dataset.
///
/// It keeps its own numbers, `f32` in the model's units: in memory for a dataset in memory, for a
/// mapped one ([`Dataset::is_mapped`]) in a file next to its store that is deleted with the
/// sampler. The same generator gives the same batches in both cases, bit for bit.
#[derive(Debug)]
pub struct WindowSampler {
    config: WindowConfig,
    source: Source,
    /// Every step of every episode.
    draws: Draws,
    /// `S`.
    padded_observation: Vec<f32>,
}

impl WindowSampler {
    /// Checks the data and prepares the numbers: normalises observations, sums returns-to-go, maps
    /// actions.
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
            return fail("context must be at least 1 step".into());
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
        let mut padded_observation = vec![0.0; s];
        if config.padding.observation == PaddedObservation::ZeroBeforeNormalisation {
            normaliser.apply(&vec![0.0; s], &mut padded_observation);
        }
        let units = Units::new(dataset, normaliser, &config)?;
        let lengths: Vec<usize> = dataset.iter().map(|episode| episode.len()).collect();
        Ok(Self {
            source: Source::new(dataset, units)?,
            draws: Draws::new(&lengths, dataset.weights()),
            padded_observation,
            config,
        })
    }

    /// How windows are cut.
    pub fn config(&self) -> &WindowConfig {
        &self.config
    }

    /// Whether only the last step of a window has its own label; then windows cannot be cut from
    /// [`columns`](Self::columns).
    pub fn is_consistent(&self) -> bool {
        self.source.is_consistent()
    }

    /// Numbers in an action row of a batch: those of the space, or `n` for a discrete action.
    pub fn action_width(&self) -> usize {
        self.source.action_units().width()
    }

    /// Fills `batch` with `rows` windows. The same generator state gives the same batch.
    pub fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Batch) {
        self.shape(rows, batch);
        let mut drawn = [EpisodeSlice::default(); AHEAD];
        for next in 0..rows + AHEAD {
            if let Some(row) = next.checked_sub(AHEAD) {
                self.write(drawn[row % AHEAD], row, batch);
            }
            if next < rows {
                let stretch = self.stretch(self.draws.draw(rng));
                self.source.fetch(stretch);
                drawn[next % AHEAD] = stretch;
            }
        }
    }

    /// Resizes the batch, without allocation if it has had these sizes before.
    fn shape(&self, rows: usize, batch: &mut Batch) {
        let context = self.config.context;
        let places = rows * context;
        batch
            .observations
            .resize(places * self.padded_observation.len(), 0.0);
        batch.actions.resize(places * self.action_width(), 0.0);
        let is_discrete = self.source.action_units().is_discrete();
        let labels = if is_discrete { places } else { 0 };
        batch.labels.resize(labels, 0);
        batch.returns_to_go.resize(places, 0.0);
        let next = usize::from(self.config.next_observations) * rows;
        (batch.next_observations).resize(next * self.padded_observation.len(), 0.0);
        batch.timesteps.resize(places, 0);
        batch.lengths.resize(rows, 0);
        (batch.side, batch.rows, batch.context) = (self.config.side, rows, context);
    }

    /// The window that begins or ends at `step`, counted over all episodes.
    fn stretch(&self, step: usize) -> EpisodeSlice {
        let (episode, starts) = (self.draws.episode(step), self.draws.starts());
        let (context, begin) = (self.config.context, starts[episode]);
        let first = match self.config.anchor {
            Anchor::First => step,
            Anchor::Last => begin.max((step + 1).saturating_sub(context)),
        };
        let end = match self.config.anchor {
            Anchor::First => starts[episode + 1].min(step + context),
            Anchor::Last => step + 1,
        };
        EpisodeSlice {
            first: first - begin,
            step: first,
            length: end - first,
            ends: (end == starts[episode + 1]).then_some(episode),
        }
    }

    /// Writes a window into a row.
    fn write(&self, stretch: EpisodeSlice, row: usize, batch: &mut Batch) {
        batch.lengths[row] = stretch.length;
        let valid = batch.valid(row);
        let (begin, end) = (row * batch.context, (row + 1) * batch.context);
        let (first, last) = (begin + valid.start, begin + valid.end);
        for padding in [begin..first, last..end] {
            if !padding.is_empty() {
                self.pad(padding, batch);
            }
        }
        let (s, width) = (self.padded_observation.len(), self.action_width());
        let mut place = first;
        let is_discrete = self.source.action_units().is_discrete();
        let is_consistent = self.source.is_consistent();
        // How far the label of the last step is above its return-to-go.
        let mut above = 0.0;
        for [observations, stored, returns] in self.source.pieces(stretch) {
            let steps = returns.len() / (1 + usize::from(is_consistent));
            let next = place + steps;
            batch.observations[place * s..next * s].copy_from_slice(observations);
            let told = &mut batch.returns_to_go[place..next];
            if is_consistent {
                let (pairs, _) = returns.as_chunks();
                for (told, &[return_to_go, gap]) in told.iter_mut().zip(pairs) {
                    *told = return_to_go;
                    above = gap;
                }
            } else {
                told.copy_from_slice(returns);
            }
            let actions = &mut batch.actions[place * width..next * width];
            if is_discrete {
                let rows = actions.chunks_exact_mut(width).zip(stored);
                for ((row, &choice), label) in rows.zip(&mut batch.labels[place..next]) {
                    *label = choice as u32;
                    one_hot(choice, row);
                }
            } else {
                actions.copy_from_slice(stored);
            }
            place = next;
        }
        if is_consistent {
            for told in &mut batch.returns_to_go[first..last] {
                *told += above;
            }
        }
        if self.config.next_observations {
            let next = &mut batch.next_observations[row * s..(row + 1) * s];
            next.copy_from_slice(self.source.next_observation(stretch));
        }
        let limit = self.config.max_timestep.unwrap_or(usize::MAX);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        batch.timesteps[begin..first].fill(0);
        for (timestep, here) in batch.timesteps[first..end]
            .iter_mut()
            .zip(self.config.first_timestep + stretch.first as u32..)
        {
            *timestep = here.min(limit);
        }
    }

    /// Fills the padding, except its timesteps.
    fn pad(&self, places: std::ops::Range<usize>, batch: &mut Batch) {
        let (s, width) = (self.padded_observation.len(), self.action_width());
        for place in places.clone() {
            batch.observations[place * s..(place + 1) * s]
                .copy_from_slice(&self.padded_observation);
        }
        batch.actions[places.start * width..places.end * width].fill(self.config.padding.action);
        batch.returns_to_go[places.clone()].fill(0.0);
        if self.source.action_units().is_discrete() {
            batch.labels[places].fill(0);
        }
    }
}

impl Sampler for WindowSampler {
    type Batch = Batch;

    fn sample(&self, rng: &mut impl Rng, rows: usize, batch: &mut Batch) {
        Self::sample(self, rng, rows, batch);
    }
}

#[cfg(test)]
mod tests;
