//! What to know before training on a dataset, besides what is wrong with it.

use serde::Serialize;

use super::{AlikeStates, Finding, ReplayCheck, examine_and_replay};
use crate::{Dataset, ReturnSummary, returns_to_go};

/// Bars of a histogram.
const BARS: usize = 24;

/// Points of the curve of returns-to-go.
const CURVE_POINTS: usize = 100;

/// The part of the episodes that must reach a return for the data to support it as a target.
const SUPPORT: f64 = 0.01;
/// And at least this number of them, or a tenth if they are few.
const SUPPORTERS: usize = 3;

/// A complete report on a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkup {
    /// What is wrong or worth knowing, the worst first.
    pub findings: Vec<Finding>,
    /// The undiscounted returns of the episodes.
    #[serde(rename = "return")]
    pub returns: ReturnSummary,
    /// The histogram of the returns.
    pub return_histogram: Histogram,
    /// The histogram of the lengths of the episodes.
    pub length_histogram: Histogram,
    /// The smallest and the largest return-to-go of any step: the range in training.
    pub returns_to_go: (f64, f64),
    /// How returns-to-go fall along the episodes.
    pub return_to_go_curve: Vec<CurvePoint>,
    /// How far returns-to-go differ at alike states, where there are enough of these.
    pub returns_at_alike_states: Option<AlikeStates>,
    /// The largest return that the best hundredth of the episodes reach, and at least three, or a
    /// tenth if they are few: a higher target is hardly supported by the data.
    pub largest_supported_target: f64,
    /// Suggested targets: the largest supported one, and the median return.
    pub suggested_targets: Vec<f64>,
    /// A divisor that brings returns-to-go to a size of about 1 to 10.
    pub suggested_return_scale: f64,
    /// The replay in the environment.
    pub replay: ReplayCheck,
}

/// The returns-to-go at one step of all episodes that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The step, counted from 0.
    pub step: usize,
    /// Their mean.
    pub mean: f64,
    /// Their population standard deviation.
    pub std: f64,
}

/// Counts in equal intervals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Where the first interval begins.
    pub low: f64,
    /// Where the last interval ends.
    pub high: f64,
    /// The number of values in each interval.
    pub counts: Vec<usize>,
}

/// Examines a dataset completely.
pub fn check_up(dataset: &Dataset) -> Checkup {
    let (findings, replay) = examine_and_replay(dataset);
    let mut returns: Vec<f64> = dataset.iter().map(|episode| episode.return_()).collect();
    returns.retain(|value| value.is_finite());
    let lengths: Vec<f64> = dataset.iter().map(|episode| episode.len() as f64).collect();
    let (range, return_to_go_curve) = returns_to_go_along(dataset);
    let return_histogram = Histogram::of(&returns);
    returns.sort_by(|a, b| b.total_cmp(a));
    let at = |place: usize| returns.get(place).copied().unwrap_or(0.0);
    let supporters = (SUPPORT * returns.len() as f64).ceil() as usize;
    let least = SUPPORTERS.min(returns.len().div_ceil(10)).max(1);
    let supporters = supporters.max(least);
    let (largest, median) = (at(supporters - 1), at(returns.len() / 2));
    let mut suggested_targets = vec![short(largest), short(median)];
    suggested_targets.dedup();
    Checkup {
        findings,
        returns: ReturnSummary::of(dataset),
        return_histogram,
        length_histogram: Histogram::of(&lengths),
        returns_to_go: range,
        return_to_go_curve,
        returns_at_alike_states: AlikeStates::of(dataset),
        largest_supported_target: largest,
        suggested_targets,
        suggested_return_scale: ReturnSummary::of(dataset).suggested_scale(),
        replay,
    }
}

/// The range of all returns-to-go, and their mean and spread at some steps.
fn returns_to_go_along(dataset: &Dataset) -> ((f64, f64), Vec<CurvePoint>) {
    let longest = dataset
        .iter()
        .map(|episode| episode.len())
        .max()
        .unwrap_or(0);
    let stride = longest.div_ceil(CURVE_POINTS).max(1);
    // Of each point: how many, their sum, the sum of their squares about the first one's value.
    let mut sums = vec![(0.0, 0.0, 0.0, 0.0); longest.div_ceil(stride)];
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    for episode in dataset.iter() {
        for (step, value) in returns_to_go(episode.rewards, 1.0).into_iter().enumerate() {
            if !value.is_finite() {
                continue;
            }
            range = (range.0.min(value), range.1.max(value));
            if step % stride == 0 {
                let (count, origin, sum, squares) = &mut sums[step / stride];
                if *count == 0.0 {
                    *origin = value;
                }
                *count += 1.0;
                *sum += value - *origin;
                *squares += (value - *origin).powi(2);
            }
        }
    }
    let points = sums
        .into_iter()
        .enumerate()
        .filter(|(_, sums)| sums.0 > 0.0);
    let points = points.map(|(index, (count, origin, sum, squares))| CurvePoint {
        step: index * stride,
        mean: origin + sum / count,
        std: (squares / count - (sum / count).powi(2)).max(0.0).sqrt(),
    });
    let points = points.collect();
    if range.0 > range.1 {
        range = (0.0, 0.0);
    }
    (range, points)
}

/// Three significant digits.
fn short(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

impl Histogram {
    /// Counts finite values; fewer bars where they are whole numbers in a short range.
    pub fn of(values: &[f64]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 0.0,
                counts: Vec::new(),
            };
        }
        let whole = finite().all(|value| value.fract() == 0.0);
        let bars = if low.to_bits() == high.to_bits() {
            1
        } else if whole && high - low < BARS as f64 {
            (high - low) as usize + 1
        } else {
            BARS
        };
        let mut counts = vec![0; bars];
        for value in finite() {
            // Halves, so that the range of the largest numbers stays finite.
            let part = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE);
            counts[((part * bars as f64) as usize).min(bars - 1)] += 1;
        }
        Self { low, high, counts }
    }

    /// One block character a bar, higher for more; a blank for none.
    pub fn sparkline(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1);
        let block = |&count: &usize| match count {
            0 => ' ',
            _ => BLOCKS[(count * BLOCKS.len()).div_ceil(most) - 1],
        };
        self.counts.iter().map(block).collect()
    }
}
