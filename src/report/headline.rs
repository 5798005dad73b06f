//! The headline of a group: the results of its last evaluations, of its best ones, and the cost.

use super::{Group, RunReport};
use crate::run::Evaluation;
use crate::statistics::{
    Bootstrap, Caution, Interval, Scores, iqm, largest, mean, median, sample_std,
};

/// A statistic over the runs of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunStatistic {
    /// The finite values, in the order of the runs.
    pub(super) values: Vec<f64>,
    pub(super) mean: f64,
    /// The sample standard deviation over seeds (n - 1); none for one run.
    pub(super) std: Option<f64>,
    pub(super) iqm: f64,
    /// The 95 % interval of the IQM; none for one run.
    pub(super) interval: Option<Interval>,
    pub(super) caution: Option<Caution>,
}

impl RunStatistic {
    /// Over the finite values; none without any.
    pub(super) fn of(values: Vec<f64>) -> Option<Self> {
        let values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        let scores = Scores::of_one_task(values.clone())?;
        let several = values.len() > 1;
        Some(Self {
            mean: mean(&values),
            std: sample_std(&values),
            iqm: iqm(&scores),
            interval: several.then(|| Bootstrap::default().interval(&scores, iqm)),
            caution: Caution::about(&scores),
            values,
        })
    }
}

/// The results for one target of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Headline {
    pub(super) target: Option<f64>,
    /// Runs that have been evaluated.
    pub(super) evaluated: usize,
    /// Mean return of the last evaluation.
    pub(super) last: Option<RunStatistic>,
    /// Normalised score of the last evaluation.
    pub(super) score: Option<RunStatistic>,
    /// Mean over the runs of each run's best evaluation: a maximum, so it favours runs with more
    /// evaluations.
    pub(super) best: Option<f64>,
    /// The largest number of evaluations of a run.
    pub(super) looks: usize,
}

impl Headline {
    pub(super) fn of(group: &Group<'_>, target: Option<f64>) -> Self {
        let last: Vec<&Evaluation> = group
            .runs
            .iter()
            .filter_map(|run| run.of_target(target).last())
            .collect();
        let best: Vec<f64> = group
            .runs
            .iter()
            .filter_map(|run| best_of(run, target))
            .collect();
        let looks = group.runs.iter().map(|run| run.of_target(target).count());
        Self {
            target,
            evaluated: last.len(),
            last: RunStatistic::of(
                last.iter()
                    .map(|evaluation| evaluation.return_mean)
                    .collect(),
            ),
            score: RunStatistic::of(
                last.iter()
                    .filter_map(|evaluation| evaluation.score)
                    .collect(),
            ),
            best: (!best.is_empty()).then(|| mean(&best)),
            looks: looks.max().unwrap_or(0),
        }
    }
}

/// The largest mean return among a run's evaluations.
pub(super) fn best_of(run: &RunReport, target: Option<f64>) -> Option<f64> {
    largest(
        run.of_target(target)
            .map(|evaluation| evaluation.return_mean),
    )
}

/// The cost of a group: medians over its runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GroupCost {
    pub(super) updates: Option<f64>,
    pub(super) environment_steps: Option<f64>,
    pub(super) seconds: Option<f64>,
    pub(super) cpu_seconds: Option<f64>,
}

impl GroupCost {
    pub(super) fn of(group: &Group<'_>) -> Self {
        let known = |cost: fn(&RunReport) -> Option<f64>| {
            let costs: Vec<f64> = group.runs.iter().filter_map(|run| cost(run)).collect();
            (!costs.is_empty()).then(|| median(&costs))
        };
        Self {
            updates: known(|run| run.cost.updates),
            environment_steps: known(|run| run.cost.environment_steps),
            seconds: known(|run| run.cost.seconds),
            cpu_seconds: known(|run| run.cost.cpu_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, tests::runs};
    use super::*;

    #[test]
    fn last_is_the_headline_and_best_has_its_number_of_evaluations() {
        let runs = runs();
        let comparison = Comparison::of(&runs);
        let headline = Headline::of(&comparison.groups[0], Some(500.0));
        let last = headline.last.unwrap();
        assert_eq!(last.values, [90.0, 100.0]);
        assert_eq!((last.mean, last.std), (95.0, Some(50_f64.sqrt())));
        assert_eq!(last.caution, Some(Caution::FewRuns { runs: 2 }));
        assert_eq!((headline.best, headline.looks), (Some(105.0), 3));
        assert_eq!(headline.score, None);
    }

    #[test]
    fn a_single_run_has_neither_spread_nor_interval() {
        let runs = runs();
        let comparison = Comparison::of(&runs);
        let last = Headline::of(&comparison.groups[1], Some(500.0))
            .last
            .unwrap();
        assert_eq!((last.std, last.interval), (None, None));
        let none = Headline::of(&comparison.groups[1], Some(1.0));
        assert_eq!((none.last, none.best, none.looks), (None, None, 0));
    }

    #[test]
    fn the_cost_is_the_median_over_the_runs() {
        let runs = runs();
        let cost = GroupCost::of(&Comparison::of(&runs).groups[0]);
        assert_eq!((cost.updates, cost.seconds), (Some(40.0), Some(1.0)));
        assert_eq!(cost.environment_steps, None);
    }
}
