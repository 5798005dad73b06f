//! How a model represents stored actions: numbers in its units, or choices.

use rtg_envs::Space;
use serde::{Deserialize, Serialize};

use crate::Error;

/// More choices than this are not laid out as one-hot rows.
const MAX_CHOICES: usize = 4096;

/// Brings an action into the model's units: `(action - offset) / scale`, for each number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionMap {
    /// The value that becomes 0.
    pub offset: Vec<f64>,
    /// The distance above it that becomes 1; not 0.
    pub scale: Vec<f64>,
}

/// How a model represents actions.
#[derive(Clone, Debug)]
pub(super) enum ActionUnits {
    /// `width` numbers, each less an offset and divided by a scale.
    Continuous { offset: Vec<f64>, scale: Vec<f64> },
    /// One of `n` choices from `start` on.
    Discrete { start: f64, n: usize },
}

impl ActionUnits {
    pub(super) fn of(space: &Space, map: Option<&ActionMap>) -> Result<Self, Error> {
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

    /// Numbers in an action row of a batch: those of the space, or `n` for a discrete action.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Continuous { offset, .. } => offset.len(),
            Self::Discrete { n, .. } => *n,
        }
    }

    pub(super) fn is_discrete(&self) -> bool {
        matches!(self, Self::Discrete { .. })
    }

    /// Refuses the first action that is not one of the choices; `episode` is for the message.
    pub(super) fn check(
        &self,
        episode: usize,
        space: &Space,
        actions: &[f64],
    ) -> Result<(), Error> {
        let Self::Discrete { start, n } = self else {
            return Ok(());
        };
        let outside = |&action: &f64| !space.contains(&[action]);
        match actions.iter().position(outside) {
            None => Ok(()),
            Some(step) => Err(Error::Sampling(format!(
                "action {} at episode {episode}, step {step} is not one of {n} choices from \
                    {start} \
                 on",
                actions[step]
            ))),
        }
    }

    /// Stored actions in the model's units; a discrete one becomes the index of its choice.
    pub(super) fn convert<T: Copy + Into<f64>>(&self, actions: &[T], out: &mut [f32]) {
        match self {
            Self::Continuous { offset, scale } => {
                let width = offset.len().max(1);
                let rows = actions.chunks_exact(width).zip(out.chunks_exact_mut(width));
                for (row, out) in rows {
                    for (((out, action), offset), scale) in
                        out.iter_mut().zip(row).zip(offset).zip(scale)
                    {
                        *out = (((*action).into() - offset) / scale) as f32;
                    }
                }
            }
            // Choices are fewer than `MAX_CHOICES`, exact in `f32`.
            Self::Discrete { start, .. } => {
                for (out, action) in out.iter_mut().zip(actions) {
                    *out = ((*action).into() - start) as f32;
                }
            }
        }
    }
}

/// Writes the one-hot row of a choice.
pub(super) fn one_hot(choice: f32, row: &mut [f32]) {
    row.fill(0.0);
    row[choice as usize] = 1.0;
}
