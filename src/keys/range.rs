//! The valid values of a key.

use std::fmt;

use super::Value;

/// The values that are valid for a key. A list must contain only such values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Every value of the key's type.
    Any,
    /// Numbers from the first bound to the second, each included or not.
    Numbers {
        /// The smallest number.
        low: f64,
        /// Whether `low` itself is valid.
        with_low: bool,
        /// The largest number; infinity for none.
        high: f64,
        /// Whether `high` itself is valid.
        with_high: bool,
    },
    /// One of these words.
    Words(&'static [&'static str]),
}

/// A value out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{key}' is {value}: it must be {expected}")]
pub struct KeyError {
    /// The key with its table.
    pub key: String,
    /// The value as given.
    pub value: String,
    /// The valid values, after "it must be".
    pub expected: String,
}

impl KeyError {
    /// A value of a key that must be something else.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "literals, numbers and formatted texts are passed alike"
    )]
    pub fn new(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }
}

impl Range {
    /// Finite numbers above 0.
    pub const POSITIVE: Self = Self::numbers(0.0, false, f64::INFINITY, false);
    /// Finite numbers from 0 on.
    pub const NOT_NEGATIVE: Self = Self::numbers(0.0, true, f64::INFINITY, false);
    /// From 0 to 1, excluding 1: dropout rates, decays of a mean.
    pub const BELOW_ONE: Self = Self::numbers(0.0, true, 1.0, false);
    /// From 0 to 1.
    pub const UNIT: Self = Self::numbers(0.0, true, 1.0, true);
    /// Above 0, to 1: fractions.
    pub const PART: Self = Self::numbers(0.0, false, 1.0, true);
    /// Numbers in a layer: no network has a wider one.
    pub const WIDTH: Self = Self::between(1.0, 65_536.0);
    /// Layers: no network is deeper.
    pub const LAYERS: Self = Self::between(1.0, 1024.0);
    /// Rows of a batch, episodes and the like: a million, as a power of two.
    pub const ROWS: Self = Self::between(1.0, 1_048_576.0);
    /// Finite numbers.
    pub const FINITE: Self = Self::numbers(f64::NEG_INFINITY, false, f64::INFINITY, false);

    const fn numbers(low: f64, with_low: bool, high: f64, with_high: bool) -> Self {
        Self::Numbers {
            low,
            with_low,
            high,
            with_high,
        }
    }

    /// Numbers from `low` on.
    pub const fn at_least(low: u32) -> Self {
        Self::numbers(low as f64, true, f64::INFINITY, false)
    }

    /// Numbers from `low` to `high`, both included.
    pub const fn between(low: f64, high: f64) -> Self {
        Self::numbers(low, true, high, true)
    }

    /// Refuses a value outside the range. Values of another type are left to the parser.
    ///
    /// # Errors
    /// Names the key, the value and the range.
    pub fn check(&self, key: &str, value: &Value) -> Result<(), KeyError> {
        let fits = match (self, value) {
            (_, Value::Array(values)) => {
                return values.iter().try_for_each(|value| self.check(key, value));
            }
            (Self::Numbers { .. }, Value::Integer(number)) => self.holds(*number as f64),
            (Self::Numbers { .. }, Value::Float(number)) => self.holds(*number),
            (Self::Words(words), Value::String(word)) => words.contains(&word.as_str()),
            _ => true,
        };
        if fits {
            return Ok(());
        }
        let value = match value {
            Value::String(word) => word.clone(),
            Value::Float(number) => number.to_string(),
            other => other.to_string(),
        };
        Err(KeyError::new(key, value, self))
    }

    #[expect(clippy::float_cmp, reason = "a bound is included or excluded")]
    fn holds(&self, number: f64) -> bool {
        match *self {
            Self::Numbers {
                low,
                with_low,
                high,
                with_high,
            } => {
                (number > low || (with_low && number == low))
                    && (number < high || (with_high && number == high))
            }
            Self::Any | Self::Words(_) => true,
        }
    }
}

/// What a value must be, after "it must be"; `None` where any value of the type is valid.
impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => Ok(()),
            Self::Words(words) => formatter.write_str(&words.join(" or ")),
            Self::Numbers { low, high, .. } if low.is_infinite() && high.is_infinite() => {
                formatter.write_str("finite")
            }
            Self::Numbers {
                low,
                with_low: true,
                high,
                ..
            } if high.is_infinite() => write!(formatter, "at least {low}"),
            Self::Numbers { low, high, .. } if high.is_infinite() => {
                write!(formatter, "greater than {low}")
            }
            Self::Numbers {
                low,
                with_low,
                high,
                with_high,
            } => match (with_low, with_high) {
                (true, true) => write!(formatter, "between {low} and {high}"),
                (true, false) => write!(formatter, "at least {low} and less than {high}"),
                (false, true) => write!(formatter, "greater than {low} and at most {high}"),
                (false, false) => write!(formatter, "greater than {low} and less than {high}"),
            },
        }
    }
}
