//! The tables of a report: runs, groups, methods, pairs of methods, differences between plans.

use std::fmt::Write as _;

use super::aggregate::{Aggregate, Estimate};
use super::calibration::{calibration_table, not_asked};
use super::findings::findings;
use super::headline::{GroupCost, Headline, RunStatistic, best_of};
use super::table::{Cell, Table, numbers, words};
use super::{Comparison, Group, RunReport, commands};
use crate::metrics::spread;
use crate::statistics::Interval;

/// The findings about the methods, and a row for each method and target with score and cost.
pub fn brief(runs: &[RunReport]) -> String {
    /// Columns that fit on a terminal.
    const TITLES: [&str; 12] = [
        "method",
        "seeds",
        "target",
        "return",
        "IQM [95 %]",
        "score",
        "best",
        "looks",
        "updates",
        "env steps",
        "seconds",
        "CPU s",
    ];
    let comparison = Comparison::of(runs);
    let mut titles = TITLES.to_vec();
    if comparison.tasks.len() > 1 {
        titles.push("task");
    }
    let mut text = String::new();
    if let Some(aggregate) = Aggregate::of(&comparison) {
        for sentence in findings(&comparison, &aggregate) {
            let _ = writeln!(text, "{sentence}\n");
        }
    }
    let table = group_table(&comparison, false).only(&titles);
    let _ = write!(text, "{}\n\n{}", table.caption, table.markdown());
    text
}

/// The findings about the runs, then in Markdown one line for each run and target, then the tables
/// of groups, methods and pairs, if there are any.
pub fn markdown(runs: &[RunReport]) -> String {
    let comparison = Comparison::of(runs);
    let mut text = String::new();
    let mut tables = Vec::new();
    if comparison.groups.iter().any(|group| group.runs.len() > 1) {
        tables.push(group_table(&comparison, false));
    }
    if let Some(aggregate) = Aggregate::of(&comparison) {
        for sentence in findings(&comparison, &aggregate) {
            let _ = writeln!(text, "{sentence}\n");
        }
        tables.push(method_table(&comparison, &aggregate));
        tables.extend(pair_table(&comparison, &aggregate));
    }
    let calibration = calibration_table(&comparison);
    let sentence = calibration.as_ref().and_then(|_| not_asked(&comparison));
    tables.extend(calibration);
    text += &run_table(runs, false).markdown();
    for table in tables {
        let _ = write!(text, "\n{}\n\n{}", table.caption, table.markdown());
    }
    if let Some(sentence) = sentence {
        let _ = writeln!(text, "\n{sentence}");
    }
    text
}

/// The tables over runs for a paper: `tabular`s for the package booktabs.
pub fn latex(runs: &[RunReport]) -> String {
    let comparison = Comparison::of(runs);
    let mut tables = vec![group_table(&comparison, false)];
    if let Some(aggregate) = Aggregate::of(&comparison) {
        tables.push(method_table(&comparison, &aggregate));
        tables.extend(pair_table(&comparison, &aggregate));
    }
    tables.extend(calibration_table(&comparison));
    let mut text = String::from("% \\usepackage{booktabs}\n");
    for table in tables {
        let _ = write!(text, "\n% {}\n{}", table.caption, table.latex());
    }
    text
}

pub(super) fn run_table(runs: &[RunReport], with_commands: bool) -> Table {
    let mut columns: Vec<_> = ["run", "env", "dataset", "algorithm", "recipe"]
        .map(words)
        .into();
    columns.extend(
        [
            "seed", "steps", "target", "return", "best", "looks", "score", "seconds", "CPU s",
            "ms/step",
        ]
        .map(numbers),
    );
    columns.extend(with_commands.then(|| words("again")));
    let mut rows = Vec::new();
    for run in runs {
        let mut targets = run.targets();
        if targets.is_empty() {
            // A run that has not been evaluated has a line, too.
            targets.push(None);
        }
        for target in targets {
            let mut row = run_row(run, target);
            row.extend(with_commands.then(|| Cell::command(commands::of_run(run))));
            rows.push(row);
        }
    }
    Table {
        name: "runs",
        caption: "Each run: the last mean return ± standard deviation over its episodes \
                  (population).",
        columns,
        rows,
    }
}

fn run_row(run: &RunReport, target: Option<f64>) -> Vec<Cell> {
    let last = run.of_target(target).last();
    let steps = run.steps;
    let steps_text = if steps < run.planned_steps {
        format!("{steps} of {}", run.planned_steps)
    } else {
        steps.to_string()
    };
    let looks = run.of_target(target).count();
    vec![
        Cell::from(&*run.name),
        Cell::from(&*run.env),
        Cell::from(&*run.dataset),
        Cell::from(&*run.algorithm),
        Cell::from(&*run.recipe),
        Cell::number(run.seed.to_string(), run.seed as f64),
        Cell::number(steps_text, steps as f64),
        target_cell(target),
        Cell::optional(last, |e| {
            Cell::number(spread(e.return_mean, Some(e.return_std)), e.return_mean)
        }),
        Cell::optional(best_of(run, target), |best| {
            Cell::number(spread(best, None), best)
        }),
        Cell::number(looks.to_string(), looks as f64),
        Cell::optional(last.and_then(|e| e.score), tenths),
        Cell::optional(run.cost.seconds, tenths),
        Cell::optional(run.cost.cpu_seconds, tenths),
        Cell::optional(run.ms_per_step, |ms| Cell::number(format!("{ms:.2}"), ms)),
    ]
}

pub(super) fn group_table(comparison: &Comparison<'_>, with_commands: bool) -> Table {
    let online = comparison
        .groups
        .iter()
        .any(|group| GroupCost::of(group).environment_steps.is_some());
    let mut columns: Vec<_> = ["task", "method", "algorithm", "recipe"].map(words).into();
    columns.extend(
        [
            "seeds",
            "target",
            "return",
            "IQM [95 %]",
            "score",
            "score IQM [95 %]",
            "best",
            "looks",
        ]
        .map(numbers),
    );
    columns.push(numbers("updates"));
    columns.extend(online.then(|| numbers("env steps")));
    columns.extend(["seconds", "CPU s"].map(numbers));
    columns.push(words("note"));
    columns.push(words(if with_commands { "again" } else { "runs" }));
    let mut rows = Vec::new();
    for group in &comparison.groups {
        let mut targets = group.targets();
        if targets.is_empty() {
            targets.push(None);
        }
        for target in targets {
            let mut row = group_row(comparison, group, &Headline::of(group, target), online);
            row.push(if with_commands {
                Cell::command(commands::of_group(group))
            } else {
                let names: Vec<&str> = group.runs.iter().map(|run| run.name.as_str()).collect();
                Cell::from(names.join(", "))
            });
            rows.push(row);
        }
    }
    let table = Table {
        name: "groups",
        caption: "Over seeds: mean ± standard deviation (n − 1) of the last mean returns, their \
                  interquartile mean with its bootstrap interval, and the mean of each run's best \
                  evaluation, a maximum over this many looks. Costs are medians over the runs; \
                  seconds and processor seconds are those of training, without evaluations.",
        columns,
        rows,
    };
    // If methods are algorithms, one column is enough.
    let mut groups = comparison.groups.iter();
    if groups.all(|group| comparison.label(group) == group.first().algorithm) {
        table.without("algorithm")
    } else {
        table
    }
}

fn group_row(
    comparison: &Comparison<'_>,
    group: &Group<'_>,
    headline: &Headline,
    online: bool,
) -> Vec<Cell> {
    let run = group.first();
    let cost = GroupCost::of(group);
    let (last, score) = (headline.last.as_ref(), headline.score.as_ref());
    let runs = if headline.evaluated < group.runs.len() {
        format!("{} of {}", headline.evaluated, group.runs.len())
    } else {
        group.runs.len().to_string()
    };
    let plain = |over: &RunStatistic| spread(over.mean, over.std);
    let in_tenths = |over: &RunStatistic| match over.std {
        Some(std) => format!("{:.1} ± {std:.1}", over.mean),
        None => format!("{:.1}", over.mean),
    };
    let iqm = |over: &RunStatistic| {
        Cell::optional(over.interval, |interval| {
            estimate_cell(
                (over.iqm, Some(interval)),
                if over.iqm.abs() < 10.0 { 2 } else { 1 },
            )
        })
    };
    let mut row = vec![
        Cell::from(comparison.task_name(group.task)),
        Cell::from(comparison.label(group)),
        Cell::from(&*run.algorithm),
        Cell::from(&*run.recipe),
        Cell::number(runs, headline.evaluated as f64),
        target_cell(headline.target),
        Cell::optional(last, |over| Cell::number(plain(over), over.mean)),
        Cell::optional(last, iqm),
        Cell::optional(score, |over| Cell::number(in_tenths(over), over.mean)),
        Cell::optional(score, iqm),
        Cell::optional(headline.best, |best| Cell::number(spread(best, None), best)),
        Cell::number(headline.looks.to_string(), headline.looks as f64),
        Cell::optional(cost.updates, |n| Cell::number(format!("{n:.0}"), n)),
    ];
    if online {
        row.push(Cell::optional(cost.environment_steps, |n| {
            Cell::number(format!("{n:.0}"), n)
        }));
    }
    row.push(Cell::optional(cost.seconds, tenths));
    row.push(Cell::optional(cost.cpu_seconds, tenths));
    row.push(note(group, last));
    row
}

/// Notes on a group's numbers.
fn note(group: &Group<'_>, last: Option<&RunStatistic>) -> Cell {
    let going = group.runs.iter().filter(|run| !run.ended).count();
    let mut notes = Vec::new();
    if going > 0 {
        notes.push(format!("{going} of {} not finished", group.runs.len()));
    }
    notes.extend(
        last.and_then(|last| last.caution)
            .map(|caution| caution.to_string()),
    );
    if notes.is_empty() {
        Cell::missing()
    } else {
        Cell::from(notes.join("; "))
    }
}

pub(super) fn method_table(comparison: &Comparison<'_>, aggregate: &Aggregate) -> Table {
    let mut columns: Vec<_> = vec![words("method")];
    columns.extend(
        [
            "tasks",
            "runs",
            "IQM [95 %]",
            "mean [95 %]",
            "median [95 %]",
        ]
        .map(numbers),
    );
    columns.extend(
        aggregate
            .normalised
            .then(|| numbers("optimality gap [95 %]")),
    );
    columns.push(words("note"));
    let decimals = if aggregate.normalised { 3 } else { 1 };
    let rows = aggregate.methods.iter().map(|method| {
        let tasks = method.scores.tasks();
        let runs: usize = tasks.iter().map(Vec::len).sum();
        let mut row = vec![
            Cell::from(&*comparison.methods[method.method]),
            Cell::number(tasks.len().to_string(), tasks.len() as f64),
            Cell::number(runs.to_string(), runs as f64),
            estimate_cell(method.iqm, decimals),
            estimate_cell(method.mean, decimals),
            estimate_cell(method.median, decimals),
        ];
        row.extend(method.gap.map(|gap| estimate_cell(gap, decimals)));
        row.push(Cell::optional(method.caution, |caution| {
            Cell::from(caution.to_string())
        }));
        row
    });
    Table {
        name: "methods",
        caption: if aggregate.normalised {
            "Methods over the tasks that all of them share, by the last normalised score (0 random, 1 \
             expert): aggregates with 95 % intervals of the stratified bootstrap, as in rliable."
        } else {
            "Methods by the last mean return: aggregates with 95 % intervals of the stratified \
             bootstrap, as in rliable. Without reference returns there is no optimality gap."
        },
        columns,
        rows: rows.collect(),
    }
}

/// P(row > column) as a matrix; none if there are too many methods.
pub(super) fn pair_table(comparison: &Comparison<'_>, aggregate: &Aggregate) -> Option<Table> {
    let name = |place: usize| comparison.methods[aggregate.methods[place].method].as_str();
    let mut columns = vec![words("P(row > column)")];
    columns.extend((0..aggregate.methods.len()).map(|y| numbers(name(y))));
    let row = |x: usize| {
        let mut row = vec![Cell::from(name(x))];
        row.extend((0..aggregate.methods.len()).map(|y| {
            Cell::optional(aggregate.pair(x, y), |pair| {
                estimate_cell(pair.probability, 2)
            })
        }));
        row
    };
    (!aggregate.pairs.is_empty()).then(|| Table {
        name: "pairs",
        caption: "The probability that a run of one method scores above a run of another on the \
                  same task, averaged over the tasks; if its interval contains 0.5, the two are \
                  not distinguished.",
        columns,
        rows: (0..aggregate.methods.len()).map(row).collect(),
    })
}

/// The keys in which plans differ, a column for each group.
pub(super) fn difference_table(comparison: &Comparison<'_>) -> Table {
    let several = comparison.tasks.len() > 1;
    let title = |group: &Group<'_>| {
        let label = comparison.label(group);
        if several {
            format!("{label} on {}", comparison.task_name(group.task))
        } else {
            label.to_owned()
        }
    };
    let mut columns = vec![words("key")];
    columns.extend(comparison.groups.iter().map(|group| words(&title(group))));
    let rows = comparison.differing.iter().map(|key| {
        let mut row = vec![Cell::from(&**key)];
        row.extend(comparison.groups.iter().map(|group| {
            Cell::optional(group.first().settings.get(key), |value| {
                value
                    .parse()
                    .map_or_else(|_| Cell::from(&**value), |n| Cell::number(&**value, n))
            })
        }));
        row
    });
    Table {
        name: "differences",
        caption: "Every key in which the plans differ, besides environment and dataset. A dash: the \
                  plan has no such key.",
        columns,
        rows: rows.collect(),
    }
}

fn target_cell(target: Option<f64>) -> Cell {
    Cell::optional(target, |target| Cell::number(target.to_string(), target))
}

fn tenths(value: f64) -> Cell {
    Cell::number(format!("{value:.1}"), value)
}

fn estimate_cell((value, interval): Estimate, decimals: usize) -> Cell {
    let text = match interval {
        Some(Interval { low, high }) => {
            format!("{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
        }
        None => format!("{value:.decimals$}"),
    };
    Cell::number(text, value)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{many_runs, runs};
    use super::*;

    #[test]
    fn the_tables_show_every_run_and_the_spread_over_seeds() {
        let text = markdown(&runs());
        let expected = "\
| run | env | dataset | algorithm | recipe | seed | steps | target | return | best | looks | score | seconds | CPU s | ms/step |
| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| a\\|1 | CartPole-v1 | builtin/cartpole/mixed | decision_transformer | corl | 0 | 40 | 500 | 90.0 ± 2.0 | 100.0 | 3 | – | 1.0 | 0.8 | 4.25 |
| a2 | CartPole-v1 | builtin/cartpole/mixed | decision_transformer | corl | 1 | 40 | 500 | 100.0 ± 2.0 | 110.0 | 3 | – | 1.0 | 0.8 | 4.25 |
| b | CartPole-v1 | builtin/cartpole/mixed | decision_transformer | official | 2 | 30 of 40 | 500 | 110.0 ± 2.0 | 120.0 | 3 | – | 0.1 | 0.8 | – |
";
        assert!(text.starts_with("Some method has a single run"), "{text}");
        assert!(text.contains(expected), "{text}");
        let group = "| builtin/cartpole/mixed | corl | decision_transformer | corl | 2 | 500 | \
                     95.0 ± 7.1 | 95.0 [90.0, 100.0] | – | – | 105.0 | 3 | 40 | 1.0 | 0.8 | 2 runs: ";
        assert!(text.contains(group), "{text}");
        assert!(text.contains("| a\\|1, a2 |\n"), "{text}");
    }

    #[test]
    fn the_brief_form_opens_with_the_sentence_and_has_the_cost_beside_the_score() {
        let text = brief(&many_runs());
        let begin = "official beats corl: P = 1.00 [1.00, 1.00].\n\nOver seeds: ";
        assert!(text.starts_with(begin), "{text}");
        let titles = "| method | seeds | target | return | IQM [95 %] | score | best | looks | \
                      updates | seconds | CPU s |\n";
        assert!(text.contains(titles), "{text}");
    }

    #[test]
    fn a_run_without_an_evaluation_has_a_line() {
        let mut runs = runs();
        runs[0].evaluations.clear();
        let table = run_table(&runs[..1], true);
        assert_eq!(table.rows[0][8].text, "–");
        assert!(table.rows[0].last().unwrap().command);
        assert_eq!(run_table(&[], false).rows.len(), 0);
        assert_eq!(
            group_table(&Comparison::of(&runs), true).rows[0][4].text,
            "1 of 2"
        );
    }

    #[test]
    fn methods_pairs_and_differences_have_their_tables() {
        let runs = many_runs();
        let comparison = Comparison::of(&runs);
        let aggregate = Aggregate::of(&comparison).unwrap();
        let methods = method_table(&comparison, &aggregate);
        assert_eq!(methods.rows[0][0].text, "official");
        assert_eq!(methods.rows[0][2].text, "4");
        let pairs = pair_table(&comparison, &aggregate).unwrap();
        assert_eq!(pairs.rows[0][1].text, "–");
        assert_eq!(pairs.rows[0][2].text, "1.00 [1.00, 1.00]");
        let differences = difference_table(&comparison);
        let cells: Vec<_> = differences.rows[0]
            .iter()
            .map(|cell| cell.text.as_str())
            .collect();
        assert_eq!(cells, ["recipe", "corl", "official"]);
        let paper = latex(&runs);
        assert_eq!(paper.matches("\\begin{tabular}").count(), 3);
        assert!(
            paper.contains("official & decision\\_transformer"),
            "{paper}"
        );
    }
}
