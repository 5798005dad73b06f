//! The switches of the Decision Transformer through the command line: recipes, resuming, refusals.

use std::time::Duration;

use rtg::keys::Table;
use safetensors::SafeTensors;

use crate::resume::kill_and_resume;
use crate::workbench::{TINY, Workbench};

#[test]
fn runs_of_each_recipe_resume_to_the_same_bits() {
    for recipe in [
        "convformer",
        "ddt",
        "reinformer",
        "elastic_dt",
        "decision_mamba",
        "online_dt",
        "huggingface",
        "d3rlpy",
    ] {
        let run = format!(
            "train --recipe {recipe} --steps 60 --seed 3 --set checkpoint_every=7 {TINY} \
             --dataset builtin/pendulum/mixed --set parts=2"
        );
        kill_and_resume(&Workbench::new(), &run, Duration::ZERO);
    }
}

#[test]
fn a_recipe_sets_its_switches_and_the_names_of_its_source() {
    let cases = [
        (
            "convformer",
            ("token", "convolution"),
            "transformer.h.0.conv.rtg_conv1d.weight",
        ),
        ("ddt", ("adaln", "attention"), "condition.weight"),
        (
            "reinformer",
            ("predicted", "attention"),
            "transformer.0.attention.q_net.weight",
        ),
        (
            "elastic_dt",
            ("predicted", "attention"),
            "predict_rtg2.weight",
        ),
        (
            "decision_mamba",
            ("token", "scan"),
            "transformer.h.0.mamba.A_log",
        ),
        ("huggingface", ("token", "attention"), "encoder.wpe.weight"),
        (
            "d3rlpy",
            ("token", "attention"),
            "_gpt2._transformer.0._attention._q.weight",
        ),
    ];
    for (recipe, (condition, mixer), weight) in cases {
        let bench = Workbench::new();
        bench.succeed(&format!(
            "train --recipe {recipe} --steps 3 {TINY} --run-dir run"
        ));
        let plan = std::fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
        let plan: Table = plan.parse().unwrap();
        let switches = &plan["decision_transformer"];
        assert_eq!(switches["condition"].as_str(), Some(condition));
        assert_eq!(switches["mixer"].as_str(), Some(mixer));
        let bytes = std::fs::read(bench.path("run/checkpoints/weights.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert!(file.tensor(weight).is_ok(), "{:?}", file.names());
        if condition != "predicted" {
            bench.succeed("evaluate run --targets 100 --episodes 2");
        }
    }
}

#[test]
fn a_switch_without_a_recipe_resumes_acts_and_is_exported_or_refused() {
    let lstm = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
    let post = ["attention.q_net.weight", "ln1.weight", "ln2.bias"];
    for (switch, block, names, refusals) in [
        (
            "mixer=lstm",
            "blocks.0.lstm",
            &lstm[..],
            [
                "mixer = \"attention\" is supported",
                "none of the mixers scan, linear and lstm",
            ],
        ),
        (
            "norm_placement=post",
            "transformer.0",
            &post,
            [
                "only norm_placement = \"pre\" is supported",
                "no norm_placement = \"post\"",
            ],
        ),
    ] {
        let switch = format!("--set decision_transformer.{switch}");
        let run = format!(
            "train {switch} --steps 60 --seed 3 --set checkpoint_every=7 {TINY} \
             --dataset builtin/pendulum/mixed --set parts=2"
        );
        kill_and_resume(&Workbench::new(), &run, Duration::ZERO);
        let bench = Workbench::new();
        bench.succeed(&format!("train {switch} --steps 3 {TINY} --run-dir run"));
        let bytes = std::fs::read(bench.path("run/checkpoints/weights.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for name in names {
            let name = format!("{block}.{name}");
            assert!(file.tensor(&name).is_ok(), "{:?}", file.names());
        }
        bench.succeed("evaluate run --targets 100 --episodes 2");
        for (format, reason) in ["onnx", "act"].iter().zip(refusals) {
            let transcript = bench.transcript(&format!("export run --{format} policy"));
            assert!(transcript.contains(reason), "{transcript}");
            assert!(!bench.path("policy").exists());
        }
    }
}

#[test]
fn bins_cover_the_returns_of_the_data_and_a_run_with_them_resumes_and_acts() {
    let bins = "--recipe reinformer --set decision_transformer.return_bins=12 \
                --set decision_transformer.hide_returns=true";
    let run = format!(
        "train {bins} --steps 60 --seed 3 --set checkpoint_every=7 {TINY} \
         --dataset builtin/pendulum/mixed --set parts=2"
    );
    kill_and_resume(&Workbench::new(), &run, Duration::ZERO);
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train {bins} --steps 3 {TINY} --dataset builtin/cartpole/random --run-dir run"
    ));
    let plan = std::fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: Table = plan.parse().unwrap();
    let range = plan["decision_transformer"]["return_bin_range"].as_array();
    let range: Vec<f64> = (range.unwrap().iter())
        .map(|end| end.as_float().unwrap())
        .collect();
    // The last step of an episode has a return-to-go of 1, the first step of the longest the most.
    assert!(
        range[0].to_bits() == 1.0_f64.to_bits() && range[1] > 30.0,
        "{range:?}"
    );
    let bytes = std::fs::read(bench.path("run/checkpoints/weights.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let head = file.tensor("predict_rtg.weight").unwrap();
    assert_eq!(head.shape()[0], 12);
    // Optimism changes no weight.
    bench.succeed(&format!(
        "train {bins} --steps 3 {TINY} --dataset builtin/pendulum/mixed --set parts=2 \
         --run-dir swing"
    ));
    let returns = |options: &str| {
        let found = bench.succeed(&format!("evaluate swing --episodes 4 --json {options}"));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        found["targets"][0]["returns"].clone()
    };
    let plain = returns("");
    assert_eq!(plain, returns("--optimism 10"));
    assert_eq!(plain, returns("--optimism 10 --rows 3"));
    assert_ne!(returns("--optimism 0"), returns("--optimism 1e6"));
    bench.succeed(&format!("train --steps 3 {TINY} --run-dir other"));
    let transcript = bench.transcript("evaluate other --episodes 2 --optimism 1");
    assert!(transcript.contains("omit --optimism"), "{transcript}");
    let transcript = bench.transcript("evaluate run --optimism=-1");
    assert!(
        transcript.contains("a number of at least 0"),
        "{transcript}"
    );
}

#[test]
fn a_head_fits_the_actions_and_its_weights_have_the_names_of_its_source() {
    let bench = Workbench::new();
    let train = |name: &str, options: &str| {
        bench.succeed(&format!(
            "train {options} --steps 3 {TINY} --run-dir {name}"
        ));
        let plan = std::fs::read_to_string(bench.path(&format!("{name}/experiment.toml"))).unwrap();
        let plan: Table = plan.parse().unwrap();
        let path = bench.path(&format!("{name}/checkpoints/weights.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let names: Vec<String> = (SafeTensors::deserialize(&bytes)
            .unwrap()
            .names()
            .into_iter())
        .map(str::to_owned)
        .collect();
        (plan["decision_transformer"].clone(), names)
    };
    let pendulum = "--dataset builtin/pendulum/mixed";
    let cases = [
        (
            format!("--recipe online_dt {pendulum}"),
            "squashed_gaussian",
            ["predict_action.mu.weight", "predict_action.log_std.weight"],
        ),
        (
            format!("--recipe reinformer {pendulum}"),
            "gaussian",
            ["predict_action.mu.bias", "predict_action.log_std"],
        ),
        (
            format!("--set decision_transformer.action_head=gaussian {pendulum}"),
            "gaussian",
            ["action_head.mu.weight", "action_head.log_std"],
        ),
        (
            format!("--set decision_transformer.action_head=tanh {pendulum}"),
            "tanh",
            ["action_head.0.weight", "action_head.0.bias"],
        ),
        (
            "--recipe reinformer".to_owned(),
            "",
            ["predict_action.0.weight", "predict_action.0.bias"],
        ),
    ];
    for (index, (options, head, weights)) in cases.into_iter().enumerate() {
        let (switches, names) = train(&format!("run-{index}"), &options);
        let found = switches.get("action_head").and_then(|value| value.as_str());
        assert_eq!(found.unwrap_or_default(), head, "{options}");
        let target = switches.get("target_entropy").map(toml::Value::as_float);
        let is_gaussian = head.ends_with("gaussian");
        assert_eq!(target, is_gaussian.then_some(Some(-1.0)), "{options}");
        for weight in weights {
            assert!(names.iter().any(|name| name == weight), "{names:?}");
        }
    }
}

#[test]
fn a_gaussian_is_measured_by_its_likelihood() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --recipe online_dt --dataset builtin/pendulum/mixed --steps 20 {TINY} \
         --set selection.validation_fraction=0.2 --set logging.every=10 --run-dir run"
    ));
    let metrics = std::fs::read_to_string(bench.path("run/metrics.jsonl")).unwrap();
    for metric in [
        "train/nll",
        "train/entropy",
        "train/alpha",
        "validation/nll",
    ] {
        assert!(metrics.contains(metric), "{metric}: {metrics}");
    }
}

#[test]
fn a_model_that_predicts_its_returns_takes_no_target() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --recipe reinformer --steps 3 {TINY} --run-dir run"
    ));
    let plan = std::fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: Table = plan.parse().unwrap();
    let evaluation = plan["evaluation"].as_table().unwrap();
    assert!(!evaluation.contains_key("targets"), "{plan}");
    assert!(!evaluation.contains_key("return_range"), "{plan}");
    let found = bench.succeed("evaluate run --episodes 2 --json");
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let rows = found["targets"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{found}");
    assert!(rows[0]["target"].is_null(), "{found}");
    let transcript = bench.transcript("evaluate run --episodes 2 --targets 100");
    assert!(transcript.contains("omit --targets"), "{transcript}");
    for key in ["targets=[100]", "targets=sweep", "return_range=[0,9]"] {
        let transcript = bench.transcript(&format!(
            "train --recipe reinformer --set evaluation.{key} --run-dir other"
        ));
        let expected = "omitted: this decision_transformer predicts its returns";
        assert!(transcript.contains(expected), "{transcript}");
        assert!(!bench.path("other").exists());
    }
}

/// Options of `rtg train`, and what the refusal says.
const EXCLUDED: [(&str, &str); 34] = [
    (
        "--set decision_transformer.condition_dropout=0.1 --recipe ddt",
        "condition_dropout' is 0.1: it must be 0 with condition = \"adaln\"",
    ),
    (
        "--set decision_transformer.condition_dropout=0.1 --device cuda",
        "condition_dropout' is 0.1: it must be 0 on a GPU",
    ),
    (
        "--set decision_transformer.condition_dropout=0.1 --set decision_transformer.engine=composed",
        "condition_dropout' is 0.1: it must be 0 with the composed engine",
    ),
    (
        "--set decision_transformer.return_bins=60",
        "return_bins' is 60: it must be 0 with condition = \"token\"",
    ),
    (
        "--set decision_transformer.hide_returns=true",
        "hide_returns' is true: it must be false without condition = \"predicted\"",
    ),
    (
        "--recipe reinformer --set decision_transformer.hide_returns=true \
         --set decision_transformer.mixer=linear --set decision_transformer.heads=1",
        "hide_returns' is true: it must be false without condition = \"predicted\" and mixer",
    ),
    (
        "--recipe reinformer --set decision_transformer.return_bins=60 \
         --set decision_transformer.return_bin_range=[2,1]",
        "return_bin_range' is [2, 1]: it must be two numbers, the smaller one first",
    ),
    (
        "--recipe reinformer --set decision_transformer.return_bins=60 \
         --set evaluation.acting=search",
        "acting' is search: it must be exact or streaming with return_bins without expectile",
    ),
    (
        "--recipe elastic_dt --set decision_transformer.return_bins=0",
        "expectile_weight' is 0.5: it must be 0 without return_bins",
    ),
    (
        "--recipe elastic_dt --dataset builtin/pendulum/mixed \
         --set decision_transformer.action_head=gaussian",
        "next_observation_weight' is 1: it must be 0 with action_head = \"gaussian\"",
    ),
    (
        "--set decision_transformer.next_observation_weight=0.5 --device cuda",
        "next_observation_weight' is 0.5: it must be 0 on a GPU",
    ),
    (
        "--set decision_transformer.next_observation_weight=1 \
         --set decision_transformer.engine=composed",
        "next_observation_weight' is 1: it must be 0 with the composed engine",
    ),
    (
        "--set decision_transformer.guidance=2",
        "guidance' is 2: it must be 1 in a model that was trained without condition_dropout",
    ),
    (
        "--recipe ddt --device cuda",
        "condition' is adaln: it must be token on a GPU",
    ),
    (
        "--recipe reinformer --device cuda",
        "condition' is predicted: it must be token on a GPU",
    ),
    (
        "--recipe convformer --device cuda",
        "mixer' is convolution: it must be attention on a GPU",
    ),
    (
        "--recipe ddt --set decision_transformer.engine=composed",
        "condition' is adaln: it must be token with the composed engine",
    ),
    (
        "--recipe convformer --set decision_transformer.engine=composed",
        "mixer' is convolution: it must be attention with the composed engine",
    ),
    (
        "--set decision_transformer.mixer=linear --device cuda",
        "mixer' is linear: it must be attention on a GPU",
    ),
    (
        "--recipe decision_mamba --device cuda",
        "mixer' is scan: it must be attention on a GPU",
    ),
    (
        "--set decision_transformer.mixer=lstm --device cuda",
        "mixer' is lstm: it must be attention on a GPU",
    ),
    (
        "--set decision_transformer.mixer=lstm --set decision_transformer.heads=2",
        "heads' is 2: it must be 1 with mixer",
    ),
    (
        "--recipe online_dt --device cuda --dataset builtin/pendulum/mixed",
        "action_head' is squashed_gaussian: it must be tanh or logits on a GPU",
    ),
    (
        "--set decision_transformer.action_head=gaussian --device cuda",
        "action_head' is gaussian: it must be tanh or logits on a GPU",
    ),
    (
        "--recipe huggingface --device cuda",
        "positions' is 1024: it must be 0 on a GPU",
    ),
    (
        "--set decision_transformer.norm_epsilon=0.003 --device cuda",
        "norm_epsilon' is 0.003: it must be 0.00001 on a GPU",
    ),
    (
        "--set decision_transformer.norm_placement=post --device cuda",
        "norm_placement' is post: it must be pre on a GPU",
    ),
    (
        "--recipe d3rlpy --device cuda",
        "'recipe' is d3rlpy: it must be another on a GPU",
    ),
    (
        "--set optimiser.method=lamb --device cuda",
        "method' is lamb: it must be adamw on a GPU",
    ),
    (
        "--recipe online_dt --set decision_transformer.engine=composed",
        "action_head' is squashed_gaussian: it must be tanh or logits with the composed engine",
    ),
    (
        "--recipe online_dt",
        "action_head' is squashed_gaussian: it must be logits with discrete actions",
    ),
    (
        "--set decision_transformer.action_head=logits --dataset builtin/pendulum/mixed",
        "it must be tanh, squashed_gaussian or gaussian with continuous actions",
    ),
    (
        "--recipe decision_mamba --set decision_transformer.heads=2",
        "heads' is 2: it must be 1 with mixer",
    ),
    (
        "--recipe convformer --set decision_transformer.heads=2",
        "heads' is 2: it must be 1 with mixer",
    ),
];

#[test]
fn excluded_combinations_of_switches_are_refused_before_there_is_a_run() {
    let bench = Workbench::new();
    for (options, expected) in EXCLUDED {
        let transcript = bench.transcript(&format!("train {options} --run-dir run"));
        assert!(transcript.contains("exit code 1"), "{transcript}");
        assert!(transcript.contains(expected), "{transcript}");
        assert!(!bench.path("run").exists(), "{options}");
    }
    let streaming = [
        (
            "--recipe convformer",
            "it must be exact with mixer = \"convolution\"",
        ),
        (
            "--recipe decision_mamba",
            "it must be exact with mixer = \"scan\"",
        ),
        (
            "--set decision_transformer.mixer=lstm",
            "it must be exact with mixer = \"lstm\"",
        ),
        (
            "--set decision_transformer.mixer=linear",
            "it must be exact with mixer = \"linear\"",
        ),
        ("--algorithm bc", "it must be exact with algorithm = \"bc\""),
    ];
    for (options, expected) in streaming {
        let transcript = bench.transcript(&format!(
            "train {options} --set evaluation.acting=streaming --run-dir run"
        ));
        let expected = format!("'evaluation.acting' is streaming: {expected}");
        assert!(transcript.contains(&expected), "{transcript}");
        assert!(!bench.path("run").exists(), "{options}");
    }
    let transcript = bench.transcript("bench act --acting streaming --mixer scan");
    assert!(transcript.contains("it must be exact"), "{transcript}");
    let transcript = bench.transcript("bench train-step --engine composed --mixer convolution");
    assert!(transcript.contains("it must be attention"), "{transcript}");
}
