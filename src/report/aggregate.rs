//! Comparison of methods over all tasks that they share.

use super::Comparison;
use super::headline::Headline;
use crate::statistics::{
    Bootstrap, Caution, Interval, Scores, iqm, mean_over_tasks, median_over_tasks, optimality_gap,
    probability_of_improvement, profile,
};

/// Points of a performance profile.
const THRESHOLDS: usize = 101;
/// The most methods that are compared in pairs; the number of pairs grows quadratically.
const MOST_METHODS: usize = 24;

/// An estimate and its 95 % interval, which is none if tasks have a single run.
pub(super) type Estimate = (f64, Option<Interval>);

/// A performance profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    /// Share of runs above each threshold.
    pub(super) shares: Vec<f64>,
    /// Their intervals; empty if tasks have a single run.
    pub(super) intervals: Vec<Interval>,
}

/// One method over all shared tasks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MethodScores {
    /// Index of the method.
    pub(super) method: usize,
    pub(super) scores: Scores,
    pub(super) iqm: Estimate,
    pub(super) mean: Estimate,
    pub(super) median: Estimate,
    /// The optimality gap of normalised scores, whose reference is 1.
    pub(super) gap: Option<Estimate>,
    pub(super) caution: Option<Caution>,
    pub(super) profile: Profile,
}

/// P(X > Y) of two methods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    /// Positions in [`Aggregate::methods`].
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) probability: Estimate,
}

/// Statistics of methods that were run on the same tasks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aggregate {
    /// Whether scores are normalised, with 0 for the random policy and 1 for the expert; otherwise
    /// they are returns.
    pub(super) normalised: bool,
    /// Indices of the tasks.
    pub(super) tasks: Vec<usize>,
    /// Best IQM first.
    pub(super) methods: Vec<MethodScores>,
    pub(super) thresholds: Vec<f64>,
    pub(super) pairs: Vec<Pair>,
}

impl Aggregate {
    /// None with fewer than two methods that have results on a shared task, or if returns of
    /// several tasks would have to be averaged without a normalised score.
    pub(super) fn of(comparison: &Comparison<'_>) -> Option<Self> {
        let columns = Columns::of(comparison);
        let tasks = columns.shared_tasks()?;
        let normalised = columns.all_normalised(&tasks);
        if !normalised && tasks.len() > 1 {
            return None;
        }
        let mut methods: Vec<MethodScores> = Vec::new();
        let scores: Vec<(usize, Scores)> = columns.scores(&tasks, normalised);
        if scores.len() < 2 {
            return None;
        }
        let thresholds = thresholds(scores.iter().map(|(_, scores)| scores));
        for (method, scores) in scores {
            methods.push(MethodScores::of(method, scores, normalised, &thresholds));
        }
        methods.sort_by(|a, b| b.iqm.0.total_cmp(&a.iqm.0));
        let pairs = pairs(&methods);
        Some(Self {
            normalised,
            tasks,
            methods,
            thresholds,
            pairs,
        })
    }

    /// The pair of two positions in [`Aggregate::methods`].
    pub(super) fn pair(&self, x: usize, y: usize) -> Option<&Pair> {
        self.pairs.iter().find(|pair| (pair.x, pair.y) == (x, y))
    }
}

impl MethodScores {
    fn of(method: usize, scores: Scores, normalised: bool, thresholds: &[f64]) -> Self {
        let several = scores.fewest_runs() > 1;
        let statistics = |scores: &Scores| {
            vec![
                iqm(scores),
                mean_over_tasks(scores),
                median_over_tasks(scores),
                optimality_gap(scores, 1.0),
            ]
        };
        let (values, bootstrap) = (statistics(&scores), Bootstrap::default());
        let intervals = several.then(|| bootstrap.intervals(&scores, statistics));
        let estimate = |i: usize| (values[i], intervals.as_ref().map(|intervals| intervals[i]));
        let of_thresholds = |scores: &Scores| profile(scores, thresholds);
        let profile = Profile {
            shares: of_thresholds(&scores),
            intervals: if several {
                bootstrap.intervals(&scores, of_thresholds)
            } else {
                Vec::new()
            },
        };
        Self {
            method,
            iqm: estimate(0),
            mean: estimate(1),
            median: estimate(2),
            gap: normalised.then(|| estimate(3)),
            caution: Caution::about(&scores),
            profile,
            scores,
        }
    }
}

/// The last results of each method on each task: the return, and the score if there is one.
struct Columns {
    /// By method and task.
    returns: Vec<Vec<Vec<f64>>>,
    scores: Vec<Vec<Vec<f64>>>,
}

impl Columns {
    fn of(comparison: &Comparison<'_>) -> Self {
        let empty = vec![vec![Vec::new(); comparison.tasks.len()]; comparison.methods.len()];
        let (mut returns, mut scores) = (empty.clone(), empty);
        for group in &comparison.groups {
            let headline = Headline::of(group, group.headline_target());
            let values = headline.last.map_or_else(Vec::new, |last| last.values);
            returns[group.method][group.task].extend(values);
            let values = headline.score.map_or_else(Vec::new, |score| score.values);
            // The expert's score is 100; the literature's reference is 1.
            scores[group.method][group.task].extend(values.iter().map(|score| score / 100.0));
        }
        Self { returns, scores }
    }

    /// The tasks on which every method that has any result has one; none if there is no such task.
    fn shared_tasks(&self) -> Option<Vec<usize>> {
        let has_any = |tasks: &&Vec<Vec<f64>>| tasks.iter().any(|runs| !runs.is_empty());
        let methods: Vec<_> = self.returns.iter().filter(has_any).collect();
        let tasks = 0..methods.first()?.len();
        let shared = |&task: &usize| methods.iter().all(|tasks| !tasks[task].is_empty());
        let tasks: Vec<usize> = tasks.filter(shared).collect();
        (!tasks.is_empty()).then_some(tasks)
    }

    fn all_normalised(&self, tasks: &[usize]) -> bool {
        self.returns
            .iter()
            .zip(&self.scores)
            .all(|(returns, scores)| {
                tasks
                    .iter()
                    .all(|&task| returns[task].len() == scores[task].len())
            })
    }

    fn scores(&self, tasks: &[usize], normalised: bool) -> Vec<(usize, Scores)> {
        let source = if normalised {
            &self.scores
        } else {
            &self.returns
        };
        let of = |columns: &Vec<Vec<f64>>| {
            Scores::new(tasks.iter().map(|&task| columns[task].clone()).collect())
        };
        let methods = source.iter().enumerate();
        methods
            .filter_map(|(method, columns)| Some((method, of(columns)?)))
            .collect()
    }
}

/// Equidistant thresholds from below the lowest score to the highest.
fn thresholds<'a>(all: impl Iterator<Item = &'a Scores>) -> Vec<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for score in all.flat_map(Scores::tasks).flatten() {
        (low, high) = (low.min(*score), high.max(*score));
    }
    let step = (high - low) / (THRESHOLDS - 2) as f64;
    let count = if step > 0.0 { THRESHOLDS } else { 2 };
    let step = if step > 0.0 { step } else { 1.0 };
    (0..count).map(|i| low + (i as f64 - 1.0) * step).collect()
}

fn pairs(methods: &[MethodScores]) -> Vec<Pair> {
    if methods.len() > MOST_METHODS {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for (x, of_x) in methods.iter().enumerate() {
        for (y, of_y) in methods.iter().enumerate().filter(|(y, _)| *y != x) {
            let p = |a: &Scores, b: &Scores| probability_of_improvement(a, b).unwrap_or(f64::NAN);
            let several = of_x.scores.fewest_runs().min(of_y.scores.fewest_runs()) > 1;
            let interval = several
                .then(|| Bootstrap::default().interval_of_two(&of_x.scores, &of_y.scores, p));
            let probability = (p(&of_x.scores, &of_y.scores), interval);
            pairs.push(Pair { x, y, probability });
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::super::tests::{many_runs, runs};
    use super::*;

    #[test]
    fn methods_are_compared_on_the_tasks_they_share() {
        let runs = many_runs();
        let comparison = Comparison::of(&runs);
        let aggregate = Aggregate::of(&comparison).unwrap();
        assert!(!aggregate.normalised);
        let names = aggregate
            .methods
            .iter()
            .map(|m| comparison.methods[m.method].as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["official", "corl"]);
        let pair = aggregate.pair(0, 1).unwrap();
        assert_eq!(pair.probability.0.to_bits(), 1.0_f64.to_bits());
        assert_eq!(aggregate.methods[0].gap, None);
        let shares = &aggregate.methods[0].profile.shares;
        assert_eq!((shares[0], shares[shares.len() - 1]), (1.0, 0.0));
        assert!(shares.windows(2).all(|two| two[0] >= two[1]));
    }

    #[test]
    fn returns_of_two_tasks_are_not_averaged() {
        let mut runs = runs();
        for run in &mut runs {
            run.evaluations.clear();
        }
        assert_eq!(Aggregate::of(&Comparison::of(&runs)), None);
        let mut two = many_runs();
        for run in two.iter_mut().filter(|run| run.seed > 2) {
            run.settings.insert("dataset".into(), "other".into());
        }
        assert_eq!(Aggregate::of(&Comparison::of(&two)), None);
        for run in &mut two {
            run.evaluations
                .iter_mut()
                .for_each(|e| e.score = Some(e.return_mean));
        }
        let comparison = Comparison::of(&two);
        let aggregate = Aggregate::of(&comparison).unwrap();
        assert!(aggregate.normalised && aggregate.tasks.len() == 2);
        assert!(aggregate.methods[0].gap.is_some());
    }
}
