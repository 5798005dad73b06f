//! Spaces of observations and actions, as in Gymnasium and Minari.

use crate::random::unit;
use rand::Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

mod bounds;

/// The set of values that an observation or an action may take, and how such a value is stored: as
/// a row of [`Space::width`] numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Space {
    /// An array of numbers between bounds.
    Box(BoxSpace),
    /// One of the integers `start .. start + n`.
    Discrete {
        /// Their number.
        n: usize,
        /// The smallest of them.
        start: i64,
    },
    /// Several discrete choices at once; number `i` is one of `start[i] .. start[i] + nvec[i]`.
    MultiDiscrete {
        /// How many values each choice has.
        nvec: Vec<usize>,
        /// The smallest value of each.
        start: Vec<i64>,
    },
    /// An array of zeros and ones.
    MultiBinary {
        /// Size along each axis.
        shape: Vec<usize>,
    },
    /// Named parts, stored one after the other in this order.
    Dict(Vec<(String, Space)>),
    /// Parts without names, stored one after the other.
    Tuple(Vec<Space>),
    /// Strings. They are not numbers: a stored row does not contain them, and their width is 0.
    Text {
        /// Fewest characters.
        min_length: usize,
        /// Most characters.
        max_length: usize,
        /// The characters that may occur.
        charset: String,
    },
}

/// An array of numbers between bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxSpace {
    /// Lower bound of each number, `-inf` where there is none.
    #[serde(with = "bounds")]
    pub low: Vec<f64>,
    /// Upper bound of each number, `inf` where there is none.
    #[serde(with = "bounds")]
    pub high: Vec<f64>,
    /// Size along each axis; the numbers are in row-major order.
    pub shape: Vec<usize>,
    /// The type of the numbers.
    pub dtype: Dtype,
}

impl BoxSpace {
    /// A vector of float32 numbers; the bounds are rounded to that type, as Gymnasium does.
    pub fn float32(low: &[f64], high: &[f64]) -> Self {
        let round = |bounds: &[f64]| {
            bounds
                .iter()
                .map(|&bound| Dtype::Float32.round(bound))
                .collect()
        };
        Self {
            low: round(low),
            high: round(high),
            shape: vec![low.len()],
            dtype: Dtype::Float32,
        }
    }

    /// A vector of `width` float64 numbers without bounds.
    pub fn unbounded(width: usize) -> Self {
        Self {
            low: vec![f64::NEG_INFINITY; width],
            high: vec![f64::INFINITY; width],
            shape: vec![width],
            dtype: Dtype::Float64,
        }
    }

    fn sample(&self, rng: &mut impl Rng, row: &mut [f64]) {
        for ((number, &low), &high) in row.iter_mut().zip(&self.low).zip(&self.high) {
            let drawn = match (low.is_finite(), high.is_finite()) {
                (true, true) if self.dtype.is_float() => low + (high - low) * unit(rng),
                (true, true) => low + ((high - low + 1.0) * unit(rng)).floor(),
                (true, false) => low + exponential(rng),
                (false, true) => high - exponential(rng),
                (false, false) => StandardNormal.sample(rng),
            };
            *number = self.dtype.round(drawn).max(low).min(high);
        }
    }
}

fn exponential(rng: &mut impl Rng) -> f64 {
    Exp1.sample(rng)
}

/// The type of a box's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Dtype {
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Bool,
}

impl Dtype {
    /// The value of this type that is nearest to `value`. A 64-bit integer beyond 2^53 is only as
    /// exact as an `f64`.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::Float16 => round_to_half(value),
            Self::Float32 => f64::from(value as f32),
            Self::Float64 => value,
            Self::Int8 => f64::from(value.round() as i8),
            Self::Int16 => f64::from(value.round() as i16),
            Self::Int32 => f64::from(value.round() as i32),
            Self::Int64 => value.round() as i64 as f64,
            Self::Uint8 => f64::from(value.round() as u8),
            Self::Uint16 => f64::from(value.round() as u16),
            Self::Uint32 => f64::from(value.round() as u32),
            Self::Uint64 => value.round() as u64 as f64,
            Self::Bool => f64::from(value != 0.0),
        }
    }

    /// Whether the type has fractions.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64)
    }
}

/// Rounds to the 11 significant bits of a half-precision number, ties to even.
fn round_to_half(value: f64) -> f64 {
    const LARGEST: f64 = 65_504.0;
    /// Half precision has no finer step than this.
    const SMALLEST_STEP: f64 = 1.0 / 16_777_216.0;
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let step = 2.0_f64.powi(exponent - 10).max(SMALLEST_STEP);
    let rounded = (value / step).round_ties_even() * step;
    if rounded.abs() > LARGEST {
        f64::INFINITY.copysign(value)
    } else {
        rounded
    }
}

impl Space {
    /// Numbers in a stored row: the product of a box's shape, one for a discrete choice, the sum
    /// over the parts of a dict or tuple.
    pub fn width(&self) -> usize {
        match self {
            Self::Box(space) => space.shape.iter().product(),
            Self::Discrete { .. } => 1,
            Self::MultiDiscrete { nvec, .. } => nvec.len(),
            Self::MultiBinary { shape } => shape.iter().product(),
            Self::Dict(parts) => parts.iter().map(|(_, part)| part.width()).sum(),
            Self::Tuple(parts) => parts.iter().map(Self::width).sum(),
            Self::Text { .. } => 0,
        }
    }

    /// Whether the row is a member: right width, within bounds, each number one of the space's own
    /// type. NaN is never a member.
    pub fn contains(&self, row: &[f64]) -> bool {
        if row.len() != self.width() {
            return false;
        }
        match self {
            Self::Box(BoxSpace {
                low, high, dtype, ..
            }) => {
                row.len() == low.len()
                    && row.len() == high.len()
                    && row
                        .iter()
                        .zip(low.iter().zip(high))
                        .all(|(&number, (&low, &high))| {
                            low <= number && number <= high && same(dtype.round(number), number)
                        })
            }
            Self::Discrete { n, start } => is_choice(row[0], *n, *start),
            Self::MultiDiscrete { nvec, start } => row
                .iter()
                .zip(nvec.iter().zip(start))
                .all(|(&number, (&n, &start))| is_choice(number, n, start)),
            Self::MultiBinary { .. } => row.iter().all(|&number| is_choice(number, 2, 0)),
            Self::Dict(parts) => in_parts(parts.iter().map(|(_, part)| part), row),
            Self::Tuple(parts) => in_parts(parts.iter(), row),
            Self::Text { .. } => true,
        }
    }

    /// Draws a member into `row`: uniform between two bounds, exponential away from a single one,
    /// standard normal where there is none.
    pub fn sample(&self, rng: &mut impl Rng, row: &mut [f64]) {
        match self {
            Self::Box(space) => space.sample(rng, row),
            Self::Discrete { n, start } => row[0] = choose(rng, *n, *start),
            Self::MultiDiscrete { nvec, start } => {
                for (number, (&n, &start)) in row.iter_mut().zip(nvec.iter().zip(start)) {
                    *number = choose(rng, n, start);
                }
            }
            Self::MultiBinary { .. } => row
                .iter_mut()
                .for_each(|number| *number = choose(rng, 2, 0)),
            Self::Dict(parts) => sample_parts(parts.iter().map(|(_, part)| part), rng, row),
            Self::Tuple(parts) => sample_parts(parts.iter(), rng, row),
            Self::Text { .. } => {}
        }
    }
}

/// Equality for numbers that were not computed, infinities included.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a == 0.0 && b == 0.0)
}

fn is_choice(number: f64, n: usize, start: i64) -> bool {
    let choice = number - start as f64;
    choice >= 0.0 && choice < n as f64 && same(choice.trunc(), choice)
}

fn choose(rng: &mut impl Rng, n: usize, start: i64) -> f64 {
    (unit(rng) * n as f64).floor() + start as f64
}

fn in_parts<'a>(parts: impl Iterator<Item = &'a Space>, mut row: &[f64]) -> bool {
    for part in parts {
        let (own, rest) = row.split_at(part.width());
        if !part.contains(own) {
            return false;
        }
        row = rest;
    }
    true
}

fn sample_parts<'a>(
    parts: impl Iterator<Item = &'a Space>,
    rng: &mut impl Rng,
    mut row: &mut [f64],
) {
    for part in parts {
        let (own, rest) = row.split_at_mut(part.width());
        part.sample(rng, own);
        row = rest;
    }
}

#[cfg(test)]
mod tests;
