//! Conversion of actions between the environment's units and a network's.

use rtg_datasets::sample::ActionMap;
use rtg_envs::Space;
use serde::{Deserialize, Serialize};

use super::Error;
use rtg_kernels::{Head, Objective};

/// How a box of actions is represented in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxUnits {
    /// Mapped onto [-1, 1], dimension by dimension.
    Unit,
    /// Unchanged if all bounds are [-m, m] for one m, CORL's `max_action`; else mapped onto [-1,
    /// 1].
    Symmetric,
}

/// The representation of an action in the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionCodec {
    /// One of `n` actions, the first being `start`: a one-hot row; the head outputs logits.
    Discrete {
        /// Number of actions.
        n: usize,
        /// The smallest action.
        start: i64,
    },
    /// Numbers: (action - offset) / scale; the head outputs tanh times `max_action`.
    Continuous {
        /// Subtracted from each action number.
        offset: Vec<f64>,
        /// Divides each action number; 0 where both bounds are equal, and the network's output is
        /// ignored.
        scale: Vec<f64>,
        /// Largest action in the network.
        max_action: f64,
    },
}

impl ActionCodec {
    /// The codec for an action space.
    ///
    /// kzl's head is tanh, CORL's is tanh scaled by the environment's single `max_action`. Both are
    /// reproduced where they apply: for bounds of [-1, 1], and in `corl` for bounds of [-m, m]. Any
    /// other finite box is mapped onto [-1, 1], dimension by dimension.
    ///
    /// # Errors
    /// A space without finite bounds, or one that is neither a box nor discrete; the text says
    /// which it is.
    pub fn of(units: BoxUnits, space: &Space) -> Result<Self, String> {
        let space = match space {
            Space::Discrete { n, start } => {
                return Ok(Self::Discrete {
                    n: *n,
                    start: *start,
                });
            }
            Space::Box(space) => space,
            other => return Err(format!("{other:?}")),
        };
        let bounds = || space.low.iter().zip(&space.high);
        if !bounds().all(|(low, high)| low.is_finite() && high.is_finite() && low <= high) {
            return Err("it is a box without finite bounds".to_owned());
        }
        let count = space.low.len();
        let limit = space.high.first().copied().unwrap_or(1.0);
        let is_limit = |bound: f64| (bound.abs() - limit).abs() < f64::EPSILON * limit.abs();
        if units == BoxUnits::Symmetric
            && bounds().all(|(&low, &high)| is_limit(low) && is_limit(high))
        {
            return Ok(Self::Continuous {
                offset: vec![0.0; count],
                scale: vec![1.0; count],
                max_action: limit,
            });
        }
        Ok(Self::Continuous {
            offset: bounds().map(|(low, high)| 0.5 * (high + low)).collect(),
            scale: bounds().map(|(low, high)| 0.5 * (high - low)).collect(),
            max_action: 1.0,
        })
    }

    /// The codec of an algorithm that supports only boxes with finite bounds.
    ///
    /// # Errors
    /// Any other space.
    pub fn continuous(
        algorithm: &'static str,
        units: BoxUnits,
        space: &Space,
    ) -> Result<Self, Error> {
        let found = match Self::of(units, space) {
            Ok(actions @ Self::Continuous { .. }) => return Ok(actions),
            Ok(Self::Discrete { n, .. }) => format!("{n} discrete actions"),
            Err(found) => found,
        };
        Err(Error::ActionSpace { algorithm, found })
    }

    /// The codec of an algorithm that supports only discrete actions.
    ///
    /// # Errors
    /// Any other space.
    pub fn discrete(algorithm: &'static str, space: &Space) -> Result<Self, Error> {
        let found = match Self::of(BoxUnits::Unit, space) {
            Ok(actions @ Self::Discrete { .. }) => return Ok(actions),
            Ok(Self::Continuous { .. }) => "continuous actions".to_owned(),
            Err(found) => found,
        };
        Err(Error::ActionSpace { algorithm, found })
    }

    /// Numbers of an action in the network: classes or dimensions.
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { n, .. } => *n,
            Self::Continuous { offset, .. } => offset.len(),
        }
    }

    /// The largest number of an action in the network: 1 in a one-hot row.
    pub fn max_action(&self) -> f64 {
        match self {
            Self::Discrete { .. } => 1.0,
            Self::Continuous { max_action, .. } => *max_action,
        }
    }

    /// The bounds of the environment's actions: the lower ones, the upper ones; none of discrete
    /// actions.
    pub fn bounds(&self) -> Option<[Vec<f64>; 2]> {
        let Self::Continuous {
            offset,
            scale,
            max_action,
        } = self
        else {
            return None;
        };
        let reach = |sign: f64| {
            let numbers = offset.iter().zip(scale);
            numbers
                .map(|(offset, scale)| offset + sign * max_action * scale)
                .collect()
        };
        Some([reach(-1.0), reach(1.0)])
    }

    /// The function of the network's last layer.
    pub fn head(&self) -> Head {
        match self {
            Self::Discrete { .. } => Head::Logits,
            Self::Continuous { max_action, .. } => Head::Tanh {
                scale: *max_action as f32,
            },
        }
    }

    /// The network's loss.
    pub fn objective(&self) -> Objective {
        match self {
            Self::Discrete { .. } => Objective::CrossEntropy,
            Self::Continuous { .. } => Objective::SquaredError,
        }
    }

    /// How the sampler maps stored actions; discrete ones are unchanged.
    pub fn action_map(&self) -> Option<ActionMap> {
        match self {
            Self::Discrete { .. } => None,
            Self::Continuous { offset, scale, .. } => Some(ActionMap {
                offset: offset.clone(),
                scale: scale.iter().map(|&scale| divisor(scale)).collect(),
            }),
        }
    }

    /// The environment's action, from the head's outputs (the likeliest one, from logits).
    pub fn decode(&self, output: &[f32], action: &mut [f64]) {
        match self {
            Self::Discrete { start, .. } => {
                let best = output.iter().enumerate().fold(0, |best, (index, value)| {
                    if *value > output[best] { index } else { best }
                });
                action[0] = (*start + best as i64) as f64;
            }
            Self::Continuous { offset, scale, .. } => {
                let numbers = output.iter().zip(scale.iter().zip(offset));
                for (slot, (&output, (scale, offset))) in action.iter_mut().zip(numbers) {
                    *slot = f64::from(output) * scale + offset;
                }
            }
        }
    }

    /// The network's row for an environment's action.
    pub fn encode(&self, action: &[f64], row: &mut [f32]) {
        match self {
            Self::Discrete { start, .. } => {
                row.fill(0.0);
                if let Some(slot) = row.get_mut((action[0] as i64 - start) as usize) {
                    *slot = 1.0;
                }
            }
            Self::Continuous { offset, scale, .. } => {
                let numbers = action.iter().zip(scale.iter().zip(offset));
                for (slot, (&action, (&scale, offset))) in row.iter_mut().zip(numbers) {
                    *slot = ((action - offset) / divisor(scale)) as f32;
                }
            }
        }
    }
}

/// The divisor of a difference; a scale of 0 belongs to a constant number.
pub(super) fn divisor(scale: f64) -> f64 {
    if scale == 0.0 { 1.0 } else { scale }
}

#[cfg(test)]
mod tests {
    use rtg_envs::BoxSpace;

    use super::*;

    #[test]
    fn a_number_whose_bounds_are_the_same_is_always_that_number() {
        let space = Space::Box(BoxSpace::float32(&[-1.0, 0.5], &[3.0, 0.5]));
        for units in [BoxUnits::Unit, BoxUnits::Symmetric] {
            let codec = ActionCodec::of(units, &space).unwrap();
            let (mut row, mut action) = ([9.0; 2], [9.0; 2]);
            codec.encode(&[3.0, 0.5], &mut row);
            assert_eq!(row.map(f32::to_bits), [1.0_f32, 0.0].map(f32::to_bits));
            codec.decode(&[-1.0, 0.7], &mut action);
            assert_eq!(action.map(f64::to_bits), [-1.0_f64, 0.5].map(f64::to_bits));
            let map = codec.action_map().unwrap();
            assert_eq!((map.offset, map.scale), (vec![1.0, 0.5], vec![2.0, 1.0]));
            assert_eq!(codec.bounds(), Some([vec![-1.0, 0.5], vec![3.0, 0.5]]));
        }
    }
}
