//! The numbers of windows: a dataset in the model's units, converted once.
//!
//! For a dataset in memory the converted numbers are in memory. For a mapped one they are in a file
//! next to its store, which has no name and is deleted with the sampler. Half as large as the
//! store, it is also what a training step reads: half as much, and nothing to compute.

use super::WindowConfig;
use crate::sample::actions::ActionUnits;
use crate::sample::blocks::{Blocks, Filling};
use crate::{Dataset, EpisodeColumn, Error, LabelKind, Labels, Normaliser, returns_to_go};

/// Consecutive steps of one episode.
#[derive(Clone, Copy, Default)]
pub(super) struct EpisodeSlice {
    /// The first step, counted in its episode.
    pub(super) first: usize,
    /// The first step, counted over all episodes.
    pub(super) step: usize,
    pub(super) length: usize,
    /// The episode, if its last step is the slice's.
    pub(super) ends: Option<usize>,
}

/// How stored numbers are converted to the model's units.
#[derive(Debug)]
pub(super) struct Units {
    normaliser: Normaliser,
    return_scale: f64,
    actions: ActionUnits,
    next_observations: bool,
}

impl Units {
    pub(super) fn new(
        dataset: &Dataset,
        normaliser: &Normaliser,
        config: &WindowConfig,
    ) -> Result<Self, Error> {
        Ok(Self {
            normaliser: normaliser.clone(),
            return_scale: config.return_scale,
            actions: ActionUnits::of(&dataset.info().action_space, config.action_map.as_ref())?,
            next_observations: config.next_observations,
        })
    }

    fn returns(&self, returns: &[f64], out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(returns) {
            *out = (value / self.return_scale) as f32;
        }
    }
}

/// The numbers of a dataset's windows.
#[derive(Debug)]
pub(super) struct Source {
    actions: ActionUnits,
    /// Whether only a window's last step has its own label.
    consistent: bool,
    /// Observations, actions, and what the model is told: returns-to-go or labels. Consistent
    /// labels have two numbers: the return-to-go, and how far the label is above it.
    blocks: Blocks<3>,
    /// The observation behind each episode's last step, normalised: episodes x S. Empty if no
    /// window has next observations.
    last_observations: Vec<f32>,
}

impl Source {
    /// Checks every number and converts it.
    pub(super) fn new(dataset: &Dataset, units: Units) -> Result<Self, Error> {
        let s = dataset.observation_width();
        // The store fits on the disk, so a file half as large does too.
        let directory = dataset.store().map(|store| store.parent().unwrap_or(store));
        let labels = dataset.labels();
        let kind = labels.map(Labels::kind);
        let consistent = kind == Some(LabelKind::Return { consistent: true });
        let widths = [s, dataset.action_width(), 1 + usize::from(consistent)];
        let mut filling = Filling::new(widths, dataset.steps(), directory)?;
        let (mut observations, mut actions, mut returns) = (Vec::new(), Vec::new(), Vec::new());
        let mut last_observations = Vec::new();
        for (index, episode) in dataset.iter().enumerate() {
            let steps = episode.len();
            let seen = steps + usize::from(units.next_observations);
            observations.resize(seen * s, 0.0);
            let stored = &episode.observations[..seen * s];
            units.normaliser.apply(stored, &mut observations);
            if let Some(at) = observations.iter().position(|x| !x.is_finite()) {
                return Err(Error::Sampling(format!(
                    "{} {} is not finite after normalisation",
                    EpisodeColumn::Observation,
                    at % s
                )));
            }
            let space = &dataset.info().action_space;
            units.actions.check(index, space, episode.actions)?;
            actions.resize(episode.actions.len(), 0.0);
            units.actions.convert(episode.actions, &mut actions);
            let labels = labels.map(|labels| &labels.values()[dataset.starts()[index]..][..steps]);
            let told = match labels {
                None => returns_to_go(episode.rewards, 1.0),
                Some(labels) if consistent => {
                    let rewarded = returns_to_go(episode.rewards, 1.0);
                    let pairs = rewarded.iter().zip(labels);
                    pairs.flat_map(|(r, label)| [*r, label - r]).collect()
                }
                Some(labels) => labels.to_vec(),
            };
            returns.resize(told.len(), 0.0);
            units.returns(&told, &mut returns);
            let (own, last) = observations.split_at(steps * s);
            last_observations.extend_from_slice(last);
            filling.push(steps, [own, &actions, &returns])?;
        }
        Ok(Self {
            blocks: filling.finish()?,
            actions: units.actions,
            consistent,
            last_observations,
        })
    }

    /// Whether only a window's last step has its own label. Then a step has two numbers in the
    /// third column: the return-to-go, and how far its label is above it.
    pub(super) fn is_consistent(&self) -> bool {
        self.consistent
    }

    pub(super) fn action_units(&self) -> &ActionUnits {
        &self.actions
    }

    /// The steps of a stretch: observations, normalised; actions in the model's units, a discrete
    /// one as the index of its choice; returns-to-go or labels, divided by the return scale.
    #[inline]
    pub(super) fn pieces(&self, stretch: EpisodeSlice) -> impl Iterator<Item = [&[f32]; 3]> {
        self.blocks.pieces(stretch.step, stretch.length)
    }

    /// The observation behind a stretch, normalised.
    pub(super) fn next_observation(&self, stretch: EpisodeSlice) -> &[f32] {
        match stretch.ends {
            None => self.blocks.first_column(stretch.step + stretch.length),
            Some(episode) => {
                let [s, _, _] = self.blocks.widths();
                &self.last_observations[episode * s..(episode + 1) * s]
            }
        }
    }

    /// Prefetches a stretch.
    #[inline]
    pub(super) fn fetch(&self, stretch: EpisodeSlice) {
        self.blocks.fetch(stretch.step, stretch.length);
    }
}
