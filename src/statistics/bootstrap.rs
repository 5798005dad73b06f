//! Percentile intervals by the stratified bootstrap.
//!
//! A repetition draws, for every task separately, as many runs as it has, with replacement
//! (rliable's `StratifiedBootstrap`); with [`Bootstrap::tasks`] the tasks are drawn too. The
//! interval is between percentiles of the statistic over the repetitions (arch's `percentile`).

use serde::{Deserialize, Serialize};

use super::Scores;
use crate::random::Stream;

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples. The tails of an interval need some thousands.
    pub repetitions: usize,
    /// Nominal coverage, 0.95 for 95 %.
    pub level: f64,
    /// Draw the tasks too, to include the dependence on the choice of tasks.
    pub tasks: bool,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 2,000 repetitions (rliable's number for profiles), 95 %, tasks fixed.
    fn default() -> Self {
        Self {
            repetitions: 2000,
            level: 0.95,
            tasks: false,
            seed: 0,
        }
    }
}

/// One resample: column `t` holds the runs `runs[t]` of task `tasks[t]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indices {
    /// For each column the task it is taken from.
    pub tasks: Vec<usize>,
    /// For each column the drawn runs.
    pub runs: Vec<Vec<usize>>,
}

impl Bootstrap {
    /// The interval of one statistic.
    pub fn interval(&self, scores: &Scores, statistic: impl Fn(&Scores) -> f64) -> Interval {
        self.intervals(scores, |resample| vec![statistic(resample)])[0]
    }

    /// The intervals of statistics that are computed together, such as a profile's values.
    pub fn intervals(
        &self,
        scores: &Scores,
        statistics: impl Fn(&Scores) -> Vec<f64>,
    ) -> Vec<Interval> {
        let mut stream = Stream::new(self.seed, "bootstrap");
        let mut indices = Indices::default();
        self.over(|resample| {
            draw(&mut stream, scores, self.tasks, &mut indices);
            scores.resample(&indices, resample);
            statistics(resample)
        })
    }

    /// The interval of a statistic of two methods, which are drawn independently. Tasks stay fixed,
    /// as in rliable.
    pub fn interval_of_two(
        &self,
        x: &Scores,
        y: &Scores,
        statistic: impl Fn(&Scores, &Scores) -> f64,
    ) -> Interval {
        let mut streams = ["x", "y"].map(|name| Stream::new(self.seed, name));
        let (mut indices, mut of_y) = (Indices::default(), y.clone());
        self.over(|of_x| {
            draw(&mut streams[0], x, false, &mut indices);
            x.resample(&indices, of_x);
            draw(&mut streams[1], y, false, &mut indices);
            y.resample(&indices, &mut of_y);
            vec![statistic(of_x, &of_y)]
        })[0]
    }

    /// Intervals between percentiles of what `repetition` returns when it is called again and
    /// again. It gets a buffer for its resample.
    pub fn over(&self, mut repetition: impl FnMut(&mut Scores) -> Vec<f64>) -> Vec<Interval> {
        let mut buffer = Scores::empty();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for _ in 0..self.repetitions.max(1) {
            let values = repetition(&mut buffer);
            columns.resize_with(values.len(), Vec::new);
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        let tail = (1.0 - self.level) / 2.0;
        let ends = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            Interval {
                low: percentile(&values, tail),
                high: percentile(&values, 1.0 - tail),
            }
        };
        columns.into_iter().map(ends).collect()
    }
}

/// Draws one resample of `scores`, with the tasks drawn too if `tasks` says so.
pub fn draw(stream: &mut Stream, scores: &Scores, tasks: bool, indices: &mut Indices) {
    let columns = scores.tasks();
    indices.tasks.clear();
    let drawn = |task| {
        if tasks {
            stream.index(columns.len())
        } else {
            task
        }
    };
    indices.tasks.extend((0..columns.len()).map(drawn));
    indices.runs.resize_with(columns.len(), Vec::new);
    for (runs, &task) in indices.runs.iter_mut().zip(&indices.tasks) {
        let count = columns[task].len();
        runs.clear();
        runs.extend((0..count).map(|_| stream.index(count)));
    }
}

/// The value below which the share `q` (0 to 1) of `sorted` is, linear between adjacent values:
/// `NumPy`'s `percentile` at `100 q` with its default method. NaN for an empty list.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    let t = place - below as f64;
    // From the nearer end, as NumPy does, so that equal adjacent values return that value exactly.
    if t < 0.5 {
        a + (b - a) * t
    } else {
        b - (b - a) * (1.0 - t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{iqm, mean_over_tasks, probability_of_improvement};

    fn scores() -> Scores {
        Scores::from_rows(&[vec![0.1, 0.9], vec![0.4, 1.2], vec![0.7, 0.3]]).unwrap()
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([1, 2, 4, 8], [2.5, 50, 97.5])
        let sorted = [1.0, 2.0, 4.0, 8.0];
        let shares = [
            (0.025, 1.075),
            (0.5, 3.0),
            (0.975, 7.7),
            (0.0, 1.0),
            (1.0, 8.0),
        ];
        for (q, expected) in shares {
            assert!((percentile(&sorted, q) - expected).abs() < 1e-12, "{q}");
        }
        assert!(percentile(&[], 0.5).is_nan());
        assert_eq!(percentile(&[3.0], 0.7).to_bits(), 3.0_f64.to_bits());
    }

    #[test]
    fn one_seed_gives_one_interval_which_contains_the_estimate() {
        let bootstrap = Bootstrap::default();
        let interval = bootstrap.interval(&scores(), iqm);
        assert_eq!(interval, bootstrap.interval(&scores(), iqm));
        let few = |seed| {
            let bootstrap = Bootstrap {
                repetitions: 15,
                seed,
                ..bootstrap
            };
            bootstrap.interval(&scores(), mean_over_tasks)
        };
        assert_ne!(few(0), few(1));
        assert!(interval.low < iqm(&scores()) && iqm(&scores()) < interval.high);
    }

    #[test]
    fn a_single_run_has_no_width() {
        let scores = Scores::new(vec![vec![0.3], vec![0.5]]).unwrap();
        let interval = Bootstrap::default().interval(&scores, mean_over_tasks);
        assert_eq!((interval.low, interval.high), (0.4, 0.4));
        let tasks = Bootstrap {
            tasks: true,
            ..Bootstrap::default()
        };
        assert!(tasks.interval(&scores, mean_over_tasks).low < 0.4);
    }

    #[test]
    fn strata_are_drawn_apart_and_keep_their_sizes() {
        let scores = Scores::new(vec![vec![0.0; 3], vec![1.0; 5]]).unwrap();
        let (mut stream, mut indices) = (Stream::new(3, "test"), Indices::default());
        for _ in 0..50 {
            draw(&mut stream, &scores, false, &mut indices);
            assert_eq!(indices.tasks, [0, 1]);
            let mut resample = Scores::empty();
            scores.resample(&indices, &mut resample);
            assert_eq!(resample, scores);
        }
    }

    #[test]
    fn resamples_may_be_given_instead_of_drawn() {
        let scores = Scores::of_one_task(vec![1.0, 2.0, 6.0]).unwrap();
        let given = [0, 2].map(|run| Indices {
            tasks: vec![0],
            runs: vec![vec![run; 3]],
        });
        let mut next = given.iter();
        let bootstrap = Bootstrap {
            level: 0.5,
            repetitions: 2,
            ..Bootstrap::default()
        };
        let intervals = bootstrap.over(|resample| {
            scores.resample(next.next().unwrap(), resample);
            vec![mean_over_tasks(resample)]
        });
        assert_eq!((intervals[0].low, intervals[0].high), (2.25, 4.75));
    }

    #[test]
    fn the_interval_of_a_comparison_holds_its_estimate() {
        let x = Scores::of_one_task(vec![3.0, 4.0, 5.0, 6.0]).unwrap();
        let y = Scores::of_one_task(vec![1.0, 2.0, 4.5, 3.5]).unwrap();
        let p = |x: &Scores, y: &Scores| probability_of_improvement(x, y).unwrap();
        let interval = Bootstrap::default().interval_of_two(&x, &y, p);
        assert!(
            interval.low < p(&x, &y) && p(&x, &y) < interval.high,
            "{interval:?}"
        );
        assert!(interval.low >= 0.0 && interval.high <= 1.0);
    }
}
