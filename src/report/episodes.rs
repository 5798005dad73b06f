//! Data files for pandas and R, with a row for every evaluation episode.
//!
//! Returns of single episodes are part of a run's result, so a run in progress has no rows yet.

use std::fmt::Write as _;

use rtg_datasets::columns::{self, Column};

use super::{Comparison, RunReport, escape};

/// The columns, in their order. `step`, `updates`, `environment_steps` and `seconds` are those of
/// the training before the evaluation; `last` marks a run's last evaluation.
const TITLES: [&str; 17] = [
    "run",
    "task",
    "method",
    "algorithm",
    "recipe",
    "env",
    "dataset",
    "seed",
    "step",
    "updates",
    "environment_steps",
    "seconds",
    "last",
    "target",
    "episode",
    "return",
    "score",
];

/// One episode.
struct Row<'a> {
    run: &'a RunReport,
    task: String,
    method: &'a str,
    step: u64,
    last: bool,
    target: Option<f64>,
    episode: usize,
    episode_return: f64,
    score: Option<f64>,
}

/// The rows as CSV with a header. Missing values are empty fields.
pub fn episodes_csv(runs: &[RunReport]) -> String {
    let comparison = Comparison::of(runs);
    let mut text = TITLES.join(",") + "\n";
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in rows(&comparison) {
        let run = row.run;
        let names = [
            &*run.name,
            &row.task,
            row.method,
            &run.algorithm,
            &run.recipe,
            &run.env,
            &run.dataset,
        ];
        for name in names {
            text += &escape::csv(name);
            text.push(',');
        }
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            run.seed,
            row.step,
            number(run.updates_at(row.step)),
            number(run.environment_steps_at(row.step)),
            number(run.seconds_at(row.step)),
            row.last,
            number(row.target),
            row.episode,
            row.episode_return,
            number(row.score)
        );
    }
    text
}

/// The rows as the bytes of a Parquet file.
///
/// # Errors
/// An error of the Parquet library.
pub fn episodes_parquet(runs: &[RunReport]) -> Result<Vec<u8>, rtg_datasets::Error> {
    let comparison = Comparison::of(runs);
    let rows = rows(&comparison);
    let text = |value: for<'r> fn(&'r Row<'_>) -> &'r str| {
        Column::Text(rows.iter().map(|row| value(row).to_owned()).collect())
    };
    let number =
        |value: fn(&Row<'_>) -> Option<f64>| Column::Number(rows.iter().map(value).collect());
    let integer = |value: fn(&Row<'_>) -> i64| Column::Integer(rows.iter().map(value).collect());
    let values = [
        text(|row| &row.run.name),
        text(|row| &row.task),
        text(|row| row.method),
        text(|row| &row.run.algorithm),
        text(|row| &row.run.recipe),
        text(|row| &row.run.env),
        text(|row| &row.run.dataset),
        integer(|row| row.run.seed),
        integer(|row| row.step.cast_signed()),
        number(|row| row.run.updates_at(row.step)),
        number(|row| row.run.environment_steps_at(row.step)),
        number(|row| row.run.seconds_at(row.step)),
        Column::Flag(rows.iter().map(|row| row.last).collect()),
        number(|row| row.target),
        integer(|row| row.episode as i64),
        number(|row| Some(row.episode_return)),
        number(|row| row.score),
    ];
    let named: Vec<(&str, Column)> = TITLES.into_iter().zip(values).collect();
    columns::parquet(named)
}

fn rows<'a>(comparison: &'a Comparison<'a>) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for group in &comparison.groups {
        for run in &group.runs {
            let last = run
                .evaluations
                .iter()
                .map(|evaluation| evaluation.step)
                .max();
            let reference = rtg_envs::registry::spec(&run.env)
                .ok()
                .and_then(|spec| spec.reference_returns);
            for evaluation in &run.evaluations {
                let episodes = evaluation.returns.iter().enumerate();
                rows.extend(episodes.map(|(episode, &episode_return)| {
                    Row {
                        run,
                        task: comparison.task_name(group.task),
                        method: comparison.label(group),
                        step: evaluation.step,
                        last: Some(evaluation.step) == last,
                        target: evaluation.target,
                        episode,
                        episode_return,
                        score: reference
                            .as_ref()
                            .map(|reference| reference.score(episode_return)),
                    }
                }));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::tests::runs;
    use super::*;

    #[test]
    fn every_episode_is_a_row() {
        let mut runs = runs();
        runs[0].name = "a,b".into();
        let text = episodes_csv(&runs);
        let lines: Vec<&str> = text.lines().collect();
        // Two finished runs with three evaluations of two episodes each.
        assert_eq!(lines.len(), 13);
        assert_eq!(lines[0], TITLES.join(","));
        assert!(lines[1].starts_with("\"a,b\",builtin/cartpole/mixed,corl,decision_transformer,"));
        assert!(
            lines[1].contains(",0,10,10,,0.04,false,500,0,88,"),
            "{}",
            lines[1]
        );
        assert!(
            lines[6].contains(",0,30,30,,0.12,true,500,1,92,"),
            "{}",
            lines[6]
        );
    }

    #[test]
    fn runs_without_episodes_make_a_parquet_file_too() {
        let bytes = episodes_parquet(&runs()).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        assert!(episodes_parquet(&[]).unwrap().ends_with(b"PAR1"));
    }
}
