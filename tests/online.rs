//! Learning in an environment, through the command line.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::resume::{checkpoint_tensors, kill_and_resume, measurements};
use crate::workbench::Workbench;

/// An online run of small networks; it takes `steps`.
const RUN: &str = "train --algorithm sac --env Pendulum-v1 --threads 2 --set sac.width=16 \
    --set sac.batch_size=16 --set evaluation.final_episodes=3 --set evaluation.episodes=1";

/// A random time up to this many milliseconds.
#[expect(clippy::print_stdout, reason = "printed where a test fails")]
pub(crate) fn some_time(most: u32) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = Duration::from_millis(u64::from(now.subsec_nanos() % most));
    println!("killed {later:?} after the first checkpoint");
    later
}

#[test]
fn a_run_killed_at_any_moment_resumes_to_the_bits_of_an_uninterrupted_one() {
    // The buffer is full after 700 steps, and episodes are cut in their middle.
    for options in [
        "",
        "--recipe sb3 --set sac.environments=3 --set sac.n_step=3 \
         --set sac.exploration=ornstein_uhlenbeck",
    ] {
        let bench = Workbench::new();
        let run = format!(
            "{RUN} {options} --steps 2400 --seed 3 --set sac.learning_starts=50 \
             --set sac.capacity=700 --set checkpoint_every=70 --set evaluation.every=900 \
             --set logging.every=31"
        );
        kill_and_resume(&bench, &run, some_time(300));
        let tensors = checkpoint_tensors(&bench, "cut");
        for name in [
            "actor.net.4.weight",
            "critic_2.net.0.weight",
            "critic_2_target.net.0.weight",
            "log_alpha",
            "rtg.log_alpha.second_moment",
            "rtg.critic.first_moment",
            "rtg.replay.rows",
            "rtg.replay.final_observations",
        ] {
            assert!(tensors.iter().any(|(found, _)| found == name), "{name}");
        }
        // Observation, action, reward, terminated, successor.
        let replay = tensors.iter().find(|(name, _)| name == "rtg.replay.rows");
        assert_eq!(replay.unwrap().1.len(), 4 * 700 * (3 + 1 + 3));
    }
}

#[test]
fn a_killed_td3_resumes_to_the_bits_of_an_uninterrupted_one() {
    // Checkpoints fall between two moves of the actor.
    // Noise that is correlated in time continues where it was.
    for options in [
        "",
        "--recipe sb3 --set td3.environments=3",
        "--set td3.exploration=ornstein_uhlenbeck --set td3.exploration_noise=0.5",
    ] {
        let bench = Workbench::new();
        let run = format!(
            "train --algorithm td3 --env Pendulum-v1 --threads 2 {options} --steps 2400 --seed 3 \
             --set td3.hidden=[16,12] --set td3.batch_size=16 --set td3.learning_starts=50 \
             --set td3.capacity=700 --set td3.policy_delay=3 --set checkpoint_every=70 \
             --set evaluation.every=900 --set evaluation.episodes=1 \
             --set evaluation.final_episodes=3 --set logging.every=31"
        );
        kill_and_resume(&bench, &run, some_time(300));
        let tensors = checkpoint_tensors(&bench, "cut");
        for name in [
            "actor_target.net.4.weight",
            "critic_2_target.net.0.weight",
            "rtg.actor.first_moment",
            "rtg.replay.rows",
        ] {
            assert!(tensors.iter().any(|(found, _)| found == name), "{name}");
        }
    }
}

/// The actions in a run's replay buffer, in halves of Pendulum's range.
fn actions(bench: &Workbench, run: &str) -> Vec<f32> {
    let tensors = checkpoint_tensors(bench, run);
    let rows = tensors.iter().find(|(name, _)| name == "rtg.replay.rows");
    // Observation, action, reward, terminated, successor.
    let rows = rows.unwrap().1.chunks_exact(4 * (3 + 1 + 3));
    let action = |row: &[u8]| f32::from_le_bytes(row[12..16].try_into().unwrap());
    rows.map(|row| action(row) / 2.0).collect()
}

#[test]
fn correlated_noise_is_added_to_random_actions_and_to_those_of_the_policy() {
    let bench = Workbench::new();
    let noise = "exploration=ornstein_uhlenbeck --set";
    let random = |name: &str, options: &str| {
        let options = format!("--steps 150 --set sac.learning_starts=150 {options}");
        bench.succeed(&format!("{RUN} {options} --run-dir {name}"));
        actions(&bench, name)
    };
    let plain = random("plain", "");
    let options = format!("--set sac.{noise} sac.exploration_noise=0.5");
    let noisy = random("noisy", &options);
    // The same random actions, so the difference is the noise, where the sum was not clipped.
    let noise_of = |step: usize| (noisy[step].abs() < 1.0).then(|| noisy[step] - plain[step]);
    let noises: Vec<Option<f32>> = (0..150).map(noise_of).collect();
    let steps = noises
        .windows(2)
        .filter_map(|pair| Some((pair[1]? - pair[0]?).abs()));
    let steps: Vec<f32> = steps.collect();
    assert!(steps.len() > 50, "{} steps", steps.len());
    // 0.05 is the standard deviation of a step.
    let largest = steps.iter().copied().fold(0.0, f32::max);
    assert!((0.05..0.3).contains(&largest), "{largest}");
    let furthest = noises.iter().flatten().map(|noise| noise.abs());
    assert!(furthest.fold(0.0, f32::max) > 0.2, "it wanders");

    // An actor before it has learned much: its own actions change slowly.
    let td3 = |name: &str, options: &str| {
        bench.succeed(&format!(
            "train --algorithm td3 --env Pendulum-v1 --steps 150 --set td3.hidden=[16,12] \
             --set td3.batch_size=16 --set td3.learning_starts=0 --set evaluation.episodes=1 \
             --set evaluation.final_episodes=1 --set td3.exploration_noise=0.5 {options} \
             --run-dir {name}"
        ));
        let steps = actions(&bench, name);
        let steps = steps.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        steps.fold(0.0, f32::max)
    };
    let independent = td3("gaussian", "");
    let correlated = td3("correlated", "--set td3.exploration=ornstein_uhlenbeck");
    assert!(
        independent > 1.0 && correlated < 0.6,
        "{independent}, {correlated}"
    );
}

#[test]
fn the_logging_interval_does_not_change_what_is_learned() {
    let bench = Workbench::new();
    for (run, every) in [("often", 1), ("seldom", 200)] {
        bench.succeed(&format!(
            "{RUN} --steps 200 --set sac.environments=4 --set sac.update_every=3 \
             --set logging.every={every} --run-dir {run}"
        ));
    }
    let tensors = |run| checkpoint_tensors(&bench, run);
    assert!(tensors("often") == tensors("seldom"));
}

#[test]
fn both_axes_are_in_the_metrics() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "{RUN} --steps 450 --set sac.update_every=2 --set sac.updates=3 --set logging.every=15 \
         --run-dir run"
    ));
    let lines = measurements(&bench, "run");
    let axis = |name: &str| -> Vec<f64> {
        let numbers = lines.iter().filter_map(|line| line[name].as_f64());
        numbers.collect()
    };
    let steps = axis("train/environment_steps");
    assert_eq!(
        steps,
        (1..=30).map(|n| 15.0 * f64::from(n)).collect::<Vec<_>>()
    );
    // Three updates after every second step, but none in the tenth of the run that is the warm-up.
    let expected = |steps: f64| 3.0 * ((steps / 2.0).floor() - 22.0).max(0.0);
    let expected: Vec<f64> = steps.iter().map(|steps| expected(*steps)).collect();
    assert_eq!(axis("train/updates"), expected);
    for name in [
        "critic_loss",
        "actor_loss",
        "alpha_loss",
        "alpha",
        "entropy",
        "q",
        "q_target",
    ] {
        let values = axis(&format!("train/{name}"));
        assert_eq!(values.len(), 27, "{name}");
    }
    // Two episodes have ended.
    assert_eq!(axis("train/episode_return").len(), 2);
    assert_eq!(axis("train/episode_length"), [200.0, 200.0]);
}

#[test]
fn every_command_accepts_an_online_run() {
    let bench = Workbench::new();
    let table = bench.succeed(&format!("{RUN} --steps 60 --run-dir run"));
    assert!(table.contains("| sac | cleanrl |"), "{table}");
    let evaluate = |rows: usize| {
        let arguments = format!("evaluate run --episodes 5 --rows {rows} --json");
        let mut answer: Value = serde_json::from_str(&bench.succeed(&arguments)).unwrap();
        answer["seconds"] = Value::Null;
        answer
    };
    let one = evaluate(1);
    assert_eq!(one["targets"][0]["returns"].as_array().unwrap().len(), 5);
    for rows in [2, 5] {
        assert_eq!(one, evaluate(rows), "{rows} rows");
    }
    bench.succeed("evaluate run --episodes 2 --checkpoint best");
    bench.succeed("collect --policy run --steps 250 --out own-v0 --format hdf5");
    let mixed =
        "collect --policy run --mixture mixed --steps 4000 --seed 3 --out ./mixed-v0 --json";
    let mixed: Value = serde_json::from_str(&bench.succeed(mixed)).unwrap();
    assert_eq!(mixed["steps"], 4000, "{mixed}");
    let metadata = fs::read_to_string(bench.path("mixed-v0/data/metadata.json")).unwrap();
    assert!(metadata.contains("25 % with noise 0.5"), "{metadata}");
    let transcript =
        bench.transcript("collect --env Pendulum-v1 --mixture mixed --steps 9 --out ./x-v0");
    let expected =
        "error: a mixture of the random policy is random: --mixture needs another policy";
    assert!(transcript.contains(expected), "{transcript}");
    let film = bench.succeed("render run --out film");
    assert!(film.starts_with("episode 1: return "), "{film}");
    let report = bench.succeed("report run");
    assert!(report.contains("| sac | cleanrl |"), "{report}");
    bench.succeed("report run --out report.html");
    let page = fs::read_to_string(bench.path("report.html")).unwrap();
    assert!(page.contains("Pendulum-v1"));
}

#[test]
fn the_replay_buffer_of_a_run_is_a_dataset() {
    let bench = Workbench::new();
    bench.succeed(&format!("{RUN} --steps 450 --run-dir run"));
    let said = bench.succeed("convert run ./medium-replay-v0");
    assert!(said.contains("3 episodes, 450 steps as hdf5"), "{said}");
    let inspected: Value =
        serde_json::from_str(&bench.succeed("inspect ./medium-replay-v0 --json")).unwrap();
    assert_eq!(inspected["env"], "Pendulum-v1", "{inspected}");
    let clone = "train --algorithm td3_bc --dataset ./medium-replay-v0 --steps 2 \
         --set td3_bc.width=8 --set evaluation.final_episodes=1 --run-dir clone";
    bench.succeed(clone);
    let transcript = bench.transcript("convert clone ./other-v0");
    let expected = "error: this run keeps no replay buffer: clone/checkpoints/latest.safetensors";
    assert!(transcript.contains(expected), "{transcript}");
}

#[test]
fn a_dataset_fills_the_buffer_before_the_first_step() {
    let bench = Workbench::new();
    let run = format!(
        "{RUN} --dataset builtin/pendulum/random --set selection.validation_fraction=0.2 --steps 20"
    );
    bench.succeed(&format!("{run} --set sac.learning_starts=0 --run-dir run"));
    let tensors = checkpoint_tensors(&bench, "run");
    let replay = tensors.iter().find(|(name, _)| name == "rtg.replay.rows");
    let held = replay.unwrap().1.len() / (4 * (3 + 1 + 3));
    assert!(held > 1000 && (held - 20).is_multiple_of(200), "{held}");
    let lines = measurements(&bench, "run");
    let validated = |line: &Value| line["validation/critic_loss"].is_number();
    assert!(lines.iter().any(validated));
    let transcript = bench.transcript(&format!("{run} --set sac.capacity=300 --run-dir small"));
    let expected = format!(
        "error: 'sac.capacity' is 300: it must be at least {}",
        held - 20
    );
    assert!(transcript.contains(&expected), "{transcript}");
    assert!(!bench.path("small").exists());
}

#[test]
fn an_unsuitable_environment_is_one_error_with_a_hint() {
    let bench = Workbench::new();
    for (arguments, expected) in [
        (
            "train --algorithm sac",
            "error: no environment given\nhint: name one with --env ID; `rtg envs` lists them",
        ),
        (
            "train --algorithm sac --env CartPole-v1",
            "error: sac cannot act in this action space: 2 discrete actions\nhint: `rtg envs`",
        ),
        (
            "train --algorithm sac --env Pendulum-v2",
            "error: unknown environment 'Pendulum-v2'",
        ),
        (
            "train --algorithm td3 --env CartPole-v1",
            "error: td3 cannot act in this action space: 2 discrete actions\nhint: `rtg envs`",
        ),
        (
            "train --algorithm sac --env Pendulum-v1 --set sac.tau=0",
            "error: 'sac.tau' is 0: it must be greater than 0 and at most 1",
        ),
    ] {
        let transcript = bench.transcript(arguments);
        assert!(transcript.starts_with("exit code 1"), "{transcript}");
        assert!(transcript.contains(expected), "{arguments}: {transcript}");
        assert!(!bench.path("runs").exists(), "{arguments}");
    }
}
