//! Calibration: achieved returns over target returns.

use super::headline::{Headline, RunStatistic};
use super::table::{Cell, Table, numbers, words};
use super::{Comparison, Group, RunReport};
use crate::run;
use crate::statistics::{Calibration, CurvePoint, mean_interval};

/// The curve of a group: the last mean return of each target, in ascending order of the targets.
/// Its band is over the runs, or over the episodes of a single run.
pub(super) fn curve(group: &Group<'_>) -> Vec<CurvePoint> {
    let mut targets: Vec<f64> = group.targets().into_iter().flatten().collect();
    targets.sort_unstable_by(f64::total_cmp);
    let point = |&target: &f64| {
        let last = Headline::of(group, Some(target)).last?;
        let of_episodes = || {
            let [run] = group.runs[..] else { return None };
            mean_interval(&run.of_target(Some(target)).last()?.returns)
        };
        Some(CurvePoint {
            x: target,
            value: last.iqm,
            interval: last.interval.or_else(of_episodes),
            runs: last.values.len(),
        })
    };
    targets.iter().filter_map(point).collect()
}

/// The calibration of a run's last evaluation.
fn of_run(run: &RunReport) -> Option<Calibration> {
    let last = run
        .evaluations
        .iter()
        .map(|evaluation| evaluation.step)
        .max()?;
    let evaluations = run.evaluations.iter();
    run::calibration(
        run.return_range,
        evaluations.filter(|evaluation| evaluation.step == last),
    )
}

/// A row for each group with targets in its data's range; none without such groups.
pub(super) fn calibration_table(comparison: &Comparison<'_>) -> Option<Table> {
    let mut columns: Vec<_> = ["task", "method"].map(words).into();
    columns.extend(
        [
            "seeds",
            "targets",
            "error",
            "Spearman",
            "slope",
            "intercept",
            "within a tenth",
            "from",
            "to",
        ]
        .map(numbers),
    );
    let row = |group: &Group<'_>| row(comparison, group);
    let rows: Vec<_> = comparison.groups.iter().filter_map(row).collect();
    (!rows.is_empty()).then_some(Table {
        name: "calibrated",
        caption: "Calibration: over the targets in the data's range (5th to 95th \
                  percentile of its returns), the mean distance of the last mean return from its \
                  target, relative to the width of that range; rank correlation, slope and \
                  intercept of achieved over target returns; and the share of targets missed by at \
                  most a tenth of the range. Mean ± standard deviation (n − 1) over seeds, or for \
                  a single run the 95 % interval over its episodes.",
        columns,
        rows,
    })
}

fn row(comparison: &Comparison<'_>, group: &Group<'_>) -> Option<Vec<Cell>> {
    let of_runs = group.runs.iter().filter_map(|run| of_run(run));
    let of_runs: Vec<Calibration> = of_runs.collect();
    let first = *of_runs.first()?;
    let over = |value: fn(&Calibration) -> Option<f64>| {
        Cell::optional(
            RunStatistic::of(of_runs.iter().filter_map(value).collect()),
            |over| {
                let text = match over.std {
                    Some(std) => format!("{:.3} ± {std:.3}", over.mean),
                    None => format!("{:.3}", over.mean),
                };
                Cell::number(text, over.mean)
            },
        )
    };
    let error = match (&of_runs[..], first.error_interval) {
        ([_], Some(interval)) => {
            let text = format!(
                "{:.3} [{:.3}, {:.3}]",
                first.error, interval.low, interval.high
            );
            Cell::number(text, first.error)
        }
        _ => over(|calibration| Some(calibration.error)),
    };
    let count = |count: usize| Cell::number(count.to_string(), count as f64);
    let end = |end: f64| Cell::number(end.to_string(), end);
    Some(vec![
        Cell::from(comparison.task_name(group.task)),
        Cell::from(comparison.label(group)),
        count(of_runs.len()),
        count(first.targets),
        error,
        over(|calibration| calibration.spearman),
        over(|calibration| calibration.slope),
        over(|calibration| calibration.intercept),
        over(|calibration| Some(calibration.within)),
        end(first.range.low),
        end(first.range.high),
    ])
}

/// The methods without target returns, as a sentence; none if all have them.
pub(super) fn not_asked(comparison: &Comparison<'_>) -> Option<String> {
    let silent = |group: &&Group<'_>| {
        let targets = group.targets();
        !targets.is_empty() && targets.iter().all(Option::is_none)
    };
    let silent = comparison.groups.iter().filter(silent);
    let mut names: Vec<&str> = silent.map(|group| comparison.label(group)).collect();
    names.sort_unstable();
    names.dedup();
    let takes = if names.len() == 1 { "takes" } else { "take" };
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("{names} {takes} no target return and cannot be calibrated."))
}

#[cfg(test)]
mod tests {
    use super::super::tests::runs;
    use super::*;

    /// The runs, with the additional target 100, on data with returns from 100 to 600.
    fn calibrated() -> Vec<RunReport> {
        let mut runs = runs();
        for run in &mut runs {
            run.return_range = Some(crate::statistics::Interval {
                low: 100.0,
                high: 600.0,
            });
            let mut again = run.evaluations.clone();
            for evaluation in &mut again {
                evaluation.target = Some(100.0);
            }
            run.evaluations.extend(again);
        }
        runs
    }

    fn texts(row: &[Cell]) -> Vec<&str> {
        row.iter().map(|cell| cell.text.as_str()).collect()
    }

    #[test]
    fn the_table_has_the_error_over_seeds_or_of_a_single_run() {
        let runs = calibrated();
        let table = calibration_table(&Comparison::of(&runs)).unwrap();
        // Seeds achieve 90 and 100 for the targets 500 and 100: (410 + 10) / 1000, 400 / 1000.
        let row = texts(&table.rows[0]);
        assert_eq!(row[2..5], ["2", "2", "0.410 ± 0.014"]);
        assert_eq!(
            row[5..9],
            ["–", "0.000 ± 0.000", "95.000 ± 7.071", "0.500 ± 0.000"]
        );
        assert_eq!(row[9..], ["100", "600"]);
        // In progress, so its episodes are unknown.
        assert_eq!(table.rows[1][4].text, "0.400");
        let single = calibration_table(&Comparison::of(&runs[..1])).unwrap();
        assert!(
            single.rows[0][4].text.starts_with("0.420 [0.4"),
            "{single:?}"
        );
    }

    #[test]
    fn a_run_without_a_range_is_not_calibrated_and_a_silent_method_is_named() {
        let mut runs = runs();
        assert!(calibration_table(&Comparison::of(&runs)).is_none());
        assert_eq!(not_asked(&Comparison::of(&runs)), None);
        for evaluation in &mut runs[2].evaluations {
            evaluation.target = None;
        }
        let expected = "official takes no target return and cannot be calibrated.";
        assert_eq!(not_asked(&Comparison::of(&runs)).unwrap(), expected);
    }

    #[test]
    fn the_band_of_a_single_run_is_over_its_episodes() {
        let runs = calibrated();
        let comparison = Comparison::of(&runs[..1]);
        let curve = curve(&comparison.groups[0]);
        let asked: Vec<f64> = curve.iter().map(|point| point.x).collect();
        assert_eq!(asked, [100.0, 500.0]);
        let band = curve[0].interval.unwrap();
        assert_eq!((band.low, band.high), (88.0, 92.0));
    }
}
