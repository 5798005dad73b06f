//! Calibration: whether a policy reaches its target returns.
//!
//! The curve is the mean return reached over the target return, as in the Decision Transformer
//! paper; the targets follow RADT's protocol (`CyberAgentAILab/radt`: from the 5th to the 95th
//! percentile of the data's returns). Returns that the data do not have are another question, so
//! they do not count in the numbers.

use serde::{Deserialize, Serialize};

use super::{Bootstrap, Interval, Scores, mean};

/// The share of the range by which a return may miss its target and still count as reached.
const CLOSE: f64 = 0.1;

/// The result of one target return.
#[derive(Clone, Copy, Debug)]
pub struct TargetResult<'a> {
    /// The target return.
    pub asked: f64,
    /// The mean return.
    pub mean: f64,
    /// The return of each episode; empty where they are not known.
    pub episodes: &'a [f64],
}

/// How well target and reached returns agree, over the targets within the data's range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The range of returns within which targets count.
    pub range: Interval,
    /// Targets that count.
    pub targets: usize,
    /// Mean distance of the mean return from its target over the width of the range: 0 is perfect.
    /// A policy that ignores its target has at least 2/7 on seven even targets, and at least 1/4 on
    /// many.
    pub error: f64,
    /// 95 % interval of the error by a bootstrap over each target's episodes.
    pub error_interval: Option<Interval>,
    /// Rank correlation of reached with target returns; none where either is constant.
    pub spearman: Option<f64>,
    /// Slope of the line through reached over target returns by least squares; 1 is perfect.
    pub slope: Option<f64>,
    /// The value of that line at target 0, in units of the return.
    pub intercept: Option<f64>,
    /// The share of the targets that are missed by at most a tenth of the range.
    pub within: f64,
}

impl Calibration {
    /// The calibration on the targets within `range`; none where there is no such target, where the
    /// range has no width, or where a mean is not finite.
    pub fn of(range: Interval, reached: &[TargetResult<'_>]) -> Option<Self> {
        let span = range.high - range.low;
        let counts =
            |target: &&TargetResult<'_>| range.low <= target.asked && target.asked <= range.high;
        let reached: Vec<TargetResult<'_>> = reached.iter().filter(counts).copied().collect();
        let asked: Vec<f64> = reached.iter().map(|target| target.asked).collect();
        let means: Vec<f64> = reached.iter().map(|target| target.mean).collect();
        let possible = span > 0.0 && span.is_finite() && !means.is_empty();
        if !possible || means.iter().any(|mean| !mean.is_finite()) {
            return None;
        }
        let distance = |(asked, mean): (&f64, &f64)| (mean - asked).abs() / span;
        let distances: Vec<f64> = asked.iter().zip(&means).map(distance).collect();
        let close = distances.iter().filter(|distance| **distance <= CLOSE);
        let line = line(&asked, &means);
        Some(Self {
            range,
            targets: asked.len(),
            error: mean(&distances),
            error_interval: error_interval(span, &reached),
            spearman: correlation(&ranks(&asked), &ranks(&means)),
            slope: line.map(|(slope, _)| slope),
            intercept: line.map(|(_, intercept)| intercept),
            within: close.count() as f64 / distances.len() as f64,
        })
    }
}

/// 95 % bootstrap interval of the mean return of one target; none for fewer than two episodes.
pub fn mean_interval(episodes: &[f64]) -> Option<Interval> {
    let several = episodes.len() > 1;
    let scores = Scores::of_one_task(episodes.to_vec()).filter(|_| several)?;
    Some(Bootstrap::default().interval(&scores, |resample| mean(&resample.tasks()[0])))
}

/// The targets are the strata: of each, as many episodes are drawn as it has.
fn error_interval(span: f64, reached: &[TargetResult<'_>]) -> Option<Interval> {
    let scores = Scores::new(
        reached
            .iter()
            .map(|target| target.episodes.to_vec())
            .collect(),
    )?;
    let error = |resample: &Scores| {
        let columns = resample.tasks().iter().zip(reached);
        let distances: Vec<f64> = columns
            .map(|(episodes, target)| (mean(episodes) - target.asked).abs() / span)
            .collect();
        mean(&distances)
    };
    (scores.fewest_runs() > 1).then(|| Bootstrap::default().interval(&scores, error))
}

/// Slope and intercept of y over x by least squares; none where x is constant.
fn line(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let (mean_x, mean_y) = (mean(x), mean(y));
    let squares: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let products: f64 = (x.iter().zip(y))
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = products / squares;
    (squares > 0.0).then_some((slope, mean_y - slope * mean_x))
}

/// Pearson's correlation; none where one of both is constant.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let slopes = line(x, y).zip(line(y, x));
    // The product of both regressions' slopes is the square of the correlation.
    slopes.map(|((up, _), (back, _))| up.signum() * (up * back).sqrt().min(1.0))
}

/// The ranks of the values in ascending order, from 1 on; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let above = values.iter().filter(|other| *other > value).count();
        let equal = values.len() - below - above;
        below as f64 + (equal + 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Interval = Interval {
        low: 0.0,
        high: 60.0,
    };

    fn sweep(mean: impl Fn(f64) -> f64) -> Vec<TargetResult<'static>> {
        let targets = (0..7).map(|i| 10.0 * f64::from(i));
        let target = |asked| TargetResult {
            asked,
            mean: mean(asked),
            episodes: &[],
        };
        targets.map(target).collect()
    }

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-12)
    }

    #[test]
    fn returns_equal_to_their_targets_have_no_error() {
        let calibration = Calibration::of(RANGE, &sweep(|asked| asked)).unwrap();
        assert_eq!((calibration.error, calibration.within), (0.0, 1.0));
        assert!(close(calibration.spearman, 1.0) && close(calibration.slope, 1.0));
        assert!(close(calibration.intercept, 0.0));
        assert_eq!((calibration.targets, calibration.error_interval), (7, None));
    }

    #[test]
    fn a_policy_that_ignores_its_target_has_no_slope_and_two_sevenths_of_error() {
        let calibration = Calibration::of(RANGE, &sweep(|_| 30.0)).unwrap();
        assert!((calibration.error - 2.0 / 7.0).abs() < 1e-12);
        assert!(close(calibration.slope, 0.0) && close(calibration.intercept, 30.0));
        assert_eq!(calibration.spearman, None);
        assert!((calibration.within - 1.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn slope_intercept_and_ranks_are_those_of_numpy_and_scipy() {
        // numpy.polyfit([0, 10, 20, 30], [4, 1, 9, 9], 1); scipy.stats.spearmanr of both.
        let means = [4.0, 1.0, 9.0, 9.0];
        let reached: Vec<TargetResult<'_>> = (means.into_iter().enumerate())
            .map(|(i, mean)| TargetResult {
                asked: 10.0 * i as f64,
                mean,
                episodes: &[],
            })
            .collect();
        let calibration = Calibration::of(RANGE, &reached).unwrap();
        assert!(close(calibration.slope, 0.23) && close(calibration.intercept, 2.3));
        assert!(close(calibration.spearman, 0.737_864_787_372_621_8));
        assert!((calibration.error - (4.0 + 9.0 + 11.0 + 21.0) / 240.0).abs() < 1e-12);
    }

    #[test]
    fn falling_returns_have_a_negative_correlation() {
        let calibration = Calibration::of(RANGE, &sweep(|asked| 60.0 - asked)).unwrap();
        assert!(close(calibration.spearman, -1.0) && close(calibration.slope, -1.0));
    }

    #[test]
    fn targets_outside_the_range_do_not_count() {
        let mut reached = sweep(|asked| asked + 6.0);
        let within = Calibration::of(RANGE, &reached).unwrap();
        assert!((within.error - 0.1).abs() < 1e-12);
        reached.push(TargetResult {
            asked: 600.0,
            mean: 0.0,
            episodes: &[],
        });
        assert_eq!(Calibration::of(RANGE, &reached), Some(within));
        assert_eq!(Calibration::of(RANGE, &reached[7..]), None);
    }

    #[test]
    fn without_a_width_or_a_number_there_is_no_calibration() {
        let point = Interval {
            low: 10.0,
            high: 10.0,
        };
        assert_eq!(Calibration::of(point, &sweep(|asked| asked)), None);
        assert_eq!(Calibration::of(RANGE, &sweep(|_| f64::NAN)), None);
    }

    #[test]
    fn the_interval_of_the_error_follows_the_episodes() {
        let episodes = [[8.0, 12.0, 9.0, 11.0], [50.0, 30.0, 45.0, 35.0]];
        let target = |asked, episodes| TargetResult {
            asked,
            mean: mean(episodes),
            episodes,
        };
        let noisy = [target(20.0, &episodes[0]), target(50.0, &episodes[1])];
        let calibration = Calibration::of(RANGE, &noisy).unwrap();
        let interval = calibration.error_interval.unwrap();
        assert!(interval.low < calibration.error && calibration.error < interval.high);
        assert!(interval.low > 0.1 && interval.high < 0.3, "{interval:?}");
        assert_eq!(calibration, Calibration::of(RANGE, &noisy).unwrap());
        assert_eq!(mean_interval(&[1.0]), None);
        let mean = mean_interval(&episodes[1]).unwrap();
        assert!(mean.low > 30.0 && mean.low < 40.0 && mean.high < 50.0);
    }
}
