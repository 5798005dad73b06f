//! Policies leave in other programs' formats. `tests/export_check.py` computes with what is written
//! here, by onnxruntime and transformers.

use std::fs;

use serde_json::Value;

use crate::workbench::{TINY, Workbench};

const OFFICIAL: &str = "--dataset builtin/pendulum/random --recipe official";

/// A run called `run`, exported as the folder `policy`.
fn exported(options: &str) -> Workbench {
    let bench = Workbench::new();
    bench.succeed(&format!("train {options} --steps 2 {TINY} --run-dir run"));
    bench.succeed("export run --hugging-face policy");
    bench
}

#[test]
fn a_run_starts_from_the_folder_that_another_left() {
    for options in [OFFICIAL, "--dataset builtin/cartpole/random --recipe corl"] {
        let bench = exported(options);
        bench.succeed(&format!(
            "train {options} --steps 0 {TINY} --set initial_weights=policy --run-dir second"
        ));
        bench.succeed("export second --hugging-face again");
        let weights = |folder| fs::read(bench.path(folder).join("model.safetensors")).unwrap();
        assert!(weights("policy") == weights("again"), "{options}");
    }
}

#[test]
fn the_weights_of_the_class_come_back_to_the_bit() {
    let options = "--dataset builtin/pendulum/random --recipe huggingface";
    let bench = exported(options);
    let next = format!("train {options} --steps 0 {TINY} --set initial_weights=policy");
    bench.succeed(&format!("{next} --run-dir second"));
    let weights = |path: &str| fs::read(bench.path(path)).unwrap();
    assert!(
        weights("run/checkpoints/weights.safetensors")
            == weights("second/checkpoints/weights.safetensors")
    );
    // The table of positions has as many rows as the plan says; the first is the one that counts.
    bench.succeed(&format!(
        "{next} --set decision_transformer.positions=1 --run-dir third"
    ));
    let returns = |run: &str| {
        let found = bench.succeed(&format!("evaluate {run} --episodes 2 --json"));
        serde_json::from_str::<Value>(&found).unwrap()["targets"].clone()
    };
    assert_eq!(returns("third"), returns("run"));
    let transcript = bench.transcript(
        &format!("train {options} --recipe d3rlpy {TINY} --run-dir fourth").replace(
            "--recipe huggingface",
            "--set decision_transformer.norm_epsilon=1e-5 --set initial_weights=policy",
        ),
    );
    let expected = "the recipe d3rlpy counts time steps from 1";
    assert!(transcript.contains(expected), "{transcript}");
}

#[test]
fn a_configuration_that_differs_from_the_plan_is_refused_with_the_key_that_decides() {
    let bench = exported(OFFICIAL);
    let path = "policy/config.json";
    let stored = fs::read_to_string(bench.path(path)).unwrap();
    let start =
        format!("train {OFFICIAL} --steps 0 {TINY} --set initial_weights=policy --run-dir next");
    for (key, value, said) in [
        ("n_head", Value::from(2), "'n_head' is 2, the plan needs 1"),
        (
            "activation_function",
            Value::from("gelu"),
            "'activation_function' is \"gelu\"",
        ),
        (
            "add_cross_attention",
            Value::from(true),
            "'add_cross_attention' is true",
        ),
        ("n_inner", Value::from(17), "'n_inner' is 17"),
        (
            "layer_norm_epsilon",
            Value::from(3e-3),
            "'layer_norm_epsilon' is 0.003",
        ),
        ("model_type", Value::from("gpt2"), "its model_type is gpt2"),
        ("state_dim", Value::Null, "'state_dim' is null"),
    ] {
        let mut config: Value = serde_json::from_str(&stored).unwrap();
        config[key] = value;
        bench.write(path, config.to_string().as_bytes());
        let transcript = bench.transcript(&start);
        assert!(transcript.starts_with("exit code 1\n"), "{transcript}");
        assert!(
            transcript.contains(said) && transcript.contains("hint: "),
            "{transcript}"
        );
    }
    bench.write(path, &stored.as_bytes()[..stored.len() / 2]);
    assert!(bench.transcript(&start).contains("not the configuration"));
    bench.write(path, stored.as_bytes());
    let weights = bench.path("policy/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 8]).unwrap();
    assert!(
        bench
            .transcript(&start)
            .contains("not a readable safetensors file")
    );
    fs::remove_file(&weights).unwrap();
    assert!(bench.transcript(&start).contains("cannot read"));
}

#[test]
fn data_that_a_format_cannot_represent_are_refused_and_nothing_is_written() {
    let bench = Workbench::new();
    bench.succeed(
        "train --algorithm bc --steps 1 --set evaluation.final_episodes=1 --run-dir clone",
    );
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/random --recipe corl --steps 1 {TINY} --run-dir wide"
    ));
    for (run, said) in [
        (
            "clone",
            "DecisionTransformerModel is only for Decision Transformers",
        ),
        ("wide", "its actions reach 2 in the network"),
    ] {
        let transcript = bench.transcript(&format!("export {run} --hugging-face new"));
        assert!(transcript.starts_with("exit code 1\n"), "{transcript}");
        assert!(
            transcript.contains(said) && transcript.contains("hint: "),
            "{transcript}"
        );
        assert!(!bench.path("new").exists());
    }
    bench.write("full/file", b"mine");
    bench.succeed(&format!("train {OFFICIAL} --steps 1 {TINY} --run-dir fits"));
    let transcript = bench.transcript("export fits --hugging-face full");
    assert!(
        transcript.contains("the folder is not empty"),
        "{transcript}"
    );
    let transcript = bench
        .transcript("train --algorithm bc --steps 1 --set initial_weights=full --run-dir other");
    assert!(transcript.contains("cannot read"), "{transcript}");
}

#[test]
fn json_lists_the_graphs_inputs_and_outputs() {
    let bench = Workbench::new();
    bench.succeed("train --algorithm bc --steps 1 --set evaluation.final_episodes=1 --run-dir run");
    let nowhere = bench.transcript("export run");
    assert!(
        nowhere.starts_with("exit code 2\n") && nowhere.contains("--onnx"),
        "{nowhere}"
    );
    let answer = bench.succeed("export run --onnx policy.onnx --json");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        answer["onnx"]["inputs"],
        serde_json::json!(["states [batch, 4]"])
    );
    assert_eq!(
        answer["onnx"]["outputs"],
        serde_json::json!(["action_preds [batch, 2]", "greedy_actions [batch]"])
    );
    assert!(bench.path("policy.onnx").metadata().unwrap().len() > 1000);
}
