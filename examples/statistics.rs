//! Our statistics of given scores, for `tests/statistics_check.py`.
//!
//! Reads a JSON list of cases from stdin and writes a list of answers to stdout. A case has score
//! matrices `x` and `y` (a row for each run, a column for each task), `thresholds` of a profile,
//! and the resamples to use instead of drawn ones: for each repetition the run indices in the shape
//! of the matrix (`x_runs`, `y_runs`) and the task indices (`x_tasks`).
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::io::{Error, Read as _, stdin};

use rtg::statistics::{
    Bootstrap, Indices, Interval, Scores, iqm, mean_over_tasks, median_over_tasks, optimality_gap,
    probability_of_improvement, profile,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Case {
    x: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
    thresholds: Vec<f64>,
    x_runs: Vec<Vec<Vec<usize>>>,
    y_runs: Vec<Vec<Vec<usize>>>,
    x_tasks: Vec<Vec<usize>>,
}

#[derive(Serialize)]
struct Answer {
    /// IQM, mean, median, optimality gap of x.
    aggregates: Vec<f64>,
    /// Their intervals, with runs drawn, and with runs and tasks drawn.
    aggregate_intervals: Vec<Interval>,
    task_intervals: Vec<Interval>,
    probability: f64,
    probability_interval: Interval,
    profile: Vec<f64>,
    profile_intervals: Vec<Interval>,
}

fn main() -> Result<(), Error> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let cases: Vec<Case> = serde_json::from_str(&text)?;
    let answers: Option<Vec<Answer>> = cases.iter().map(answer).collect();
    let answers = answers.ok_or_else(|| Error::other("a case has no matrix of scores"))?;
    println!("{}", serde_json::to_string(&answers)?);
    Ok(())
}

fn answer(case: &Case) -> Option<Answer> {
    let (x, y) = (Scores::from_rows(&case.x)?, Scores::from_rows(&case.y)?);
    let profile = |scores: &Scores| profile(scores, &case.thresholds);
    let every_task: Vec<usize> = (0..x.tasks().len()).collect();
    let of_x = |runs: &[Vec<usize>], tasks: &[usize]| indices(runs, tasks);
    let stratified: Vec<Indices> = case
        .x_runs
        .iter()
        .map(|runs| of_x(runs, &every_task))
        .collect();
    let with_tasks = case.x_runs.iter().zip(&case.x_tasks);
    let with_tasks: Vec<Indices> = with_tasks.map(|(runs, tasks)| of_x(runs, tasks)).collect();
    let of_y: Vec<Indices> = case
        .y_runs
        .iter()
        .map(|runs| of_x(runs, &every_task))
        .collect();
    Some(Answer {
        aggregates: aggregates(&x),
        aggregate_intervals: intervals(&x, &stratified, aggregates),
        task_intervals: intervals(&x, &with_tasks, aggregates),
        probability: probability_of_improvement(&x, &y)?,
        probability_interval: comparison_interval((&x, &stratified), (&y, &of_y)),
        profile: profile(&x),
        profile_intervals: intervals(&x, &stratified, profile),
    })
}

fn aggregates(scores: &Scores) -> Vec<f64> {
    let gap = optimality_gap(scores, 1.0);
    vec![
        iqm(scores),
        mean_over_tasks(scores),
        median_over_tasks(scores),
        gap,
    ]
}

fn intervals(
    scores: &Scores,
    resamples: &[Indices],
    statistics: impl Fn(&Scores) -> Vec<f64>,
) -> Vec<Interval> {
    let repetitions = resamples.len();
    let mut given = resamples.iter().cycle();
    Bootstrap {
        repetitions,
        ..Bootstrap::default()
    }
    .over(|resample| {
        if let Some(indices) = given.next() {
            scores.resample(indices, resample);
        }
        statistics(resample)
    })
}

fn comparison_interval(x: (&Scores, &[Indices]), y: (&Scores, &[Indices])) -> Interval {
    let repetitions = x.1.len();
    let mut given = x.1.iter().zip(y.1).cycle();
    let mut of_y = y.0.clone();
    Bootstrap {
        repetitions,
        ..Bootstrap::default()
    }
    .over(|of_x| {
        if let Some((for_x, for_y)) = given.next() {
            x.0.resample(for_x, of_x);
            y.0.resample(for_y, &mut of_y);
        }
        vec![probability_of_improvement(of_x, &of_y).unwrap_or(f64::NAN)]
    })[0]
}

/// One repetition's run indices, from a matrix with a row for each run.
fn indices(runs: &[Vec<usize>], tasks: &[usize]) -> Indices {
    let column = |t: usize| runs.iter().map(|row| row[t]).collect();
    Indices {
        tasks: tasks.to_vec(),
        runs: (0..tasks.len()).map(column).collect(),
    }
}
