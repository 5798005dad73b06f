//! Runs as tables, in Markdown.

use super::{Group, RunReport, groups};
use crate::metrics::spread;
use crate::run::Evaluation;
use crate::statistics::{mean, sample_std};

/// Rows of cells under column titles. A title that starts with `>` is of a column of numbers.
pub(super) struct Table {
    pub(super) titles: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Title and whether it is a column of numbers, of each column.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.titles.iter().map(|title| {
            title
                .strip_prefix('>')
                .map_or((*title, false), |title| (title, true))
        })
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let titles = self.columns().map(|(title, _)| title.to_owned()).collect();
        let rule = |numeric| if numeric { "---:" } else { "---" };
        let rules = self.columns().map(|(_, n)| rule(n).to_owned()).collect();
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let rows = self.rows.iter();
        let rows = rows.map(|row| line(row.iter().map(escape).collect()));
        line(titles) + &line(rules) + &rows.collect::<String>()
    }
}

/// One line for each run and target; and where several runs differ in the seed alone, one for
/// each experiment and target over them.
pub fn table(runs: &[RunReport]) -> String {
    let mut text = run_table(runs).markdown();
    let seeds = seed_table(runs);
    if !seeds.rows.is_empty() {
        text += "\n";
        text += OVER_SEEDS;
        text += "\n\n";
        text += &seeds.markdown();
    }
    text
}

/// What stands above the second table.
pub(super) const OVER_SEEDS: &str =
    "Over seeds: mean ± standard deviation (n − 1) of the last mean returns.";

pub(super) fn run_table(runs: &[RunReport]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        let mut targets = run.targets();
        if targets.is_empty() {
            // A run that has not been evaluated still has its line.
            targets.push(None);
        }
        rows.extend(targets.into_iter().map(|target| run_row(run, target)));
    }
    Table {
        titles: &[
            "run", "env", "dataset", "recipe", ">seed", ">steps", ">target", ">return", ">best",
            ">score", ">ms/step",
        ],
        rows,
    }
}

fn run_row(run: &RunReport, target: Option<f64>) -> Vec<String> {
    let last = run.of_target(target).last();
    let best = run
        .of_target(target)
        .map(|evaluation| evaluation.return_mean)
        .reduce(f64::max);
    let steps = if run.steps < run.planned_steps {
        format!("{} of {}", run.steps, run.planned_steps)
    } else {
        run.steps.to_string()
    };
    vec![
        run.name.clone(),
        run.env.clone(),
        run.dataset.clone(),
        run.recipe.clone(),
        run.seed.to_string(),
        steps,
        optional(target, |target| target.to_string()),
        optional(last, |e| spread(e.return_mean, Some(e.return_std))),
        optional(best, |best| spread(best, None)),
        optional(last.and_then(|e| e.score), |score| format!("{score:.1}")),
        optional(run.ms_per_step, |ms| format!("{ms:.2}")),
    ]
}

/// Empty where no experiment has several runs.
pub(super) fn seed_table(runs: &[RunReport]) -> Table {
    let mut rows = Vec::new();
    for group in groups(runs) {
        if group.runs.len() > 1 {
            let targets = group.targets();
            rows.extend(targets.into_iter().map(|target| seed_row(&group, target)));
        }
    }
    Table {
        titles: &[
            "env", "dataset", "recipe", "runs", ">seeds", ">target", ">return", ">score",
        ],
        rows,
    }
}

fn seed_row(group: &Group<'_>, target: Option<f64>) -> Vec<String> {
    let run = group.first();
    let last: Vec<&Evaluation> = group
        .runs
        .iter()
        .filter_map(|run| run.of_target(target).last())
        .collect();
    let returns: Vec<f64> = last.iter().map(|e| e.return_mean).collect();
    let scores: Vec<f64> = last.iter().filter_map(|e| e.score).collect();
    let over = |values: &[f64], show: fn(f64, Option<f64>) -> String| {
        let known = (!values.is_empty()).then(|| (mean(values), sample_std(values)));
        optional(known, |(mean, std)| show(mean, std))
    };
    let names: Vec<&str> = group.runs.iter().map(|run| run.name.as_str()).collect();
    vec![
        run.env.clone(),
        run.dataset.clone(),
        run.recipe.clone(),
        names.join(", "),
        returns.len().to_string(),
        optional(target, |target| target.to_string()),
        over(&returns, spread),
        over(&scores, |mean, std| match std {
            Some(std) => format!("{mean:.1} ± {std:.1}"),
            None => format!("{mean:.1}"),
        }),
    ]
}

fn optional<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_show_every_run_and_the_spread_over_seeds() {
        let expected = "\
| run | env | dataset | recipe | seed | steps | target | return | best | score | ms/step |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| a\\|1 | CartPole-v1 | builtin/cartpole/mixed | corl | 0 | 40 | 500 | 90.0 ± 2.0 | 100.0 | – | 4.25 |
| a2 | CartPole-v1 | builtin/cartpole/mixed | corl | 1 | 40 | 500 | 100.0 ± 2.0 | 110.0 | – | 4.25 |
| b | CartPole-v1 | builtin/cartpole/mixed | official | 2 | 30 of 40 | 500 | 110.0 ± 2.0 | 120.0 | – | – |

Over seeds: mean ± standard deviation (n − 1) of the last mean returns.

| env | dataset | recipe | runs | seeds | target | return | score |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: |
| CartPole-v1 | builtin/cartpole/mixed | corl | a\\|1, a2 | 2 | 500 | 95.0 ± 7.1 | – |
";
        assert_eq!(table(&super::super::tests::runs()), expected);
    }

    #[test]
    fn a_run_without_an_evaluation_has_a_line() {
        let mut runs = super::super::tests::runs();
        runs[0].evaluations.clear();
        assert_eq!(run_table(&runs[..1]).rows[0][7], "–");
        assert_eq!(run_table(&[]).rows.len(), 0);
    }
}
