//! Environments with options, through the command line: the environment that a dataset names is
//! simulated, or the output says why not.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::workbench::{TINY, Workbench};

/// Records a dataset, `./data-v0`; returns its metadata file.
fn record(bench: &Workbench, env: &str) -> PathBuf {
    bench.succeed(&format!("collect --env {env} --steps 120 --out ./data-v0"));
    bench.path("data-v0/data/metadata.json")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Trains briefly on the dataset; returns stderr.
fn train(bench: &Workbench, arguments: &str) -> String {
    let output = bench.run(&format!("train --dataset ./data-v0 {TINY} {arguments}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "train {arguments}: {said}");
    said
}

#[test]
fn policies_are_evaluated_in_the_recorded_environment() {
    let bench = Workbench::new();
    for (env, width, longest) in [
        ("Pendulum-v1?g=2", 1, 200.0),
        ("CartPole-v1?max_episode_steps=15", 1, 15.0),
        (
            "Pendulum-v1?max_episode_steps=40&RescaleAction(min_action=-1,max_action=1)",
            1,
            40.0,
        ),
        (
            "MountainCarContinuous-v0?goal_velocity=0.02&ClipReward(min_reward=-0.05)",
            1,
            999.0,
        ),
    ] {
        let metadata = record(&bench, env);
        // Gymnasium's EnvSpec has the same entries.
        let spec = json(&fs::read_to_string(&metadata).unwrap());
        let spec = json(spec["env_spec"].as_str().unwrap());
        assert_eq!(spec["id"], env.split('?').next().unwrap());
        assert_eq!(spec["max_episode_steps"].as_f64(), Some(longest), "{env}");

        let seen = json(&bench.succeed("inspect ./data-v0 --json"));
        assert_eq!(
            (&seen["env"], &seen["not_simulated"]),
            (&env.into(), &Value::Null)
        );
        let codes: Vec<_> = (seen["findings"].as_array().unwrap().iter())
            .map(|finding| finding["code"].as_str().unwrap())
            .filter(|code| code.contains("mismatch"))
            .collect();
        assert!(codes.is_empty(), "{env}: replayed otherwise: {codes:?}");

        train(&bench, "--steps 4 --run-dir run");
        let plan = fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
        assert!(plan.contains(&format!("env = \"{env}\"")), "{plan}");
        let answer = json(&bench.succeed("evaluate run --episodes 3 --json"));
        assert_eq!(answer["env"], env);
        for target in answer["targets"].as_array().unwrap() {
            let length = target["length_mean"].as_f64().unwrap();
            assert!(length <= longest, "{env}: {length} steps");
            assert_eq!(
                target["score"],
                Value::Null,
                "{env}: a score of another environment"
            );
            assert_eq!(
                target["returns"][0].as_array().map_or(width, Vec::len),
                width
            );
        }
        for folder in ["data-v0", "run"] {
            fs::remove_dir_all(bench.path(folder)).unwrap();
        }
    }
}

#[test]
fn an_unsupported_environment_is_trained_on_but_not_simulated() {
    let bench = Workbench::new();
    let metadata = record(&bench, "Pendulum-v1?g=2");
    let text = fs::read_to_string(&metadata).unwrap();
    for (now, words) in [
        (r#"\"gravity\""#, "no option 'gravity'"),
        (r#"\"xml_file\""#, "no option 'xml_file'"),
    ] {
        fs::write(&metadata, text.replace(r#"\"g\""#, now)).unwrap();
        let seen = bench.succeed("inspect ./data-v0");
        assert!(
            seen.contains("not simulated here") && seen.contains(words),
            "{seen}"
        );
        let said = train(&bench, "--steps 4 --run-dir run");
        assert!(
            said.contains("no evaluation") && said.contains(words),
            "{said}"
        );
        fs::remove_dir_all(bench.path("run")).unwrap();
    }
    let wrapper = r#"\"additional_wrappers\":[{\"name\":\"TransformReward\",\"entry_point\":\"a:B\",\"kwargs\":null}]"#;
    let compact = text.replace(
        r#"\"additional_wrappers\": ["#,
        r#"\"additional_wrappers\":["#,
    );
    let wrapped = compact.replace(r#"\"additional_wrappers\":[]"#, wrapper);
    assert_ne!(wrapped, compact);
    fs::write(&metadata, wrapped).unwrap();
    let said = train(&bench, "--steps 4 --run-dir run");
    assert!(
        said.contains("no evaluation") && said.contains("TransformReward"),
        "{said}"
    );
}

#[test]
fn without_an_environment_a_policy_is_trained_and_not_evaluated() {
    let bench = Workbench::new();
    let metadata = record(&bench, "CartPole-v1");
    let said = train(&bench, "--steps 4 --env none --run-dir asked");
    assert!(said.contains("no evaluation"), "{said}");
    let mut entries = json(&fs::read_to_string(&metadata).unwrap());
    entries.as_object_mut().unwrap().remove("env_spec").unwrap();
    fs::write(&metadata, entries.to_string()).unwrap();
    let said = train(&bench, "--steps 4 --run-dir run");
    assert!(said.contains("the dataset names no environment"), "{said}");
    train(&bench, "--steps 6 --run-dir run --resume");
    for command in [
        "evaluate run",
        "render run",
        "train --algorithm dqn --dataset ./data-v0 --run-dir online",
    ] {
        let refused = bench.transcript(command);
        assert!(refused.contains("no environment to act in"), "{refused}");
    }
    // Another one may be named, if it fits.
    train(
        &bench,
        "--steps 4 --env CartPole-v1?sutton_barto_reward=true --run-dir named",
    );
}

#[test]
fn options_that_do_not_exist_are_refused_with_the_nearest() {
    let bench = Workbench::new();
    for (env, words) in [
        (
            "Pendulum-v1?gravity=3",
            "no option 'gravity'; the nearest are g",
        ),
        ("Hopper-v5?frame_skips=3", "the nearest are frame_skip"),
        ("Hopper-v5?frame_skip=0", "a whole number from 1 to 1000"),
        ("Hopper-v5?xml_file=./other.xml", "only hopper.xml"),
        (
            "CartPole-v1?max_episode_steps=1000000000000000",
            "above the maximum",
        ),
        (
            "CartPole-v1?RescaleAction(min_action=0,max_action=1)",
            "it needs a Box action space",
        ),
        (
            "CartPole-v1?FrameStackObservation(stack_size=4)",
            "it is not simulated",
        ),
        ("Hopper-v5?", "a name is missing"),
    ] {
        let refused = bench.transcript(&format!("collect --env {env} --steps 5 --out ./data-v0"));
        assert!(refused.starts_with("exit code 1"), "{env}: {refused}");
        assert!(refused.contains(words), "{env}: {refused}");
    }
    let shown = bench.succeed("envs Hopper-v5?frame_skip=8");
    assert!(
        shown.contains("healthy_z_range") && shown.contains("[0.7,inf]"),
        "{shown}"
    );
}

#[test]
fn widths_change_with_options() {
    let bench = Workbench::new();
    if bench.succeed("envs").contains("MuJoCo not found") {
        rtg_envs::mujoco::skip("widths", "MuJoCo was not found on this machine");
        return;
    }
    for (env, width) in [
        (
            "Hopper-v5?exclude_current_positions_from_observation=false",
            12,
        ),
        ("Ant-v5?include_cfrc_ext_in_observation=false", 27),
    ] {
        record(&bench, env);
        train(&bench, "--steps 4 --run-dir run");
        let answer = json(&bench.succeed("evaluate run --episodes 2 --json"));
        assert_eq!(answer["env"], env);
        assert_eq!(answer["targets"][0]["score"], Value::Null);
        let seen = bench.succeed("inspect ./data-v0");
        assert!(seen.contains(&format!("{width} numbers")), "{seen}");
        for folder in ["data-v0", "run"] {
            fs::remove_dir_all(bench.path(folder)).unwrap();
        }
    }
}

#[test]
fn warnings_of_mujoco_are_measured_and_not_written_into_the_folder() {
    let bench = Workbench::new();
    if bench.succeed("envs").contains("MuJoCo not found") {
        rtg_envs::mujoco::skip("warnings", "MuJoCo was not found on this machine");
        return;
    }
    // Positions that the simulation refuses.
    record(&bench, "HalfCheetah-v5?reset_noise_scale=1e12");
    let said = train(&bench, "--steps 1 --run-dir run");
    assert!(said.contains("MuJoCo warned "), "{said}");
    let metrics = fs::read_to_string(bench.path("run/metrics.jsonl")).unwrap();
    let mut warnings = metrics
        .lines()
        .filter_map(|line| json(line).get("eval/mujoco_warnings")?.as_f64());
    assert!(warnings.any(|count| count > 0.0), "{metrics}");
    assert!(!bench.path("MUJOCO_LOG.TXT").exists());
}

#[test]
fn without_the_library_a_collection_leaves_nothing() {
    let bench = Workbench::new();
    let mut command = bench.command("collect --env Hopper-v5 --steps 9 --out ./x-v0");
    let output = command
        .env("RTG_MUJOCO", bench.path("nowhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!bench.path(".x-v0.journal").exists());
}

#[cfg(unix)]
#[test]
fn nothing_of_the_working_directory_runs() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Workbench::new();
    let trap = b"open('sprung', 'w')";
    for module in [
        "importlib.py",
        "site.py",
        "sitecustomize.py",
        "mujoco/__init__.py",
    ] {
        bench.write(module, trap);
    }
    bench.write("mujoco/libmujoco.so.9.9.9", b"no library");
    bench.write("libmujoco.so", b"no library");
    bench.write(
        "python3",
        b"#!/bin/sh\ntouch sprung\necho \"$PWD/mujoco\"\n",
    );
    fs::set_permissions(bench.path("python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = bench
        .command("envs")
        .env("PATH", format!(".::{path}"))
        .env("LD_LIBRARY_PATH", ".:mujoco:")
        .env("PYTHONPATH", ".")
        .env_remove("RTG_MUJOCO")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(!bench.path("sprung").exists(), "a trap was sprung");
    assert!(
        !text.contains("cannot be loaded") && !text.contains("9.9.9"),
        "{text}"
    );
}
