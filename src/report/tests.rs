//! Runs on disk for the tests of this module, and the tests of reading them.

use std::path::Path;

use super::*;
use crate::metrics::{Recorder, SPEED_CPU_SECONDS, SPEED_MS_PER_STEP, TRAIN_LOSS};
use crate::run::{Evaluation, Run, Summary};

fn evaluation(step: u64, return_mean: f64) -> Evaluation {
    Evaluation {
        step,
        target: Some(500.0),
        return_mean,
        return_std: 2.0,
        length_mean: 90.0,
        score: None,
        returns: vec![],
    }
}

/// A run on disk that was evaluated at steps 10, 20 and 30.
fn write(path: &Path, recipe: &str, seed: usize, ended: bool) {
    let experiment = format!(
        "dataset = \"builtin/cartpole/mixed\"\nenv = \"CartPole-v1\"\n\
         recipe = \"{recipe}\"\nseed = {seed}\nsteps = 40\n[optimiser]\nbatch = 64\n"
    );
    let run = Run::create(path, &experiment).unwrap();
    let mut recorder = Recorder::new(run.open_metrics(None).unwrap().sinks);
    let mut evaluations = Vec::new();
    for step in [10, 20, 30] {
        let loss = if step == 20 { f64::NAN } else { 0.5 };
        let scalars = [
            (TRAIN_LOSS, loss),
            (SPEED_MS_PER_STEP, 4.0),
            (SPEED_CPU_SECONDS, 0.025 * step as f64),
        ];
        recorder.scalars(step, &scalars).unwrap();
        let mut evaluation = evaluation(
            step,
            100.0 + 10.0 * seed as f64 - (step as f64 - 20.0).abs(),
        );
        recorder.scalars(step, &evaluation.scalars()).unwrap();
        evaluation.returns = vec![evaluation.return_mean - 2.0, evaluation.return_mean + 2.0];
        evaluations.push(evaluation);
    }
    recorder.flush().unwrap();
    if ended {
        run.write_summary(&Summary {
            steps: 40,
            train_seconds: 1.0,
            ms_per_step: 4.25,
            final_loss: 0.5,
            calibration: None,
            evaluations,
        })
        .unwrap();
    }
}

/// Three runs on disk: seeds 0 and 1 of one experiment, ended; another one in progress.
pub(super) fn runs() -> Vec<RunReport> {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a|1", "a2", "b"].map(|name| folder.path().join(name));
    for (seed, path) in paths.iter().enumerate() {
        write(
            path,
            if seed == 2 { "official" } else { "corl" },
            seed,
            seed < 2,
        );
    }
    read(&paths).unwrap()
}

/// Two methods with four seeds each; every run of `official` is better than all of `corl`.
pub(super) fn many_runs() -> Vec<RunReport> {
    let runs = runs();
    let mut many = Vec::new();
    for seed in 1..=4 {
        for (template, add) in [(0, 0.0), (2, 100.0)] {
            let mut run = runs[template].clone();
            run.seed = seed;
            for evaluation in &mut run.evaluations {
                evaluation.return_mean += seed as f64 + add;
            }
            many.push(run);
        }
    }
    many
}

#[test]
fn a_run_in_progress_is_read_like_one_that_has_ended() {
    let runs = runs();
    assert_eq!((runs[0].steps, runs[2].steps), (40, 30));
    assert_eq!(runs[2].cost.updates, Some(30.0));
    assert_eq!(
        (runs[0].cost.seconds, runs[2].cost.seconds),
        (Some(1.0), Some(0.12))
    );
    assert_eq!(
        (runs[0].ms_per_step, runs[2].ms_per_step),
        (Some(4.25), None)
    );
    assert_eq!((runs[0].ended, runs[2].ended), (true, false));
    let returns = |run: &RunReport| {
        let of_target = run.of_target(Some(500.0));
        of_target
            .map(|e| (e.step, e.return_mean))
            .collect::<Vec<_>>()
    };
    assert_eq!(returns(&runs[2]), [(10, 110.0), (20, 120.0), (30, 110.0)]);
    assert_eq!(returns(&runs[0])[1], (20, 100.0));
    assert_eq!(runs[2].metric(TRAIN_LOSS).len(), 3);
    assert_eq!(runs[2].algorithm, "decision_transformer");
    let seconds = [5, 10, 25].map(|step| runs[2].seconds_at(step));
    assert_eq!(seconds, [None, Some(0.04), Some(0.1)]);
}

#[test]
fn environment_steps_are_read_where_an_algorithm_counts_them() {
    let mut run = runs().remove(0);
    assert_eq!(run.environment_steps_at(10), None);
    run.metrics.insert(
        "train/environment_steps".into(),
        vec![(10, 1000.0), (20, 2000.0)],
    );
    let counts = [5, 10, 25].map(|step| run.environment_steps_at(step));
    assert_eq!(counts, [None, Some(1000.0), Some(2000.0)]);
    assert_eq!(run.updates_at(20), None);
    run.metrics
        .insert("train/updates".into(), vec![(20, 500.0)]);
    assert_eq!(run.updates_at(20), Some(500.0));
}

#[test]
fn a_folder_of_runs_stands_for_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = folder.path().join("sweep");
    let paths = [
        sweep.join("2"),
        sweep.join("deep/1"),
        folder.path().join("alone"),
    ];
    for (seed, path) in paths.iter().enumerate() {
        write(path, "corl", seed, false);
    }
    let found = find(&[paths[2].clone(), sweep]).unwrap();
    assert_eq!(
        found,
        [paths[2].clone(), paths[0].clone(), paths[1].clone()]
    );
    let empty = tempfile::tempdir().unwrap();
    let error = find(&[empty.path()]).unwrap_err();
    assert!(error.to_string().contains("not a run directory"), "{error}");
}

#[test]
fn a_hostile_run_directory_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(folder.path(), "").unwrap();
    let nested = format!("a = {}", "[".repeat(100_000));
    for text in ["seed = 1", "= 3", "env = 1\nseed = 1", &nested] {
        run.write_experiment(text).unwrap();
        let error = read(&[folder.path()]).unwrap_err();
        assert!(error.to_string().ends_with("experiment.toml"), "{error}");
    }
    let experiment = "dataset = \"d\"\nenv = \"e\"\nrecipe = \"r\"\nseed = 1\nsteps = -4\n";
    run.write_experiment(experiment).unwrap();
    assert_eq!(read(&[folder.path()]).unwrap()[0].planned_steps, 0);
    std::fs::write(run.metrics(), "{\"step\":1,\"wall_secs\":2}\nnonsense\n").unwrap();
    assert_eq!(read(&[folder.path()]).unwrap()[0].damaged_lines, 1);
}
