//! Algorithms that learn values from single transitions of a dataset, through the command line.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::resume::kill_and_resume;
use crate::workbench::Workbench;

/// Runs with small networks, whose table is named after the algorithm.
fn train(algorithm: &str, options: &str) -> String {
    let set = |key: &str| format!("--set {algorithm}.{key}");
    let (width, rows) = (set("width=8"), set("batch_size=16"));
    format!("train --algorithm {algorithm} --threads 2 --seed 3 {width} {rows} {options}")
}

const CUT_OFTEN: &str = "--dataset builtin/pendulum/mixed --steps 600 --set checkpoint_every=7 \
    --set logging.every=10 --set evaluation.every=200 --set evaluation.episodes=2 \
    --set evaluation.final_episodes=20 --set selection.validation_fraction=0.3";

#[test]
fn a_killed_run_of_td3_bc_resumes_to_the_bits_of_an_uninterrupted_one() {
    let bench = Workbench::new();
    // Between two moves of the actor most of the time.
    let run = train(
        "td3_bc",
        &format!("{CUT_OFTEN} --set td3_bc.policy_delay=3"),
    );
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_iql_resumes_with_dropout_and_a_decaying_learning_rate() {
    let bench = Workbench::new();
    let run = train("iql", &format!("{CUT_OFTEN} --set iql.actor_dropout=0.2"));
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_iql_resumes_with_the_conventions_of_its_authors() {
    let bench = Workbench::new();
    let options = format!("{CUT_OFTEN} --recipe paper --set iql.actor=deterministic");
    kill_and_resume(&bench, &train("iql", &options), Duration::ZERO);
}

#[test]
fn a_killed_run_of_awac_resumes_to_the_bits_of_an_uninterrupted_one() {
    let bench = Workbench::new();
    kill_and_resume(&bench, &train("awac", CUT_OFTEN), Duration::ZERO);
}

#[test]
fn killed_runs_with_the_recipes_of_d3rlpy_resume_to_the_same_bits() {
    for (algorithm, options) in [
        ("td3_bc", "--set td3_bc.policy_delay=3"),
        ("awac", "--set awac.layers=2"),
        ("rebrac", "--set rebrac.policy_delay=3"),
        ("cql", "--set cql.samples=3"),
    ] {
        let bench = Workbench::new();
        let options = format!("{CUT_OFTEN} --recipe d3rlpy {options}");
        kill_and_resume(&bench, &train(algorithm, &options), Duration::ZERO);
    }
}

#[test]
fn d3rlpys_cql_has_no_multiplier() {
    let bench = Workbench::new();
    let options = "--recipe d3rlpy --dataset builtin/pendulum/mixed --steps 5 \
         --set cql.lagrange=true --run-dir run";
    let transcript = bench.transcript(&train("cql", options));
    let expected = "error: 'cql.lagrange' is true: it must be false with recipe = \"d3rlpy\"";
    assert!(transcript.contains(expected), "{transcript}");
}

#[test]
fn a_killed_run_of_rebrac_resumes_between_two_updates_of_its_actor() {
    let bench = Workbench::new();
    let run = train(
        "rebrac",
        &format!("{CUT_OFTEN} --set rebrac.policy_delay=3"),
    );
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_cql_resumes_with_its_multiplier() {
    let bench = Workbench::new();
    let options = "--set cql.samples=3 --set cql.lagrange=true --set cql.max_target_backup=true";
    let run = train("cql", &format!("{CUT_OFTEN} {options}"));
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_cal_ql_resumes_to_the_bits_of_an_uninterrupted_one() {
    let bench = Workbench::new();
    let options = "--recipe cal_ql --set cql.samples=3 --set cql.critic_layers=1";
    let run = train("cql", &format!("{CUT_OFTEN} {options}"));
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_edac_resumes_to_the_bits_of_an_uninterrupted_one() {
    let bench = Workbench::new();
    let run = train("edac", &format!("{CUT_OFTEN} --set edac.members=3"));
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_of_rvs_resumes_with_dropout() {
    let bench = Workbench::new();
    let options = format!("{CUT_OFTEN} --set rvs.dropout=0.2 --set evaluation.targets=sweep:2");
    kill_and_resume(&bench, &train("rvs", &options), Duration::ZERO);
}

#[test]
fn a_killed_run_of_rvs_resumes_with_discrete_actions() {
    let bench = Workbench::new();
    let options = CUT_OFTEN.replace("pendulum", "cartpole") + " --set rvs.normalise=true";
    kill_and_resume(&bench, &train("rvs", &options), Duration::ZERO);
}

#[test]
fn rvs_follows_a_target_averaged_over_the_longest_episode() {
    let bench = Workbench::new();
    let options = "--dataset builtin/pendulum/mixed --steps 2000 --set rvs.width=64 \
         --set rvs.batch_size=128 --set evaluation.every=0 \
         --set evaluation.targets=-200,-1000 --set evaluation.final_episodes=20 --run-dir run";
    bench.succeed(&train("rvs", options));
    let plan = fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: toml::Table = plan.parse().unwrap();
    assert_eq!(plan["rvs"]["horizon"].as_integer(), Some(200));
    let summary = fs::read(bench.path("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let mean = |index: usize| {
        summary["evaluations"][index]["return_mean"]
            .as_f64()
            .unwrap()
    };
    assert!(mean(0) > -450.0, "target -200, got {}", mean(0));
    assert!(mean(1) < -750.0, "target -1000, got {}", mean(1));
}

#[test]
fn discrete_actions_are_refused() {
    let bench = Workbench::new();
    for algorithm in ["td3_bc", "iql", "awac", "rebrac", "cql", "edac"] {
        let options = "--dataset builtin/cartpole/mixed --steps 5 --run-dir run";
        let transcript = bench.transcript(&train(algorithm, options));
        assert!(transcript.starts_with("exit code 1"), "{transcript}");
        let expected = format!("{algorithm} cannot act in this action space: 2 discrete actions");
        assert!(transcript.contains(&expected), "{transcript}");
        assert!(transcript.contains("hint: "), "{transcript}");
    }
}

#[test]
fn returns_that_are_all_the_same_have_no_range() {
    let bench = Workbench::new();
    // One episode is selected.
    let options = "--recipe paper --dataset builtin/pendulum/mixed --steps 5 --run-dir run \
         --set selection.top_fraction=0.001";
    let transcript = bench.transcript(&train("iql", options));
    assert!(transcript.starts_with("exit code 1"), "{transcript}");
    let expected = "'iql.reward_scaling' is return_range: it must be none";
    assert!(transcript.contains(expected), "{transcript}");
}

#[test]
fn the_plan_of_the_paper_says_by_how_much_rewards_are_multiplied() {
    let bench = Workbench::new();
    let options = "--recipe paper --dataset builtin/pendulum/mixed --steps 1 --run-dir run \
         --set evaluation.final_episodes=1";
    bench.succeed(&train("iql", options));
    let plan = fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: toml::Table = plan.parse().unwrap();
    let scale = plan["iql"]["reward_scale"].as_float().unwrap();
    let inspected: Value =
        serde_json::from_str(&bench.succeed("inspect builtin/pendulum/mixed --json")).unwrap();
    let returns = &inspected["return"];
    let number = |name: &str| returns[name].as_f64().unwrap();
    let expected = 1000.0 / (number("max") - number("min"));
    assert!(
        (scale - expected).abs() < 1e-9 * expected,
        "{scale}, {expected}"
    );
}

/// The last evaluation's normalised score: 0 for random actions, 100 for the controller.
fn score(bench: &Workbench, algorithm: &str, options: &str) -> f64 {
    let set = |key: &str| format!("--set {algorithm}.{key}");
    let run = format!(
        "train --algorithm {algorithm} --threads 2 --dataset builtin/pendulum/expert --steps 1000 \
         --set evaluation.every=0 --set evaluation.final_episodes=20 --run-dir {algorithm} {} {} \
         {} {} {options}",
        set("width=64"),
        set("batch_size=256"),
        set("actor_learning_rate=3e-3"),
        set("critic_learning_rate=3e-3"),
    );
    bench.succeed(&run);
    let summary = fs::read(bench.path(algorithm).join("summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let last = summary["evaluations"].as_array().unwrap().last().unwrap();
    last["score"].as_f64().unwrap()
}

#[test]
fn a_thousand_updates_are_enough_to_swing_the_pendulum_up() {
    let bench = Workbench::new();
    let iql = score(&bench, "iql", "--set iql.value_learning_rate=3e-3");
    assert!(iql > 80.0, "iql: {iql}");
    let td3_bc = score(&bench, "td3_bc", "");
    assert!(td3_bc > 80.0, "td3_bc: {td3_bc}");
}
