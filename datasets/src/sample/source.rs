//! Where windows take their numbers from: `f32` columns in the model's units, or a mapped dataset.
//!
//! Both go through [`Units`], so both give the same bits. In memory the columns are converted
//! once; of a mapped dataset only the rows of a window are, each time.

use rtg_envs::Space;

use super::{ActionMap, WindowConfig};
use crate::{Column, Dataset, Error, Normaliser, returns_to_go};

/// More choices than this are not laid out as one-hot rows.
const MAX_CHOICES: usize = 4096;

/// Consecutive steps of one episode.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) episode: usize,
    /// The first step, counted in the episode.
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

    fn continuous(&self, actions: &[f64], out: &mut [f32]) {
        if let ActionUnits::Continuous { offset, scale } = &self.actions {
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
    }

    fn choices(&self, actions: &[f64], out: &mut [u32]) {
        if let ActionUnits::Discrete { start, .. } = self.actions {
            for (out, action) in out.iter_mut().zip(actions) {
                *out = (action - start) as u32;
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
    units: Units,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// All of them, converted.
    Prepared(Prepared),
    /// As they are stored; and returns-to-go that the dataset does not have, converted.
    Stored {
        dataset: Box<Dataset>,
        returns: Option<Vec<f32>>,
    },
}

#[derive(Debug, Default)]
struct Prepared {
    /// `N x S` over all steps of all episodes, without the final observations.
    observations: Vec<f32>,
    /// `N x width`; empty for discrete ones.
    actions: Vec<f32>,
    /// `N`; empty for continuous ones.
    choices: Vec<u32>,
    /// `N`.
    returns: Vec<f32>,
}

impl Source {
    /// Checks every number and prepares what is to be held in memory.
    pub(super) fn new(dataset: &Dataset, units: Units) -> Result<Self, Error> {
        let s = dataset.observation_width();
        let mapped = dataset.is_mapped();
        let keeps_returns = (0..dataset.episodes()).all(|e| dataset.returns_to_go(e).is_some());
        let mut prepared = Prepared::default();
        if !mapped {
            prepared.observations.reserve_exact(dataset.steps() * s);
        }
        let (mut observations, mut actions, mut choices) = (Vec::new(), Vec::new(), Vec::new());
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
            match units.actions {
                ActionUnits::Continuous { .. } => {
                    actions.resize(episode.actions.len(), 0.0);
                    units.continuous(episode.actions, &mut actions);
                }
                ActionUnits::Discrete { start, n } => {
                    let space = &dataset.info().action_space;
                    let outside = |&action: &f64| !space.contains(&[action]);
                    if let Some(step) = episode.actions.iter().position(outside) {
                        return Err(Error::Sampling(format!(
                            "action {} at episode {index}, step {step} is none of {n} choices from {start} on",
                            episode.actions[step]
                        )));
                    }
                    choices.resize(steps, 0);
                    units.choices(episode.actions, &mut choices);
                }
            }
            if !mapped {
                prepared.observations.extend(&observations);
                prepared.actions.extend(&actions);
                prepared.choices.extend(&choices);
            }
            if !(mapped && keeps_returns) {
                let from = prepared.returns.len();
                prepared.returns.resize(from + steps, 0.0);
                let returns = returns_to_go(episode.rewards, 1.0);
                units.returns(&returns, &mut prepared.returns[from..]);
            }
        }
        let kind = if mapped {
            dataset.expect_single_rows();
            Kind::Stored {
                dataset: Box::new(dataset.clone()),
                returns: (!keeps_returns).then_some(prepared.returns),
            }
        } else {
            Kind::Prepared(prepared)
        };
        Ok(Self { units, kind })
    }

    pub(super) fn action_units(&self) -> &ActionUnits {
        &self.units.actions
    }

    /// Writes `length x S` numbers.
    pub(super) fn observations(&self, stretch: Stretch, out: &mut [f32]) {
        let Stretch {
            episode,
            first,
            step,
            length,
        } = stretch;
        let s = self.units.normaliser.width();
        match &self.kind {
            Kind::Prepared(columns) => {
                out.copy_from_slice(&columns.observations[step * s..(step + length) * s]);
            }
            Kind::Stored { dataset, .. } => {
                let rows = &dataset.episode(episode).observations[first * s..(first + length) * s];
                self.units.normaliser.apply(rows, out);
            }
        }
    }

    /// Writes `length` numbers.
    pub(super) fn returns(&self, stretch: Stretch, out: &mut [f32]) {
        let (step, length) = (stretch.step, stretch.length);
        match &self.kind {
            Kind::Prepared(Prepared { returns, .. })
            | Kind::Stored {
                returns: Some(returns),
                ..
            } => out.copy_from_slice(&returns[step..step + length]),
            Kind::Stored { dataset, .. } => {
                let stored = dataset.returns_to_go(stretch.episode).unwrap_or_default();
                let (from, to) = (stretch.first, stretch.first + length);
                self.units.returns(&stored[from..to], out);
            }
        }
    }

    /// Writes `length x width` numbers of continuous actions.
    pub(super) fn continuous(&self, stretch: Stretch, width: usize, out: &mut [f32]) {
        let (first, step, length) = (stretch.first, stretch.step, stretch.length);
        match &self.kind {
            Kind::Prepared(columns) => {
                out.copy_from_slice(&columns.actions[step * width..(step + length) * width]);
            }
            Kind::Stored { dataset, .. } => {
                let actions = dataset.episode(stretch.episode).actions;
                let rows = &actions[first * width..(first + length) * width];
                self.units.continuous(rows, out);
            }
        }
    }

    /// Writes `length` choices.
    pub(super) fn choices(&self, stretch: Stretch, out: &mut [u32]) {
        let (first, step, length) = (stretch.first, stretch.step, stretch.length);
        match &self.kind {
            Kind::Prepared(columns) => out.copy_from_slice(&columns.choices[step..step + length]),
            Kind::Stored { dataset, .. } => {
                let actions = dataset.episode(stretch.episode).actions;
                self.units.choices(&actions[first..first + length], out);
            }
        }
    }
}
