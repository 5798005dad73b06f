//! Evaluation through the command line: the JSON that scripts depend on, and the same numbers for
//! any number of rows.

use std::fs;

use serde_json::Value;

use crate::workbench::{TINY, Workbench};

#[test]
fn the_number_of_rows_does_not_change_a_single_return() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/mixed --steps 30 {TINY} --run-dir run"
    ));
    let evaluate = |rows: usize| {
        let text = bench.succeed(&format!(
            "evaluate run --targets=-200,-900.5 --episodes 5 --rows {rows} --json"
        ));
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["seconds"] = Value::Null;
        answer
    };
    let one = evaluate(1);
    for rows in [3, 10, 64] {
        assert_eq!(one, evaluate(rows), "{rows} rows");
    }
    assert_eq!(one["env"], "Pendulum-v1");
    assert_eq!(one["episodes"], 5);
    assert_eq!(one["env_steps"], 2 * 5 * 200);
    assert_eq!(one["targets"][1]["target"], -900.5);
    let returns: Vec<f64> = one["targets"][0]["returns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_f64().unwrap())
        .collect();
    assert_eq!(returns.len(), 5);
    let mean = returns.iter().sum::<f64>() / 5.0;
    assert!((one["targets"][0]["return_mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert_eq!(one["targets"][0]["length_mean"], 200.0);
    assert!(one["targets"][0]["score"].is_number());
    assert!(one["targets"][0]["return_std"].is_number());
}

#[test]
fn the_target_decides_what_a_trained_policy_reaches() {
    let bench = Workbench::new();
    bench.succeed(
        "train --steps 300 --threads 2 --set decision_transformer.width=32 --set \
            decision_transformer.layers=2 \
         --set optimiser.learning_rate=1e-3 --set evaluation.final_episodes=20 --run-dir run",
    );
    let text = bench.succeed("evaluate run --targets 500,30 --episodes 20 --json");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let mean = |index: usize| answer["targets"][index]["return_mean"].as_f64().unwrap();
    assert!(mean(0) > 350.0, "target 500, got {}", mean(0));
    assert!(mean(1) < 0.75 * mean(0), "target 30, got {}", mean(1));
}

#[test]
fn a_target_sweep_is_calibrated_in_every_file_of_the_run() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --steps 6 {TINY} --set evaluation.targets=quantile:0.5,sweep:3 --run-dir run"
    ));
    let plan = fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: toml::Table = plan.parse().unwrap();
    let floats = |key: &str| -> Vec<f64> {
        let values = plan["evaluation"][key].as_array().unwrap().iter();
        values.map(|value| value.as_float().unwrap()).collect()
    };
    let (targets, range) = (floats("targets"), floats("return_range"));
    assert_eq!(targets.len(), 4, "{targets:?}");
    assert_eq!((targets[1], targets[3]), (range[1], range[0]));
    assert!(range[0] < targets[0] && targets[0] < range[1]);

    let summary = fs::read(bench.path("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let calibration = &summary["calibration"];
    assert_eq!(calibration["targets"], 4);
    assert_eq!(calibration["range"]["high"], range[1]);
    let last = &summary["evaluations"].as_array().unwrap()[..];
    let last = &last[last.len() - 4..];
    let distances = last.iter().map(|evaluation| {
        let number = |key: &str| evaluation[key].as_f64().unwrap();
        (number("return_mean") - number("target")).abs() / (range[1] - range[0])
    });
    let error = distances.sum::<f64>() / 4.0;
    assert!((calibration["error"].as_f64().unwrap() - error).abs() < 1e-12);
    let metrics = fs::read_to_string(bench.path("run/metrics.jsonl")).unwrap();
    for metric in ["error", "slope", "intercept", "within_tenth"] {
        assert!(
            metrics.contains(&format!("eval/calibration_{metric}")),
            "{metric}"
        );
    }
    let report = bench.succeed("report run");
    assert!(report.contains("Calibration: over the targets"), "{report}");

    // Resumed under the same words, it is the same plan.
    bench.succeed(
        "train --run-dir run --resume --steps 8 --set evaluation.targets=quantile:0.5,sweep:3",
    );
}

#[test]
fn evaluate_accepts_a_sweep_and_ignores_targets_outside_the_range() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 6 {TINY} --run-dir run"));
    let evaluate = |targets: &str| -> Value {
        let text = bench.succeed(&format!("evaluate run {targets} --episodes 4 --json"));
        serde_json::from_str(&text).unwrap()
    };
    let sweep = evaluate("--targets sweep");
    assert_eq!(sweep["targets"].as_array().unwrap().len(), 7);
    assert_eq!(sweep["calibration"]["targets"], 7);
    let more = evaluate("--targets sweep,100000");
    assert_eq!(more["targets"].as_array().unwrap().len(), 8);
    assert_eq!(more["calibration"], sweep["calibration"]);
    assert!(more["targets"][7]["return_interval"]["low"].is_number());
    assert_eq!(evaluate("--targets 100000")["calibration"], Value::Null);
    assert_eq!(
        evaluate("--targets quantile:0.5")["targets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let text = bench.succeed("evaluate run --targets sweep --episodes 2");
    assert!(text.contains("calibration error "), "{text}");
}
