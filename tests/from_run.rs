//! Runs that continue from another one, in the environment.

use std::fs;

use crate::online::some_time;
use crate::resume::{checkpoint_tensors, kill_and_resume, measurements};
use crate::workbench::Workbench;

/// Small networks of an algorithm, whose table is named after it.
fn small(algorithm: &str) -> String {
    format!(
        "train --algorithm {algorithm} --threads 2 --set {algorithm}.width=8 \
         --set {algorithm}.batch_size=16 --set evaluation.episodes=1 \
         --set evaluation.final_episodes=2"
    )
}

/// A run on a dataset, in the folder `former`.
fn offline(bench: &Workbench, algorithm: &str, options: &str) {
    let data = "--dataset builtin/pendulum/random --steps 40 --run-dir former";
    bench.succeed(&format!("{} {data} {options}", small(algorithm)));
}

/// Rows in the replay buffer of a run in Pendulum: observation, action, reward, terminated,
/// successor.
fn rows(tensors: &[(String, Vec<u8>)]) -> usize {
    let replay = tensors.iter().find(|(name, _)| name == "rtg.replay.rows");
    replay.expect("a replay buffer").1.len() / (4 * (3 + 1 + 3))
}

#[test]
fn every_continuous_algorithm_continues_with_its_weights_and_its_data() {
    for (algorithm, options) in [
        ("td3_bc", ""),
        ("iql", "--recipe paper"),
        ("awac", ""),
        ("awac", "--recipe d3rlpy --set awac.layers=2"),
        ("cql", "--set cql.samples=3"),
        ("cql", "--recipe d3rlpy --set cql.samples=3"),
        ("cql", "--recipe cal_ql --set cql.samples=3"),
        ("edac", "--set edac.members=3"),
    ] {
        let bench = Workbench::new();
        offline(&bench, algorithm, options);
        bench.succeed("train --from former --steps 0 --run-dir start");
        let weights =
            |run: &str| fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap();
        assert!(weights("start") == weights("former"), "{algorithm}");
        bench.succeed("train --from former --steps 250 --set online.updates=2 --run-dir run");
        assert!(weights("run") != weights("former"), "{algorithm}");
        let held = |run: &str| rows(&checkpoint_tensors(&bench, run));
        assert_eq!(held("run"), held("start") + 250, "{algorithm}");
        assert!(held("start") > 1000, "{algorithm}");
        let plan = fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
        let plan: toml::Table = plan.parse().unwrap();
        assert_eq!(plan["from"].as_str(), Some("former"));
        assert_eq!(plan["online"]["updates"].as_integer(), Some(2));
        assert_eq!(plan[algorithm]["width"].as_integer(), Some(8));
        let lines = measurements(&bench, "run");
        let last = |name: &str| lines.iter().rev().find_map(|line| line[name].as_f64());
        assert_eq!(last("train/environment_steps"), Some(250.0));
        assert_eq!(last("train/updates"), Some(500.0));
        assert!(last("train/episode_return").is_some());
    }
}

#[test]
fn one_with_discrete_actions_explores_with_its_probabilities() {
    let bench = Workbench::new();
    for algorithm in ["discrete_iql", "discrete_awac"] {
        let run = small(algorithm);
        bench.succeed(&format!(
            "{run} --dataset builtin/cartpole/random --steps 40 --run-dir {algorithm}"
        ));
        bench.succeed(&format!(
            "train --from {algorithm} --steps 100 --run-dir {algorithm}-online"
        ));
        let tensors = checkpoint_tensors(&bench, &format!("{algorithm}-online"));
        assert!(tensors.iter().any(|(name, _)| name == "rtg.replay.rows"));
    }
}

#[test]
fn a_killed_continuation_resumes_to_the_bits_of_an_uninterrupted_one() {
    for (algorithm, options) in [
        ("iql", "--set iql.actor_dropout=0.2"),
        ("td3_bc", "--set td3_bc.policy_delay=3"),
    ] {
        let bench = Workbench::new();
        offline(&bench, algorithm, options);
        let run = "train --from former --steps 1200 --seed 5 --set checkpoint_every=35 \
             --set evaluation.every=450 --set logging.every=31 --set online.environments=3 \
             --set online.capacity=60500";
        kill_and_resume(&bench, run, some_time(200));
    }
}

#[test]
fn a_continuation_with_half_of_each_batch_from_the_dataset_resumes_exactly() {
    let bench = Workbench::new();
    offline(&bench, "cql", "--recipe cal_ql --set cql.samples=3");
    let run = "train --from former --steps 300 --seed 5 --set checkpoint_every=35 \
         --set evaluation.every=150 --set online.dataset_share=0.5";
    kill_and_resume(&bench, run, some_time(100));
    let bounded = |run: &str| {
        let lines = measurements(&bench, run);
        lines
            .iter()
            .any(|line| line["train/bounded_share"].is_number())
    };
    // The bound is disabled online.
    assert!(bounded("former") && !bounded("whole"));
    // The buffer contains its own steps only.
    assert_eq!(rows(&checkpoint_tensors(&bench, "whole")), 300);
}

#[test]
fn the_buffer_of_an_online_run_is_kept_and_new_episodes_begin() {
    let bench = Workbench::new();
    let run = "train --algorithm sac --env Pendulum-v1 --threads 2 --set sac.width=8 \
         --set sac.batch_size=16 --set evaluation.episodes=1 --set evaluation.final_episodes=1 \
         --set sac.learning_starts=20 --set sac.capacity=5000";
    bench.succeed(&format!("{run} --steps 130 --run-dir former"));
    bench.succeed("train --from former --steps 70 --run-dir run");
    let tensors = checkpoint_tensors(&bench, "run");
    assert_eq!(rows(&tensors), 200);
    // The former run's last step has no successor, nor has this one's.
    let replay = tensors.iter().find(|(name, _)| name == "rtg.replay.rows");
    let replay = rtg::nn::state_dict::floats(&replay.unwrap().1);
    let ends = replay.chunks(7).enumerate().filter(|(_, row)| row[6] < 0.0);
    let ends: Vec<usize> = ends.map(|(row, _)| row).collect();
    assert_eq!(ends, [129, 199]);
    // Updates begin at once.
    let lines = measurements(&bench, "run");
    let updates = lines
        .iter()
        .rev()
        .find_map(|line| line["train/updates"].as_f64());
    assert_eq!(updates, Some(70.0));
}

#[test]
fn a_run_that_cannot_continue_is_one_error_with_a_hint() {
    let bench = Workbench::new();
    offline(&bench, "iql", "");
    bench.succeed(
        "train --algorithm bc --set bc.width=8 --dataset builtin/pendulum/random --steps 5 \
         --set evaluation.final_episodes=1 --run-dir clone",
    );
    bench.succeed(&format!(
        "{} --dataset builtin/cartpole/random --steps 5 --run-dir cql --set \
            discrete_cql.hidden=[8]",
        small("discrete_cql").replace("--set discrete_cql.width=8", "")
    ));
    let stays = "error: this algorithm cannot continue a run in an environment\nhint: td3_bc, iql";
    for (arguments, expected) in [
        ("train --from clone --steps 5", stays),
        ("train --from cql --steps 5", stays),
        (
            "train --from former --algorithm sac --env Pendulum-v1",
            "error: 'from' is former: it must be a run whose algorithm is \"sac\"; there it is \
                \"iql\"",
        ),
        (
            "train --from former --recipe paper --steps 5",
            "error: 'from' is former: it must be a run whose recipe is \"paper\"; there it is \
                \"corl\"",
        ),
        (
            "train --from former --set iql.width=16 --steps 5",
            "error: weight 'actor.net.0.weight' has the dimensions [8, 3], the model needs [16, 3]",
        ),
        ("train --from former --env Hopper-v5 --steps 5", "error: "),
        ("train --from nowhere", "error: "),
        (
            "train --algorithm iql --dataset builtin/pendulum/random --set online.updates=2",
            "error: 'online' is a table: it must be omitted",
        ),
    ] {
        let transcript = bench.transcript(arguments);
        assert!(
            transcript.starts_with("exit code 1"),
            "{arguments}: {transcript}"
        );
        assert!(transcript.contains(expected), "{arguments}: {transcript}");
        assert!(!bench.path("runs").exists(), "{arguments}");
    }
}
