//! What a user sees: help, tables, JSON, and one error with one hint for everything that can go
//! wrong. The texts are compared with snapshots; CONTRIBUTING.md says how to renew them.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::workbench::{TINY, Workbench, repository};

const CARTPOLE: &str = "datasets/fixtures/minari/tiny/cartpole-v0/data";

#[test]
fn help_fits_a_screen_and_has_an_example() {
    let bench = Workbench::new();
    for command in [
        "",
        "algorithms",
        "keys",
        "envs",
        "inspect",
        "collect",
        "convert",
        "train",
        "evaluate",
        "estimate",
        "render",
        "export",
        "compare",
        "sweep",
        "report",
        "devices",
        "bench",
        "bench train-step",
        "bench act",
        "bench env",
        "bench load",
        "bench update",
    ] {
        let help = bench.succeed(&format!("{command} --help"));
        assert!(
            help.lines().count() <= 50,
            "{command}: {} lines",
            help.lines().count()
        );
        assert!(
            ["Example: rtg ", "Examples: rtg "]
                .iter()
                .any(|example| help.contains(example))
                || command.contains("bench "),
            "{command} has no example"
        );
        assert_snapshot!(format!("help {command}"), help);
    }
}

#[test]
fn misspelt_words_end_with_a_hint() {
    let bench = Workbench::new();
    bench.write("typo.toml", b"steps = 10\n[model]\nwidht = 64\n");
    bench.write("broken.toml", b"dataset = builtin/cartpole/mixed\n");
    bench.write("type.toml", b"steps = \"many\"\n");
    assert_snapshot!("unknown key in a file", bench.transcript("train typo.toml"));
    assert_snapshot!("not toml", bench.transcript("train broken.toml"));
    assert_snapshot!("wrong type in a file", bench.transcript("train type.toml"));
    assert_snapshot!(
        "unknown key in an option",
        bench.transcript("train --set optimizer.learning_rate=1")
    );
    assert_snapshot!(
        "option without value",
        bench.transcript("train --set steps")
    );
    assert_snapshot!(
        "heads that do not divide",
        bench.transcript("train --set decision_transformer.heads=3")
    );
    assert_snapshot!("missing file", bench.transcript("train nowhere.toml"));
    assert_snapshot!(
        "unknown environment",
        bench.transcript("train --env CartPole-v7")
    );
    assert_snapshot!(
        "unknown built-in dataset",
        bench.transcript("inspect builtin/cartpole/mixd")
    );
    assert_snapshot!("unknown dataset", bench.transcript("inspect no/such-v0"));
    assert_snapshot!("unknown device", bench.transcript("train --device gpu"));
    assert_snapshot!(
        "no MPI library",
        bench.transcript("train --mpi=/no/libmpi.so")
    );
    assert_snapshot!("unknown recipe", bench.transcript("train --recipe kzl"));
    assert_snapshot!("not a run", bench.transcript("evaluate ."));
    assert_snapshot!("report of nothing", bench.transcript("report ."));
    assert_snapshot!("usage", bench.transcript("train --stepz 3"));
    assert_snapshot!(
        "bad target",
        bench.transcript("evaluate run --targets five")
    );
    assert_snapshot!(
        "heads of the bench",
        bench.transcript("bench train-step --heads 3")
    );
}

#[test]
fn broken_data_end_with_a_hint() {
    let bench = Workbench::new();
    let metadata = fs::read(repository(CARTPOLE).join("metadata.json")).unwrap();
    let whole = fs::read(repository(CARTPOLE).join("main_data.hdf5")).unwrap();
    bench.write("cut/data/metadata.json", &metadata);
    bench.write("cut/data/main_data.hdf5", &whole[..whole.len() / 2]);
    assert_snapshot!("truncated file", bench.transcript("train --dataset cut"));

    // One observation in the middle of the file becomes NaN.
    let mut poisoned = whole;
    let first_observation = first_observation();
    let at = poisoned
        .windows(16)
        .position(|bytes| bytes == first_observation)
        .unwrap();
    poisoned[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    bench.write("nan/data/metadata.json", &metadata);
    bench.write("nan/data/main_data.hdf5", &poisoned);
    assert_snapshot!(
        "nan in observations",
        bench.transcript("train --dataset nan")
    );
    let report = bench.succeed("inspect nan --json");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["findings"][0]["severity"], "error", "{report}");

    assert_snapshot!(
        "dataset of another environment",
        bench.transcript("train --dataset builtin/cartpole/random --env Pendulum-v1")
    );
}

/// The 4 float32 numbers of the fixture's first observation, as stored in the file.
fn first_observation() -> Vec<u8> {
    let path = repository("datasets/fixtures/minari/tiny/cartpole-v0");
    let data = rtg_datasets::open(path.to_str().unwrap(), None).unwrap();
    data.episode(0).observations[..4]
        .iter()
        .flat_map(|&value| (value as f32).to_le_bytes())
        .collect()
}

#[test]
fn unwritable_paths_end_with_a_hint() {
    let bench = Workbench::new();
    bench.write("file", b"");
    assert_snapshot!(
        "run directory below a file",
        bench.transcript(&format!("train --steps 1 {TINY} --run-dir file/run"))
    );
    bench.write("thesis/chapter.tex", b"");
    assert_snapshot!(
        "run directory in use",
        bench.transcript(&format!("train --steps 1 {TINY} --run-dir thesis"))
    );
    bench.succeed(&format!("train --steps 1 {TINY} --run-dir run"));
    assert_snapshot!(
        "run exists",
        bench.transcript(&format!("train --steps 1 {TINY} --run-dir run"))
    );
    assert_snapshot!(
        "report of an unknown kind",
        bench.transcript("report run --out report.pdf")
    );
    bench.write("run/checkpoints/latest.safetensors", b"not tensors");
    assert_snapshot!("damaged checkpoint", bench.transcript("evaluate run"));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_the_last_checkpoint() {
    let bench = Workbench::new();
    let transcript = bench.transcript(&format!(
        "train --dataset builtin/pendulum/random --steps 60 {TINY} --run-dir run --set \
            checkpoint_every=1 \
         --set optimiser.learning_rate=1e38 --set optimiser.warmup_steps=0 \
         --set optimiser.gradient_clip=0"
    ));
    assert!(transcript.starts_with("exit code 1\n"), "{transcript}");
    let error = transcript
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    assert!(error.contains("at step"), "{error}");
    assert!(error.contains("checkpoints/latest.safetensors"), "{error}");
    assert!(
        transcript.contains("\nhint: lower the learning rate with --set"),
        "{transcript}"
    );
}

#[test]
fn json_answers_have_the_promised_fields() {
    let bench = Workbench::new();
    let inspect: Value =
        serde_json::from_str(&bench.succeed("inspect builtin/acrobot/expert --json")).unwrap();
    assert_eq!(inspect["id"], "builtin/acrobot/expert");
    assert_eq!(inspect["env"], "Acrobot-v1");
    for field in ["episodes", "steps"] {
        assert!(inspect[field].as_u64().unwrap() > 0);
    }
    for field in ["mean", "std", "min", "max"] {
        assert!(inspect["return"][field].is_number());
    }
    assert!(inspect["findings"].is_array());

    let envs: Value = serde_json::from_str(&bench.succeed("envs --json")).unwrap();
    assert_eq!(envs.as_array().unwrap().len(), rtg_envs::ids().count());
    assert_eq!(envs[0]["id"], "CartPole-v1");

    let bench_env: Value =
        serde_json::from_str(&bench.succeed("bench env CartPole-v1 --rows 4 --threads 1 --json"))
            .unwrap();
    assert_eq!(bench_env["what"], "env");
    assert!(bench_env["per_second"].as_f64().unwrap() > 0.0);
    let load: Value =
        serde_json::from_str(&bench.succeed("bench load builtin/cartpole/random --json")).unwrap();
    assert_eq!(load["what"], "load");
    assert!(load["median_ms"].as_f64().unwrap() > 0.0);
    let sizes = "--batch 2 --context 2 --width 8 --layers 1";
    let step: Value = serde_json::from_str(
        &bench.succeed(&format!("bench train-step {sizes} --threads 1 --json")),
    )
    .unwrap();
    assert_eq!(step["what"], "train-step");
    assert_eq!(step["threads"], 1);
    assert_eq!(step["sizes"]["width"], 8);
    assert!(step["median_ms"].as_f64().unwrap() > 0.0);
    let act: Value =
        serde_json::from_str(&bench.succeed(&format!("bench act {sizes} --rows 2 --json")))
            .unwrap();
    assert_eq!(act["what"], "act");
    assert!(act["per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_run_is_rendered_and_its_policy_recorded_and_converted() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train {TINY} --dataset builtin/cartpole/random --steps 4 --run-dir run"
    ));
    let film: Value = serde_json::from_str(
        &bench.succeed("render run --target 100 --out film.gif --tensorboard --json"),
    )
    .unwrap();
    assert_eq!(film["env"], "CartPole-v1");
    assert_eq!(film["returns"].as_array().unwrap().len(), 1);
    assert!(
        fs::read(bench.path("film.gif"))
            .unwrap()
            .starts_with(b"GIF89a")
    );

    let d4rl = bench.path("own.hdf5").display().to_string();
    let collected: Value = serde_json::from_str(&bench.succeed(&format!(
        "collect --policy run --targets 500,20 --noise 0.1 --steps 50 --format d4rl --out {d4rl} \
            --json"
    )))
    .unwrap();
    assert_eq!(collected["env"], "CartPole-v1");
    assert!(collected["steps"].as_u64().unwrap() >= 50);
    let converted: Value =
        serde_json::from_str(&bench.succeed("convert own.hdf5 again.hdf5 --format d4rl --json"))
            .unwrap();
    assert_eq!(converted["steps"], collected["steps"]);
    let hash = |path: &str| -> Value {
        let answer = bench.succeed(&format!("inspect {path} --plot look.svg --json"));
        serde_json::from_str::<Value>(&answer).unwrap()["hash"].clone()
    };
    assert_eq!(hash("own.hdf5"), hash("again.hdf5"));
    assert!(
        fs::read_to_string(bench.path("look.svg"))
            .unwrap()
            .contains("<svg")
    );

    for (command, word) in [
        ("render run --out film.avi", ".gif"),
        ("collect --steps 10 --out x-v0", "--env"),
        (
            "collect --env Hopper-v5 --policy controller --steps 10 --out x-v0",
            "random",
        ),
        ("convert own.hdf5 again.hdf5 --format d4rl", "hint"),
    ] {
        let transcript = bench.transcript(command);
        assert!(transcript.contains(word), "{command}: {transcript}");
    }
    let devices: Value = serde_json::from_str(&bench.succeed("devices --json")).unwrap();
    assert!(devices["cpu"]["threads"].as_u64().unwrap() > 0);
    assert!(devices["cuda"].is_array());
}

#[test]
fn a_run_directory_holds_what_the_readme_promises() {
    let bench = Workbench::new();
    let table = bench.succeed(&format!(
        "train --steps 20 {TINY} --set logging.histograms_every=10 --run-dir run"
    ));
    assert!(table.contains("| run | CartPole-v1 |"), "{table}");
    let summary: Value =
        serde_json::from_slice(&fs::read(bench.path("run/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["steps"], 20);
    for field in ["train_seconds", "ms_per_step", "final_loss"] {
        assert!(summary[field].as_f64().unwrap() > 0.0, "{field}");
    }
    assert!(!summary["evaluations"].as_array().unwrap().is_empty());
    for file in [
        "experiment.toml",
        "metrics.jsonl",
        "checkpoints/latest.safetensors",
        "checkpoints/best.safetensors",
    ] {
        assert!(bench.path("run").join(file).is_file(), "{file}");
    }
    let events = fs::read_dir(bench.path("run")).unwrap();
    assert!(events.flatten().any(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("events.out.tfevents")
    }));
    // The stored plan makes the same run again.
    bench.succeed("train run/experiment.toml --run-dir again");
    let weights =
        |run: &str| fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap();
    assert!(weights("run") == weights("again"));
    for kind in ["md", "tex", "svg", "html", "csv", "parquet"] {
        let out = format!("report.{kind}");
        bench.succeed(&format!("report run again --out {out}"));
        assert!(fs::metadata(bench.path(&out)).unwrap().len() > 100);
    }
}
