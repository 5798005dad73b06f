//! The loss on held-out episodes is reported where it must be, and is correct.

use std::fs;

use serde_json::Value;

use crate::workbench::{TINY, Workbench};

/// All values of a metric, with their steps.
fn values(bench: &Workbench, run: &str, metric: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(bench.path(run).join("metrics.jsonl")).unwrap();
    let value = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Some((line["step"].as_u64().unwrap(), line[metric].as_f64()?))
    };
    text.lines().filter_map(value).collect()
}

#[test]
fn it_comes_at_every_evaluation_and_at_the_end_from_either_engine() {
    let bench = Workbench::new();
    let run = |name: &str, more: &str| {
        bench.succeed(&format!(
            "train --dataset builtin/cartpole/mixed --steps 10 {TINY} --set evaluation.every=4 \
             --set selection.validation_fraction=0.2 {more} --run-dir {name}"
        ));
        values(&bench, name, "validation/loss")
    };
    let fused = run("fused", "--set decision_transformer.engine=fused");
    let composed = run("composed", "--set decision_transformer.engine=composed");
    let steps: Vec<u64> = fused.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [4, 8, 10]);
    for ((_, fused), (_, composed)) in fused.iter().zip(&composed) {
        assert!((fused / composed - 1.0).abs() < 1e-4, "{fused} {composed}");
    }
    bench.succeed(
        "train --dataset builtin/cartpole/mixed --algorithm bc --set bc.width=16 --steps 10 \
         --set evaluation.every=4 --set selection.validation_fraction=0.2 --run-dir clone",
    );
    assert_eq!(values(&bench, "clone", "validation/loss").len(), 3);
}

#[test]
fn it_is_over_the_same_windows_each_time_and_drops_nothing() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/mixed --steps 8 {TINY} --set evaluation.every=2 \
         --set selection.validation_fraction=0.2 --set decision_transformer.residual_dropout=0.5 \
         --set optimiser.learning_rate=1e-30 --set logging.every=1 --run-dir still"
    ));
    let losses = values(&bench, "still", "validation/loss");
    assert_eq!(losses.len(), 4);
    assert!(
        losses
            .iter()
            .all(|(_, loss)| loss.to_bits() == losses[0].1.to_bits()),
        "{losses:?}"
    );
    let trained = values(&bench, "still", "train/loss");
    assert!(
        trained
            .windows(2)
            .all(|pair| (pair[0].1 - pair[1].1).abs() > 1e-9)
    );
}

#[test]
fn it_is_larger_than_the_loss_on_memorised_data() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/mixed --steps 600 {TINY} --set \
            selection.validation_fraction=0.97 \
         --set decision_transformer.width=64 --set optimiser.learning_rate=0.003 \
         --set optimiser.batch_size=32 \
         --set decision_transformer.attention_dropout=0 \
         --set decision_transformer.residual_dropout=0 \
         --set decision_transformer.embedding_dropout=0 \
         --set logging.every=100 --run-dir heart"
    ));
    let (_, trained) = *values(&bench, "heart", "train/loss").last().unwrap();
    let (_, held_back) = *values(&bench, "heart", "validation/loss").last().unwrap();
    assert!(held_back > 1.2 * trained, "{held_back} {trained}");
}

#[test]
fn without_held_back_episodes_there_is_none() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 10 {TINY} --run-dir none"));
    assert!(values(&bench, "none", "validation/loss").is_empty());
}
