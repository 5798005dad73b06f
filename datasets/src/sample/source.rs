//! Where windows take their numbers from: a dataset in the model's units, converted once.
//!
//! Of a dataset in memory the converted numbers are in memory. Of a mapped one they are in a file
//! beside its store, which has no name and is gone with the sampler. Half as large as the store,
//! it is also what a training step reads: half as much, and nothing to compute.

use rtg_envs::Space;

use super::blocks::{Blocks, Filling, Piece};
use super::{ActionMap, WindowConfig};
use crate::{Column, Dataset, Error, Normaliser, returns_to_go};

/// More choices than this are not laid out as one-hot rows.
const MAX_CHOICES: usize = 4096;

/// Consecutive steps of one episode.
#[derive(Clone, Copy, Default)]
pub(super) struct Stretch {
    /// The first step, counted in its episode.
    pub(super) first: usize,
    /// The first step, counted over all episodes.
    pub(super) step: usize,
    pub(super) length: usize,
}

/// What actions are to a model.
#[derive(Clone, Debug)]
pub(super) enum ActionUnits {
    /// `width` numbers, each less an offset and divided by a scale.
    Continuous { offset: Vec<f64>, scale: Vec<f64> },
    /// One of `n` choices from `start` on.
    Discrete { start: f64, n: usize },
}

/// How stored numbers become a model's.
#[derive(Debug)]
pub(super) struct Units {
    normaliser: Normaliser,
    return_scale: f64,
    pub(super) actions: ActionUnits,
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
        })
    }

    fn actions(&self, actions: &[f64], out: &mut [f32]) {
        match &self.actions {
            ActionUnits::Continuous { offset, scale } => {
                let width = offset.len().max(1);
                let rows = actions.chunks_exact(width).zip(out.chunks_exact_mut(width));
                for (row, out) in rows {
                    for (((out, action), offset), scale) in
                        out.iter_mut().zip(row).zip(offset).zip(scale)
                    {
                        *out = ((action - offset) / scale) as f32;
                    }
                }
            }
            // Choices are fewer than `MAX_CHOICES`, exact in `f32`.
            ActionUnits::Discrete { start, .. } => {
                for (out, action) in out.iter_mut().zip(actions) {
                    *out = (action - start) as f32;
                }
            }
        }
    }

    fn returns(&self, returns: &[f64], out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(returns) {
            *out = (value / self.return_scale) as f32;
        }
    }
}

impl ActionUnits {
    fn of(space: &Space, map: Option<&ActionMap>) -> Result<Self, Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        match *space {
            Space::Discrete { n, .. } if n > MAX_CHOICES => {
                fail(format!("{n} discrete actions are more than {MAX_CHOICES}"))
            }
            Space::Discrete { n, start } => Ok(Self::Discrete {
                start: start as f64,
                n,
            }),
            Space::Box(_) => {
                let width = space.width();
                let (offset, scale) = match map {
                    Some(ActionMap { offset, scale }) => (offset.clone(), scale.clone()),
                    None => (vec![0.0; width], vec![1.0; width]),
                };
                let sound = |scale: &f64| scale.is_finite() && *scale != 0.0;
                if offset.len() != width || scale.len() != width || !scale.iter().all(sound) {
                    return fail(format!("the action map does not fit {width} numbers"));
                }
                Ok(Self::Continuous { offset, scale })
            }
            _ => fail("the action space is neither Box nor Discrete".into()),
        }
    }
}

/// The numbers of a dataset's windows.
#[derive(Debug)]
pub(super) struct Source {
    actions: ActionUnits,
    blocks: Blocks,
}

impl Source {
    /// Checks every number and converts it.
    pub(super) fn new(dataset: &Dataset, units: Units) -> Result<Self, Error> {
        let s = dataset.observation_width();
        // Beside the store there was room for one, so there is for a file half as large.
        let directory = dataset.store().map(|store| store.parent().unwrap_or(store));
        let widths = (s, dataset.action_width());
        let mut filling = Filling::new(widths, dataset.steps(), directory)?;
        let (mut observations, mut actions, mut returns) = (Vec::new(), Vec::new(), Vec::new());
        for (index, episode) in dataset.iter().enumerate() {
            let steps = episode.len();
            observations.resize(steps * s, 0.0);
            let stored = &episode.observations[..steps * s];
            units.normaliser.apply(stored, &mut observations);
            if let Some(at) = observations.iter().position(|x| !x.is_finite()) {
                return Err(Error::Sampling(format!(
                    "{} {} is not finite after normalisation",
                    Column::Observation,
                    at % s
                )));
            }
            if let ActionUnits::Discrete { start, n } = units.actions {
                let space = &dataset.info().action_space;
                let outside = |&action: &f64| !space.contains(&[action]);
                if let Some(step) = episode.actions.iter().position(outside) {
                    return Err(Error::Sampling(format!(
                        "action {} at episode {index}, step {step} is none of {n} choices from {start} on",
                        episode.actions[step]
                    )));
                }
            }
            actions.resize(episode.actions.len(), 0.0);
            units.actions(episode.actions, &mut actions);
            returns.resize(steps, 0.0);
            units.returns(&returns_to_go(episode.rewards, 1.0), &mut returns);
            filling.push(&Piece {
                observations: &observations,
                actions: &actions,
                returns: &returns,
            })?;
        }
        Ok(Self {
            blocks: filling.finish()?,
            actions: units.actions,
        })
    }

    pub(super) fn action_units(&self) -> &ActionUnits {
        &self.actions
    }

    /// The steps of a stretch, normalised, in the model's units and divided by the return scale;
    /// a discrete action is the index of its choice.
    #[inline]
    pub(super) fn pieces(&self, stretch: Stretch) -> impl Iterator<Item = Piece<'_>> {
        self.blocks.pieces(stretch.step, stretch.length)
    }

    /// Lets memory begin to fetch a stretch.
    #[inline]
    pub(super) fn fetch(&self, stretch: Stretch) {
        self.blocks.fetch(stretch.step, stretch.length);
    }
}
