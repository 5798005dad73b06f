//! The length of each run of a comparison.

use std::str::FromStr;
use std::time::{Duration, Instant};

use rtg_datasets::Dataset;

use crate::algorithms::{Error, Learner, Source};
use crate::random::Stream;

/// Seconds of untimed updates, and of timed ones after them.
const WARM_UP: Duration = Duration::from_millis(500);
const TIMED: Duration = Duration::from_secs(2);
/// The fewest updates of either kind: some actors are updated every second time only.
const FEWEST: u64 = 4;

/// The length of each run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// The algorithm's own number of updates.
    Own,
    /// This many updates.
    Updates(u64),
    /// About this many minutes of training: as many updates as this machine makes in the time.
    Minutes(f64),
}

/// A text that is not a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a budget must be a number of updates, such as 20000, or minutes, such as 3min")]
pub struct BudgetError;

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        if let Some(minutes) = text.strip_suffix("min") {
            let minutes = minutes.trim_end().parse().ok();
            let minutes = minutes.filter(|m: &f64| m.is_finite() && *m > 0.0);
            return minutes.map(Self::Minutes).ok_or(BudgetError);
        }
        let updates = text.parse().ok();
        let updates = updates.filter(|n| (1..=i64::MAX.cast_unsigned()).contains(n));
        updates.map(Self::Updates).ok_or(BudgetError)
    }
}

/// The updates that a learner makes in `minutes` on this machine, to two digits.
///
/// # Errors
/// Data that batches cannot be drawn from, a device that cannot be used.
pub(super) fn updates_in(
    minutes: f64,
    learner: &mut dyn Learner,
    data: &Dataset,
) -> Result<u64, Error> {
    let stream = Stream::new(0, "budget");
    let mut source = Source::open(&learner.needs(), data, stream, false)?;
    seconds_each(learner, &mut source, WARM_UP)?;
    let each = seconds_each(learner, &mut source, TIMED)?;
    Ok(two_digits(60.0 * minutes / each))
}

/// Mean seconds of an update, over about `time`.
fn seconds_each(
    learner: &mut dyn Learner,
    source: &mut Source,
    time: Duration,
) -> Result<f64, Error> {
    let (began, mut updates) = (Instant::now(), 0);
    while updates < FEWEST || began.elapsed() < time {
        updates += learner.update(source, FEWEST)?.len() as u64;
    }
    Ok(began.elapsed().as_secs_f64() / updates as f64)
}

/// Rounded down, so that a plan shows the precision of the number.
fn two_digits(number: f64) -> u64 {
    let number = number.max(1.0) as u64;
    let unit = 10_u64.pow(number.ilog10().saturating_sub(1));
    number / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_updates_or_minutes() {
        assert_eq!("20000".parse(), Ok(Budget::Updates(20_000)));
        assert_eq!("1.5min".parse(), Ok(Budget::Minutes(1.5)));
        assert_eq!("3 min".parse(), Ok(Budget::Minutes(3.0)));
        for text in [
            "",
            "0",
            "-3",
            "0min",
            "min",
            "1e400min",
            "3h",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<Budget>(), Err(BudgetError), "{text}");
        }
    }

    #[test]
    fn updates_have_two_digits_and_there_is_at_least_one() {
        let rounded = [0.2, 7.9, 47.0, 159.0, 12_999.0].map(two_digits);
        assert_eq!(rounded, [1, 7, 47, 150, 12_000]);
    }
}
