//! Decision Transformers that continue in the environment, through the command line.

use safetensors::SafeTensors;

use crate::online::some_time;
use crate::resume::{checkpoint_tensors, kill_and_resume, measurements};
use crate::workbench::{TINY, Workbench};

/// A run on a dataset, in the folder `former`.
fn offline(bench: &Workbench, options: &str) {
    bench.succeed(&format!(
        "train --dataset builtin/pendulum/random --steps 20 {TINY} {options} --run-dir former"
    ));
}

/// The numbers of new trajectories in a run's checkpoint: rewards are f64.
fn new_steps(bench: &Workbench, run: &str) -> usize {
    let tensors = checkpoint_tensors(bench, run);
    let name = "rtg.trajectories.rewards";
    let rewards = tensors.iter().find(|(found, _)| found == name);
    rewards.expect("a replay of trajectories").1.len() / 8
}

/// The metadata of a run's checkpoint.
fn notes(bench: &Workbench, run: &str) -> serde_json::Value {
    let path = bench.path(run).join("checkpoints/latest.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&metadata.metadata().as_ref().unwrap()["rtg"]).unwrap()
}

#[test]
fn three_episodes_join_a_replay_of_four_and_updates_follow_each() {
    let bench = Workbench::new();
    offline(&bench, "--recipe online_dt");
    bench.succeed("train --from former --steps 0 --run-dir start");
    let weights = |run: &str| {
        let path = bench.path(run).join("checkpoints/weights.safetensors");
        std::fs::read(path).unwrap()
    };
    assert!(weights("start") == weights("former"));
    // Pendulum's episodes have 200 steps. The run ends within the fourth.
    bench.succeed(
        "train --from former --steps 650 --set trajectories.capacity=4 \
         --set trajectories.updates=5 --set logging.every=50 --run-dir run",
    );
    assert!(weights("run") != weights("former"));
    assert_eq!(new_steps(&bench, "run"), 650);
    let notes = notes(&bench, "run");
    let interaction = &notes["interaction"];
    assert_eq!(interaction["steps"], 650);
    assert_eq!(interaction["updates"], 15);
    // The optimiser's count continues.
    assert_eq!(notes["learner"]["updates"], 35);
    let trajectories = &interaction["trajectories"];
    let places = trajectories["places"].as_array().unwrap();
    let is_new: Vec<bool> = places.iter().map(serde_json::Value::is_null).collect();
    // The three worst of the dataset's best four left, in their order.
    assert_eq!(is_new, [true, true, true, false], "{trajectories}");
    assert_eq!(trajectories["next"], 3);
    let lines = measurements(&bench, "run");
    let last = |name: &str| lines.iter().rev().find_map(|line| line[name].as_f64());
    assert_eq!(last("train/environment_steps"), Some(650.0));
    assert_eq!(last("train/updates"), Some(15.0));
    for metric in [
        "train/episode_return",
        "train/nll",
        "train/entropy",
        "train/alpha",
    ] {
        assert!(last(metric).is_some(), "{metric}");
    }
    let plan = std::fs::read_to_string(bench.path("run/experiment.toml")).unwrap();
    let plan: toml::Table = plan.parse().unwrap();
    let table = &plan["trajectories"];
    assert_eq!(table["drop_worst"].as_bool(), Some(true));
    // Twice the first target of evaluations; Pendulum's are not positive.
    assert_eq!(table["target"].as_float(), Some(0.0));
    // A run that continues it starts with the dataset again, and counts on.
    bench.succeed(
        "train --from run --steps 200 --set trajectories.updates=2 --run-dir again \
         --set trajectories.drop_worst=false --set trajectories.target=-100",
    );
    let notes = self::notes(&bench, "again");
    assert_eq!(notes["learner"]["updates"], 37);
    // The replay as a dataset: the best of the recorded trajectories and three new ones, of which
    // a second run can start. The fourth had not ended.
    let said = bench.succeed("convert run ./replay-v0");
    assert!(said.contains("4 episodes, 800 steps as hdf5"), "{said}");
    bench.succeed(&format!(
        "train --recipe online_dt {TINY} --dataset ./replay-v0 --steps 2 --run-dir second"
    ));
    let path = bench.path("replay-v0").display().to_string();
    let replay = rtg_datasets::open(&path, None).unwrap();
    let env = replay.info().env_spec.as_ref().unwrap().environment();
    assert_eq!(env, "Pendulum-v1");
    let found = replay.iter().skip(1).map(|episode| episode.return_());
    let played = (lines.iter()).filter_map(|line| line["train/episode_return"].as_f64());
    let pairs: Vec<[f64; 2]> = found.zip(played).map(|(a, b)| [a, b]).collect();
    assert_eq!(pairs.len(), 3);
    assert!(pairs.iter().all(|[a, b]| (a - b).abs() < 1e-6), "{pairs:?}");
}

#[test]
fn a_killed_run_resumes_to_the_bits_of_an_uninterrupted_one() {
    for options in [
        "--recipe online_dt --set evaluation.acting=streaming",
        "--set decision_transformer.action_head=gaussian --set parts=2",
        "--recipe reinformer --set optimiser.schedule=cosine",
    ] {
        let bench = Workbench::new();
        offline(&bench, options);
        let run = "train --from former --steps 900 --seed 5 --set checkpoint_every=35 \
             --set evaluation.every=450 --set logging.every=31 --set trajectories.updates=20 \
             --set trajectories.capacity=4";
        kill_and_resume(&bench, run, some_time(300));
    }
}

#[test]
fn rows_of_evaluations_and_pauses_change_no_bit() {
    let bench = Workbench::new();
    offline(&bench, "--recipe online_dt");
    let run = "train --from former --steps 450 --set trajectories.updates=5";
    bench.succeed(&format!("{run} --run-dir one"));
    bench.succeed(&format!(
        "{run} --set evaluation.every=70 --set evaluation.episodes=3 --set logging.every=13 \
         --set checkpoint_every=11 --run-dir other"
    ));
    assert!(checkpoint_tensors(&bench, "one") == checkpoint_tensors(&bench, "other"));
}

#[test]
fn what_cannot_continue_is_one_error() {
    let bench = Workbench::new();
    offline(&bench, "--recipe online_dt");
    for (name, options) in [("tanh", ""), ("predicts", "--recipe reinformer")] {
        bench.succeed(&format!(
            "train --dataset builtin/pendulum/random --steps 2 {TINY} {options} --run-dir {name}"
        ));
    }
    for (arguments, expected) in [
        (
            "train --from tanh --steps 5",
            "action_head' is deterministic: it must be squashed_gaussian or gaussian",
        ),
        (
            "train --from predicts --steps 5 --set trajectories.target=3",
            "'trajectories.target' is 3: it must be omitted: this decision_transformer predicts",
        ),
        (
            "train --from former --steps 5 --set online.updates=3",
            "'online' is a table: it must be omitted: it is for offline algorithms",
        ),
        (
            "train --set trajectories.updates=3",
            "'trajectories' is a table: it must be omitted: it is for Decision Transformers",
        ),
        (
            "train --from former --steps 5 --set trajectories.capacity=0",
            "'trajectories.capacity' is 0: it must be between 1",
        ),
        (
            "train --from former --steps 5 --device cuda",
            "action_head' is squashed_gaussian: it must be tanh or logits on a GPU",
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
