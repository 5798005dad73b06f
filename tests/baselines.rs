//! Behaviour cloning and delayed reward, through the command line.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::workbench::{TINY, Workbench};

fn summary(bench: &Workbench, run: &str) -> Value {
    serde_json::from_slice(&fs::read(bench.path(run).join("summary.json")).unwrap()).unwrap()
}

fn last_return(bench: &Workbench, run: &str) -> f64 {
    let summary = summary(bench, run);
    let last = summary["evaluations"].as_array().unwrap().last().unwrap();
    assert_eq!(last["target"], Value::Null, "a clone takes no target");
    last["return_mean"].as_f64().unwrap()
}

#[test]
fn a_clone_of_the_expert_balances_the_pole() {
    let bench = Workbench::new();
    bench.succeed(
        "train --dataset builtin/cartpole/expert --algorithm bc --steps 1000 \
         --set evaluation.final_episodes=50 --run-dir run",
    );
    let earned = last_return(&bench, "run");
    assert!(earned >= 475.0, "it earns {earned}");
    let transcript = bench.transcript("evaluate run --episodes 3");
    assert!(transcript.contains("500.0 ± 0.0"), "{transcript}");
    assert!(bench.transcript("report run").contains("| bc | corl |"));
}

#[test]
fn a_clone_has_no_target_anywhere() {
    let bench = Workbench::new();
    bench.succeed(
        "train --dataset builtin/cartpole/random --set algorithm=bc --set bc.width=16 --steps 5 \
         --set evaluation.final_episodes=2 --run-dir run",
    );
    let json = |arguments: &str| -> Value {
        serde_json::from_str(&bench.succeed(&format!("{arguments} --json"))).unwrap()
    };
    let evaluation = json("evaluate run --episodes 3");
    let targets = evaluation["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0]["target"], Value::Null);
    assert_eq!(targets[0]["returns"].as_array().unwrap().len(), 3);
    let table = bench.succeed("evaluate run --episodes 3");
    assert!(table.starts_with("CartPole-v1, 3 episodes, "), "{table}");

    bench.succeed("collect --policy run --steps 30 --out clone-v0 --format hdf5");
    let metadata = walk_for(&bench.path(""), "metadata.json");
    let metadata = fs::read_to_string(metadata.expect("the dataset's metadata")).unwrap();
    assert!(
        metadata.contains("recorded by rtg") && !metadata.contains("target"),
        "{metadata}"
    );

    assert_eq!(json("render run --out film")["target"], Value::Null);
    let text = bench.succeed("render run --out again");
    assert!(text.starts_with("episode 1: return "), "{text}");
    for arguments in [
        "evaluate run --targets 1,2",
        "evaluate run --targets sweep",
        "collect --policy run --targets 1 --steps 9 --out x-v0",
        "collect --env CartPole-v1 --policy random --targets 1 --steps 9 --out x-v0",
        "render run --target 1 --out other",
    ] {
        let transcript = bench.transcript(arguments);
        let expected = "error: this policy takes no target return\nhint: omit --target";
        assert!(transcript.starts_with("exit code 1"), "{transcript}");
        assert!(transcript.contains(expected), "{arguments}: {transcript}");
    }
}

/// The first file of this name in a folder.
fn walk_for(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> = folder.read_dir().ok()?.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    (entries.iter()).find_map(|entry| match entry.path() {
        path if path.is_dir() => walk_for(&path, name),
        path => (entry.file_name() == name).then_some(path),
    })
}

#[test]
fn cloning_the_best_episodes_beats_cloning_all() {
    let bench = Workbench::new();
    let run = |name: &str, options: &str| {
        bench.succeed(&format!(
            "train --dataset builtin/cartpole/random --algorithm bc --steps 300 {options} \
             --set evaluation.final_episodes=50 --run-dir {name}"
        ));
        last_return(&bench, name)
    };
    let all = run("all", "");
    let best = run("best", "--set selection.top_fraction=0.1");
    assert!(best > 2.0 * all, "{best} after {all}");
}

#[test]
fn a_resumed_clone_ends_with_the_bits_of_one_that_was_never_interrupted() {
    let bench = Workbench::new();
    let train = |steps: u64, run: &str| {
        format!(
            "train --dataset builtin/pendulum/mixed --algorithm bc --set bc.width=16 \
             --set bc.context=3 --set bc.dropout=0.2 \
             --set optimiser.accumulation=2 --steps {steps} \
             --set evaluation.every=0 --set evaluation.final_episodes=2 --run-dir {run}"
        )
    };
    bench.succeed(&train(40, "whole"));
    bench.succeed(&train(15, "cut"));
    bench.succeed(&format!("{} --resume", train(40, "cut")));
    let weights =
        |run: &str| fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap();
    assert!(weights("whole") == weights("cut"));
}

#[test]
fn weights_of_a_clone_have_the_names_of_the_published_codes() {
    for (recipe, name) in [("official", "model.9.weight"), ("corl", "net.4.weight")] {
        let bench = Workbench::new();
        let train = "train --dataset builtin/pendulum/random --algorithm bc --set bc.width=16";
        bench.succeed(&format!(
            "{train} --recipe {recipe} --steps 2 --run-dir run"
        ));
        let path = bench.path("run/checkpoints/weights.safetensors");
        let bytes = fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor(name).unwrap().shape(), [1, 16], "{recipe}");
        bench.succeed(&format!(
            "{train} --recipe {recipe} --steps 0 --run-dir again \
             --set initial_weights=run/checkpoints/weights.safetensors"
        ));
        let again = fs::read(bench.path("again/checkpoints/weights.safetensors")).unwrap();
        assert!(again == bytes, "{recipe}");
    }
}

#[test]
fn a_plan_knows_the_network_of_its_own_algorithm_only() {
    let bench = Workbench::new();
    let transcript = bench.transcript("train --algorithm bc --set decision_transformer.width=16");
    assert!(
        transcript.contains("error: unknown key 'decision_transformer'"),
        "{transcript}"
    );
    let transcript = bench.transcript("train --set bc.width=16");
    assert!(
        transcript.contains("error: unknown key 'bc': it is a table of bc"),
        "{transcript}"
    );
}

#[test]
fn delayed_reward_is_delayed_in_the_data_and_in_the_environment() {
    let bench = Workbench::new();
    for (run, option) in [
        ("by-env", "--env delayed/CartPole-v1"),
        ("by-data", "--set selection.delayed_rewards=true"),
    ] {
        bench.succeed(&format!("train --steps 10 {TINY} {option} --run-dir {run}"));
        bench.succeed(&format!("train --run-dir {run} --resume --steps 12"));
    }
    let plan = |run: &str| fs::read_to_string(bench.path(run).join("experiment.toml")).unwrap();
    assert_eq!(plan("by-env"), plan("by-data"));
    assert!(plan("by-env").contains("env = \"delayed/CartPole-v1\""));
    assert!(plan("by-env").contains("delayed_rewards = true"));
    let evaluation = bench.transcript("evaluate by-env --episodes 2");
    assert!(evaluation.contains("delayed/CartPole-v1"), "{evaluation}");
    // The prompt stays until the end, so the policy is another one than that of the plain data.
    bench.succeed(&format!("train --steps 12 {TINY} --run-dir plain"));
    let losses = |run: &str| summary(&bench, run)["final_loss"].as_f64().unwrap();
    assert!((losses("by-env") - losses("by-data")).abs() < 1e-12);
    assert!((losses("by-env") - losses("plain")).abs() > 1e-9);
}
