//! Options of training have their documented effect.

use std::fs;

use serde_json::Value;

use crate::workbench::{TINY, Workbench, repository};

/// The training losses of a run, step by step.
fn losses(bench: &Workbench, run: &str) -> Vec<f64> {
    let text = fs::read_to_string(bench.path(run).join("metrics.jsonl")).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["train/loss"].as_f64())
        .collect()
}

#[test]
fn the_composed_engine_trains_along_the_same_losses_dropout_included() {
    let bench = Workbench::new();
    for (recipe, data) in [
        ("official", "builtin/pendulum/mixed"),
        ("corl", "builtin/cartpole/mixed"),
    ] {
        for engine in ["fused", "composed"] {
            bench.succeed(&format!(
                "train --dataset {data} --recipe {recipe} --steps 12 {TINY} --set \
                    decision_transformer.engine={engine} \
                 --set logging.every=1 --run-dir {recipe}-{engine}"
            ));
        }
        let (fused, composed) = (
            losses(&bench, &format!("{recipe}-fused")),
            losses(&bench, &format!("{recipe}-composed")),
        );
        assert_eq!(fused.len(), 12);
        for (step, (fused, composed)) in fused.iter().zip(&composed).enumerate() {
            assert!(
                (fused / composed - 1.0).abs() < 1e-4,
                "{recipe}, step {step}: {fused} {composed}"
            );
        }
    }
}

#[test]
fn accumulated_batches_are_averaged() {
    let bench = Workbench::new();
    let run = |name: &str, batch: usize, accumulation: usize| {
        // The sampler draws the same windows, in one batch or in four.
        bench.succeed(&format!(
            "train --dataset builtin/pendulum/mixed --steps 10 {TINY} --set \
                optimiser.batch_size={batch} \
             --set optimiser.accumulation={accumulation} \
             --set decision_transformer.attention_dropout=0 \
             --set decision_transformer.residual_dropout=0 \
             --set decision_transformer.embedding_dropout=0 --set logging.every=1 \
             --run-dir {name}"
        ));
        losses(&bench, name)
    };
    for (one, four) in run("one", 32, 1).iter().zip(run("four", 8, 4)) {
        assert!((one / four - 1.0).abs() < 1e-4, "{one} {four}");
    }
}

#[test]
fn the_cosine_schedule_ends_near_zero() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --steps 20 {TINY} --set optimiser.schedule=cosine --set optimiser.warmup_steps=5 \
         --set logging.every=1 --run-dir run"
    ));
    let text = fs::read_to_string(bench.path("run/metrics.jsonl")).unwrap();
    let rates: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["train/learning_rate"].as_f64()
        })
        .collect();
    let peak = rates.iter().copied().fold(0.0, f64::max);
    assert!(
        (peak - 1e-4).abs() < 1e-9 && (rates[0] - 2e-5).abs() < 1e-9,
        "{rates:?}"
    );
    assert!(rates[19] < 0.05 * peak, "{rates:?}");
}

#[test]
fn a_dataset_of_an_unknown_environment_trains_without_evaluation() {
    let bench = Workbench::new();
    let fixture = repository("datasets/fixtures/minari/tiny/cartpole-v0/data");
    let metadata = fs::read_to_string(fixture.join("metadata.json")).unwrap();
    assert!(metadata.contains("CartPole-v1"));
    bench.write(
        "mystery/data/metadata.json",
        metadata.replace("CartPole-v1", "Mystery-v3").as_bytes(),
    );
    bench.write(
        "mystery/data/main_data.hdf5",
        &fs::read(fixture.join("main_data.hdf5")).unwrap(),
    );
    let train = format!("train --dataset mystery --steps 10 {TINY} --run-dir run");
    bench.succeed(&train);
    bench.succeed(&format!("{train} --resume"));
    let summary: Value =
        serde_json::from_slice(&fs::read(bench.path("run/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["evaluations"], Value::Array(vec![]));
    assert_eq!(losses(&bench, "run").len(), 1);
    // The same data in the environment that they are from are evaluated.
    bench.succeed(&format!(
        "train --dataset mystery --env CartPole-v1 --steps 10 {TINY} --run-dir other"
    ));
    let transcript = bench.transcript("train --dataset mystery --env Nowhere-v1");
    assert!(
        transcript.contains("error: unknown environment 'Nowhere-v1'"),
        "{transcript}"
    );
}

#[test]
fn bfloat16_products_train_along_nearly_the_same_losses_or_are_refused() {
    let bench = Workbench::new();
    let train = |precision: &str| {
        format!(
            "train --dataset builtin/pendulum/mixed --steps 12 {TINY} --set logging.every=1 \
             --set decision_transformer.precision={precision} --run-dir {precision}"
        )
    };
    if !rtg::kernels::Precision::Bf16.is_available() {
        let transcript = bench.transcript(&train("bf16"));
        assert!(
            transcript.contains("error: 'decision_transformer.precision' is bf16"),
            "{transcript}"
        );
        return;
    }
    bench.succeed(&train("f32"));
    bench.succeed(&train("bf16"));
    let (exact, rounded) = (losses(&bench, "f32"), losses(&bench, "bf16"));
    assert_ne!(exact, rounded, "the option is ignored");
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert!((exact / rounded - 1.0).abs() < 0.01, "{exact} {rounded}");
    }
}

#[test]
fn a_mixture_from_a_file_draws_its_parts_by_weight_and_resumes() {
    let bench = Workbench::new();
    bench.write(
        "mixed.toml",
        b"dataset = \"builtin/pendulum/random\"\nsteps = 6\n\
          [[mix]]\ndataset = \"builtin/pendulum/expert\"\nweight = 1000\n",
    );
    let train = |rest: &str| {
        bench.succeed(&format!(
            "train mixed.toml {TINY} --set logging.every=1 {rest}"
        ))
    };
    train("--run-dir mixed");
    let plan = fs::read_to_string(bench.path("mixed/experiment.toml")).unwrap();
    assert!(plan.contains("[[mix]]"), "{plan}");
    // At this weight hardly a window is random: the losses are those of neither part's own run.
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/random --steps 6 {TINY} --set logging.every=1 --run-dir \
            random"
    ));
    assert_ne!(losses(&bench, "mixed"), losses(&bench, "random"));
    bench.succeed("train --resume --run-dir mixed --steps 9");
    assert_eq!(losses(&bench, "mixed").len(), 9);
}

#[test]
fn doubtful_data_are_reported_before_training() {
    let bench = Workbench::new();
    let row = |step: usize| format!("{step},0.5,{},1,{step}\n", step % 2);
    let header = "obs_0,obs_1,action,reward,mood\n".to_owned();
    let text = header + &(0..40).map(row).collect::<String>();
    bench.write("data.csv", text.as_bytes());
    let train = "train --dataset data.csv --env none --steps 1 --run-dir run";
    let output = bench.run(&format!("{train} {TINY}"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("warning: 1 no-ends: "), "{told}");
    assert!(told.contains("mood"), "{told}");
}
