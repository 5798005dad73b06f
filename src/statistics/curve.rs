//! Curves over many runs: the IQM at each step or at each moment.
//!
//! Input is, for each task, the runs, and of each run its points `(x, score)` with x ascending.

use super::{Bootstrap, Interval, Scores, iqm, mean};

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Optimiser steps, environment steps or seconds.
    pub x: f64,
    /// IQM over the runs that have a value here; over one or two runs it is their mean.
    pub value: f64,
    /// Percentile interval, where each task has at least two runs here.
    pub interval: Option<Interval>,
    /// Runs that have a value here.
    pub runs: usize,
}

/// The points of one run.
type Points = Vec<(f64, f64)>;

/// The curve over the steps at which each task has a run with a finite score. A run that was not
/// measured at a step is not part of that point; [`CurvePoint::runs`] is the number that are.
pub fn by_step(tasks: &[Vec<Points>], bootstrap: &Bootstrap) -> Vec<CurvePoint> {
    let mut steps: Vec<f64> = tasks.iter().flatten().flatten().map(|&(x, _)| x).collect();
    steps.sort_unstable_by(f64::total_cmp);
    steps.dedup();
    let exactly = |run: &Points, x: f64| {
        let index = run.partition_point(|&(at, _)| at < x);
        run.get(index)
            .filter(|&&(at, _)| at <= x)
            .map(|&(_, score)| score)
    };
    steps
        .into_iter()
        .filter_map(|x| point(tasks, x, exactly, bootstrap))
        .collect()
}

/// The curve at `count` equally distant moments, from the one at which every run has been measured
/// to the one at which the first run ends. A run counts with its latest score so far, so runs of
/// different speed are compared at the same cost.
pub fn by_time(tasks: &[Vec<Points>], count: usize, bootstrap: &Bootstrap) -> Vec<CurvePoint> {
    let runs = || tasks.iter().flatten().filter(|run| !run.is_empty());
    let begin = runs().map(|run| run[0].0).fold(f64::NEG_INFINITY, f64::max);
    let end = runs()
        .map(|run| run[run.len() - 1].0)
        .fold(f64::INFINITY, f64::min);
    if count == 0 || !begin.is_finite() || !end.is_finite() || end < begin {
        return Vec::new();
    }
    let count = if end > begin { count.max(2) } else { 1 };
    let latest = |run: &Points, x: f64| {
        let after = run.partition_point(|&(at, _)| at <= x);
        after.checked_sub(1).map(|index| run[index].1)
    };
    let share = |i: usize| {
        if count == 1 {
            0.0
        } else {
            i as f64 / (count - 1) as f64
        }
    };
    let moments = (0..count).map(|i| {
        // The last one exactly, without rounding.
        if i + 1 == count {
            end
        } else {
            begin + (end - begin) * share(i)
        }
    });
    moments
        .filter_map(|x| point(tasks, x, latest, bootstrap))
        .collect()
}

/// At most `count` points of a dense curve: the mean of each of `count` equal stretches of `(0,
/// last]`, placed at the stretch's end, so that runs with the same `last` share their positions.
/// Values that are not finite are omitted.
pub fn thin(points: &[(f64, f64)], last: f64, count: usize) -> Vec<(f64, f64)> {
    let width = last / count.max(1) as f64;
    let stretch = |x: f64| (x / width).ceil().clamp(1.0, count.max(1) as f64) as usize;
    let mut thinned = Vec::new();
    let finite: Points = points
        .iter()
        .copied()
        .filter(|(_, value)| value.is_finite())
        .collect();
    for part in finite.chunk_by(|&(a, _), &(b, _)| stretch(a) == stretch(b)) {
        let values: Vec<f64> = part.iter().map(|&(_, value)| value).collect();
        thinned.push((width * stretch(part[0].0) as f64, mean(&values)));
    }
    thinned
}

fn point(
    tasks: &[Vec<Points>],
    x: f64,
    value_at: impl Fn(&Points, f64) -> Option<f64>,
    bootstrap: &Bootstrap,
) -> Option<CurvePoint> {
    let column = |runs: &Vec<Points>| -> Vec<f64> {
        let values = runs.iter().filter_map(|run| value_at(run, x));
        values.filter(|value| value.is_finite()).collect()
    };
    let scores = Scores::new(tasks.iter().map(column).collect())?;
    Some(CurvePoint {
        x,
        value: iqm(&scores),
        interval: (scores.fewest_runs() > 1).then(|| bootstrap.interval(&scores, iqm)),
        runs: scores.count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(curve: &[CurvePoint]) -> Vec<(f64, f64, usize)> {
        curve
            .iter()
            .map(|point| (point.x, point.value, point.runs))
            .collect()
    }

    #[test]
    fn a_step_averages_the_runs_measured_at_it() {
        let runs = vec![
            vec![(10.0, 1.0), (20.0, 2.0), (30.0, f64::NAN)],
            vec![(10.0, 3.0), (20.0, 4.0)],
            vec![(20.0, 9.0), (30.0, 5.0)],
        ];
        let curve = by_step(&[runs], &Bootstrap::default());
        assert_eq!(
            places(&curve),
            [(10.0, 2.0, 2), (20.0, 5.0, 3), (30.0, 5.0, 1)]
        );
        assert_eq!(curve[2].interval, None);
        let interval = curve[1].interval.unwrap();
        assert!(interval.low >= 2.0 && interval.high <= 9.0);
    }

    #[test]
    fn a_step_that_a_task_lacks_has_no_point() {
        let tasks = [vec![vec![(1.0, 0.0), (2.0, 0.5)]], vec![vec![(2.0, 1.0)]]];
        assert_eq!(
            places(&by_step(&tasks, &Bootstrap::default())),
            [(2.0, 0.75, 2)]
        );
        assert!(by_step(&[], &Bootstrap::default()).is_empty());
    }

    #[test]
    fn at_any_time_each_run_counts_with_its_latest_score() {
        let fast = vec![(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)];
        let slow = vec![(2.0, 10.0), (4.0, 20.0)];
        let curve = by_time(&[vec![fast, slow]], 3, &Bootstrap::default());
        assert_eq!(
            places(&curve),
            [(2.0, 6.0, 2), (2.5, 6.0, 2), (3.0, 6.5, 2)]
        );
        let apart = [vec![vec![(1.0, 0.0)], vec![(5.0, 0.0)]]];
        assert!(by_time(&apart, 3, &Bootstrap::default()).is_empty());
        let single = by_time(&[vec![vec![(7.0, 3.0)]]], 5, &Bootstrap::default());
        assert_eq!(places(&single), [(7.0, 3.0, 1)]);
    }

    #[test]
    fn a_thinned_curve_has_means_at_shared_positions() {
        let points: Points = (1..=10).map(|x| (f64::from(x), f64::from(x))).collect();
        assert_eq!(thin(&points, 10.0, 5)[..2], [(2.0, 1.5), (4.0, 3.5)]);
        let holed = [(1.0, f64::NAN), (9.0, 4.0), (9.5, 6.0)];
        assert_eq!(thin(&holed, 10.0, 5), [(10.0, 5.0)]);
        assert!(thin(&[], 0.0, 5).is_empty());
    }
}
