//! Evaluation through the front door: the JSON that scripts depend on, and the same numbers for any
//! number of rows.

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
        "train --steps 300 --threads 2 --set decision_transformer.width=32 --set decision_transformer.layers=2 \
         --set optimiser.learning_rate=1e-3 --set evaluation.final_episodes=20 --run-dir run",
    );
    let text = bench.succeed("evaluate run --targets 500,30 --episodes 20 --json");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let mean = |index: usize| answer["targets"][index]["return_mean"].as_f64().unwrap();
    assert!(mean(0) > 350.0, "asked for 500, got {}", mean(0));
    assert!(mean(1) < 0.75 * mean(0), "asked for 30, got {}", mean(1));
}
