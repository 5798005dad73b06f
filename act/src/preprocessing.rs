//! From an environment's numbers to a network's and back, in f64 as rtg computes it.

use alloc::vec::Vec;

use crate::error::Error;
use crate::reader::{Reader, invalid};

/// The network sees (observation - mean) / std.
pub(crate) struct Normaliser {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Normaliser {
    /// The normaliser of a file, if it has one.
    pub(crate) fn read(reader: &mut Reader<'_>, width: usize) -> Result<Option<Self>, Error> {
        if !reader.has("normaliser.mean") {
            return Ok(None);
        }
        Ok(Some(Self {
            mean: reader.vector("normaliser.mean", width)?,
            std: reader.vector("normaliser.std", width)?,
        }))
    }

    fn apply(&self, observation: &[f64], to: &mut [f32]) {
        let numbers = observation.iter().zip(self.mean.iter().zip(&self.std));
        for (to, (x, (mean, std))) in to.iter_mut().zip(numbers) {
            *to = ((x - mean) / std) as f32;
        }
    }
}

/// An observation as the network sees it.
pub(crate) fn normalise(normaliser: Option<&Normaliser>, observation: &[f64], to: &mut [f32]) {
    match normaliser {
        Some(normaliser) => normaliser.apply(observation, to),
        None => {
            for (to, x) in to.iter_mut().zip(observation) {
                *to = *x as f32;
            }
        }
    }
}

/// Actions of the environment and of the network.
pub(crate) enum Codec {
    /// One of the choices, counted from `first`; a number for each choice in the network.
    Discrete { count: usize, first: i64 },
    /// action = output x scale + offset
    Continuous {
        scale: Vec<f64>,
        offset: Vec<f64>,
        bounds: Option<[Vec<f64>; 2]>,
    },
}

impl Codec {
    /// The codec of a file with `count` numbers of an action, or choices.
    pub(crate) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Self, Error> {
        if reader.choice("actions", &[("discrete", true), ("continuous", false)])? {
            let first: i64 = reader.number("first_action")?;
            // An action is an f64, which counts exactly up to 2^53.
            let last = first.unsigned_abs().checked_add(count as u64);
            return match last.filter(|last| *last <= 1 << 53) {
                Some(_) => Ok(Self::Discrete { count, first }),
                None => Err(invalid("first_action")),
            };
        }
        let has_bounds = reader.has("action.low");
        let mut vector = |name| reader.vector(name, count);
        Ok(Self::Continuous {
            scale: vector("action.scale")?,
            offset: vector("action.offset")?,
            bounds: if has_bounds {
                Some([vector("action.low")?, vector("action.high")?])
            } else {
                None
            },
        })
    }

    /// Numbers in an action of the environment.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Discrete { .. } => 1,
            Self::Continuous { scale, .. } => scale.len(),
        }
    }

    /// The environment's action from the network's outputs: of choices the first with the largest.
    pub(crate) fn decode(&self, outputs: &[f32], action: &mut [f64]) {
        match self {
            Self::Discrete { first, .. } => {
                let best = outputs.iter().enumerate().fold(0, |best, (index, value)| {
                    if *value > outputs[best] { index } else { best }
                });
                action[0] = (*first + best as i64) as f64;
            }
            Self::Continuous {
                scale,
                offset,
                bounds,
            } => {
                let numbers = outputs.iter().zip(scale.iter().zip(offset));
                for (action, (output, (scale, offset))) in action.iter_mut().zip(numbers) {
                    *action = f64::from(*output) * scale + offset;
                }
                if let Some([low, high]) = bounds {
                    for (action, (low, high)) in action.iter_mut().zip(low.iter().zip(high)) {
                        *action = action.max(*low).min(*high);
                    }
                }
            }
        }
    }

    /// The network's numbers for an environment's action: of choices a 1 at the one taken.
    pub(crate) fn encode(&self, action: &[f64], to: &mut [f32]) {
        match self {
            Self::Discrete { count, first } => {
                to.fill(0.0);
                let place = action[0] - *first as f64;
                if place >= 0.0 && place < *count as f64 {
                    to[place as usize] = 1.0;
                }
            }
            Self::Continuous { scale, offset, .. } => {
                let numbers = action.iter().zip(scale.iter().zip(offset));
                for (to, (action, (scale, offset))) in to.iter_mut().zip(numbers) {
                    // A scale of 0 is that of a number that is always the same.
                    let divisor = if *scale == 0.0 { 1.0 } else { *scale };
                    *to = ((action - offset) / divisor) as f32;
                }
            }
        }
    }
}
