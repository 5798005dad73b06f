//! Target returns, as a plan or an option names them.

use std::fmt;
use std::str::FromStr;

use rtg_datasets::Dataset;
use serde::{Deserialize, Serialize};

use crate::keys::Value;
use crate::statistics::{Interval, percentile};

/// Targets of a sweep that names no number, as RADT evaluates.
const SWEEP: usize = 7;
/// The most targets of a sweep.
const MOST: usize = 1000;
/// The percentiles of the data's returns that a sweep spans.
const ENDS: [f64; 2] = [0.05, 0.95];
const SWEEP_NAME: &str = "sweep";
const QUANTILE_NAME: &str = "quantile:";
/// The valid targets, after "it must be".
pub(super) const FORMS: &str = "a return, `sweep`, `sweep:11` or `quantile:0.9`";

/// One entry of the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// This return.
    Return(f64),
    /// This many returns, evenly spaced over the data's range, the largest first.
    Sweep(usize),
    /// The return that this share of the data's episodes do not exceed.
    Quantile(f64),
}

/// All targets of evaluations; the first decides which checkpoint is best.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Targets(Vec<Target>);

/// Returns of the data's episodes, in ascending order.
#[derive(Clone, Debug)]
pub struct Returns(Vec<f64>);

impl Returns {
    /// Those of a dataset with at least one episode; of one with labels, the labels to which a
    /// target corresponds.
    pub fn of(data: &Dataset) -> Self {
        let mut returns = data.conditions();
        returns.sort_unstable_by(f64::total_cmp);
        Self(returns)
    }

    /// The 5th and the 95th percentile: the range on which calibration is measured.
    pub fn range(&self) -> Interval {
        let [low, high] = ENDS.map(|q| self.quantile(q));
        Interval { low, high }
    }

    /// The quantile `q`, 0 to 1, to a few digits.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        let [low, high] = ENDS.map(|q| percentile(&self.0, q));
        rounded(percentile(&self.0, q), high - low)
    }
}

impl Targets {
    /// These entries.
    pub fn new(targets: Vec<Target>) -> Self {
        Self(targets)
    }

    /// These returns.
    pub fn of(returns: Vec<f64>) -> Self {
        Self(returns.into_iter().map(Target::Return).collect())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the data's returns decide some of them.
    pub fn follow_the_data(&self) -> bool {
        self.numbers().len() < self.0.len()
    }

    /// The entries that are returns: those of a resolved plan are all.
    pub fn numbers(&self) -> Vec<f64> {
        let number = |target: &Target| match target {
            Target::Return(target) => Some(*target),
            Target::Sweep(_) | Target::Quantile(_) => None,
        };
        self.0.iter().filter_map(number).collect()
    }

    /// The resolved returns, in their order. `range` is known already or measured on `data`, which
    /// is read only if an entry depends on it.
    ///
    /// # Errors
    /// That of `data`.
    pub fn returns<E>(
        &self,
        range: Option<Interval>,
        mut data: impl FnMut() -> Result<Returns, E>,
    ) -> Result<Vec<f64>, E> {
        let mut returns = Vec::new();
        for &target in &self.0 {
            let found = match target {
                // As often as it is listed.
                Target::Return(target) => {
                    returns.push(target);
                    continue;
                }
                Target::Sweep(count) => {
                    let range = range.map_or_else(|| data().map(|data| data.range()), Ok)?;
                    evenly(range, count)
                }
                Target::Quantile(q) => vec![data()?.quantile(q)],
            };
            for target in found {
                if !returns.contains(&target) {
                    returns.push(target);
                }
            }
        }
        Ok(returns)
    }
}

/// `count` returns from the upper end of the range to the lower.
fn evenly(range: Interval, count: usize) -> Vec<f64> {
    let span = range.high - range.low;
    let place = |i: usize| match i {
        0 => range.high,
        last if last + 1 == count => range.low,
        i => {
            let share = i as f64 / (count - 1) as f64;
            rounded(range.high - span * share, span).clamp(range.low, range.high)
        }
    };
    (0..count).map(place).collect()
}

/// `value` to a thousandth of the power of ten below `span`, so that names of targets are short.
fn rounded(value: f64, span: f64) -> f64 {
    if !(span > 0.0 && span.is_finite()) {
        return value + 0.0;
    }
    let digits = (3.0 - span.log10().floor()).clamp(-300.0, 300.0) as i32;
    let scale = 10_f64.powi(digits.abs());
    let rounded = if digits < 0 {
        (value / scale).round() * scale
    } else {
        (value * scale).round() / scale
    };
    // Minus zero is zero.
    if rounded.is_finite() {
        rounded + 0.0
    } else {
        value
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("it must be {FORMS}");
        if let Some(count) = text.strip_prefix(SWEEP_NAME) {
            let count = match count.strip_prefix(':') {
                None if count.is_empty() => SWEEP,
                None => return Err(wrong()),
                Some(count) => count.parse().map_err(|_| wrong())?,
            };
            return if (2..=MOST).contains(&count) {
                Ok(Self::Sweep(count))
            } else {
                Err(format!("a sweep has from 2 to {MOST} targets"))
            };
        }
        if let Some(q) = text.strip_prefix(QUANTILE_NAME) {
            let q: f64 = q.parse().map_err(|_| wrong())?;
            return if (0.0..=1.0).contains(&q) {
                Ok(Self::Quantile(q))
            } else {
                Err("a quantile must be between 0 and 1".to_owned())
            };
        }
        let number: f64 = text.parse().map_err(|_| wrong())?;
        number
            .is_finite()
            .then_some(Self::Return(number))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return(target) => write!(f, "{target}"),
            Self::Sweep(SWEEP) => f.write_str(SWEEP_NAME),
            Self::Sweep(count) => write!(f, "{SWEEP_NAME}:{count}"),
            Self::Quantile(q) => write!(f, "{QUANTILE_NAME}{q}"),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(Target::to_string).collect();
        write!(f, "[{}]", words.join(", "))
    }
}

/// A list, or one entry, or several in a text, separated by commas.
impl TryFrom<Value> for Targets {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let one = |value: Value| match value {
            Value::Integer(number) => Ok(Target::Return(number as f64)),
            Value::Float(number) => Ok(Target::Return(number)),
            Value::String(text) => {
                let target = text.parse();
                target.map_err(|error: String| format!("evaluation.targets: \"{text}\": {error}"))
            }
            other => Err(format!("evaluation.targets: {other}: it must be {FORMS}")),
        };
        let targets: Result<Vec<Target>, String> = match value {
            Value::Array(values) => values.into_iter().map(one).collect(),
            Value::String(text) => {
                let words = text.split(',').map(|word| Value::String(word.to_owned()));
                words.map(one).collect()
            }
            value => one(value).map(|target| vec![target]),
        };
        targets.map(Self)
    }
}

impl From<Targets> for Value {
    fn from(targets: Targets) -> Self {
        let value = |target| match target {
            Target::Return(target) => Self::Float(target),
            word => Self::String(word.to_string()),
        };
        Self::Array(targets.0.into_iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Targets, String> {
        let table: crate::keys::Table = format!("v = {text}").parse().unwrap();
        Targets::try_from(table["v"].clone())
    }

    fn meant(text: &str) -> Vec<f64> {
        let returns = Returns((0..=200).map(f64::from).collect());
        let data = || Ok::<_, String>(returns.clone());
        parsed(text).unwrap().returns(None, data).unwrap()
    }

    #[test]
    fn a_sweep_goes_from_the_95th_percentile_to_the_5th() {
        assert_eq!(
            meant("\"sweep\""),
            [190.0, 160.0, 130.0, 100.0, 70.0, 40.0, 10.0]
        );
        assert_eq!(meant("\"sweep:3\""), [190.0, 100.0, 10.0]);
        assert_eq!(meant("\"quantile:0.9\""), [180.0]);
        assert_eq!(
            meant("[500, \"sweep:2\", \"quantile:0.95\"]"),
            [500.0, 190.0, 10.0]
        );
        assert_eq!(meant("\"quantile:0.25, 7\""), [50.0, 7.0]);
        assert_eq!(meant("[3, 3]"), [3.0, 3.0]);
    }

    #[test]
    fn a_range_that_is_known_needs_no_data_and_a_sweep_lies_within_it() {
        let range = Interval {
            low: -0.1,
            high: 1.0 / 3.0,
        };
        let none = || Err("opened");
        let sweep = Targets::new(vec![Target::Sweep(11)]);
        let returns = sweep.returns(Some(range), none).unwrap();
        assert_eq!(
            (returns.len(), returns[0], returns[10]),
            (11, 1.0 / 3.0, -0.1)
        );
        assert!(
            returns
                .iter()
                .all(|target| (range.low..=range.high).contains(target))
        );
        assert_eq!(returns[1].to_string(), "0.29");
        let quantile = Targets::new(vec![Target::Quantile(0.5)]);
        assert_eq!(quantile.returns(Some(range), none), Err("opened"));
    }

    #[test]
    fn equal_returns_have_one_target() {
        let returns = Returns(vec![-0.0; 4]);
        let data = || Ok::<_, String>(returns.clone());
        let sweep = Targets::new(vec![Target::Sweep(7)]);
        let targets = sweep.returns(None, data).unwrap();
        assert_eq!(targets, [0.0]);
        assert!(targets[0].is_sign_positive());
    }

    #[test]
    fn large_and_small_returns_keep_four_digits_of_their_span() {
        for (value, span, expected) in [
            (123_456_789.0, 2e8, "123500000"),
            (0.123_456, 0.2, "0.1235"),
            (2038.61, 1239.1, "2039"),
        ] {
            assert_eq!(rounded(value, span).to_string(), expected);
        }
        assert_eq!(rounded(1e300, 1e-300).to_bits(), 1e300_f64.to_bits());
    }

    #[test]
    fn invalid_targets_are_refused_and_the_others_round_trip() {
        for text in [
            "\"swoop\"",
            "\"sweep7\"",
            "\"sweep:1\"",
            "\"sweep:1e9\"",
            "true",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
        for text in ["\"quantile:1.5\"", "\"quantile:nan\"", "\"inf\"", "[[1]]"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        let targets = parsed("[-3.5, \"sweep\", \"sweep:9\", \"quantile:0.5\"]").unwrap();
        assert_eq!(Targets::try_from(Value::from(targets.clone())), Ok(targets));
    }
}
