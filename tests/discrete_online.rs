//! DQN and PPO in environments, offline algorithms of discrete actions on data, through the command
//! line.

use std::time::Duration;

use serde_json::Value;

use crate::online::some_time;
use crate::resume::{checkpoint_tensors, kill_and_resume, measurements};
use crate::workbench::Workbench;

const DQN: &str = "train --algorithm dqn --env CartPole-v1 --threads 2 --set dqn.hidden=[16,12] \
    --set dqn.batch_size=16 --set evaluation.final_episodes=3 --set evaluation.episodes=1";
const PPO: &str = "train --algorithm ppo --threads 2 --set ppo.hidden=[16,12] \
    --set ppo.rollout_steps=24 --set ppo.minibatch_size=20 --set ppo.environments=3 \
    --set evaluation.final_episodes=3 --set evaluation.episodes=1";

/// Of a small run with this much between checkpoints.
fn often(checkpoints: u64) -> String {
    format!(
        "--steps 4000 --seed 3 --set checkpoint_every={checkpoints} --set evaluation.every=1500 \
         --set logging.every=31"
    )
}

#[test]
fn a_killed_dqn_resumes_to_the_bits_of_an_uninterrupted_one() {
    // The target is copied every 50 steps, episodes are cut in their middle, epsilon falls.
    for options in [
        "--set dqn.learning_starts=60",
        "--recipe sb3 --set dqn.environments=3 --set dqn.n_step=3 --set dqn.double=true \
         --set dqn.dueling=true --set dqn.tau=0.5",
    ] {
        let bench = Workbench::new();
        let often = often(70);
        let run = format!(
            "{DQN} {options} {often} --set dqn.target_every=50 --set dqn.capacity=700 \
             --set dqn.update_every=2"
        );
        kill_and_resume(&bench, &run, some_time(300));
        let tensors = checkpoint_tensors(&bench, "cut");
        for name in [
            "q.net.4.weight",
            "q_target.net.0.weight",
            "rtg.q.second_moment",
            "rtg.replay.rows",
        ] {
            assert!(tensors.iter().any(|(found, _)| found == name), "{name}");
        }
    }
}

#[test]
fn a_killed_ppo_resumes_to_the_bits_of_an_uninterrupted_one() {
    // Checkpoints fall into collections, whose steps are 72, and into rounds of three.
    for options in [
        "--env CartPole-v1",
        "--env Pendulum-v1 --recipe sb3 --set ppo.clip_schedule=linear",
    ] {
        let bench = Workbench::new();
        let run = format!("{PPO} {options} {}", often(50).replace("4000", "12000"));
        kill_and_resume(&bench, &run, some_time(300));
        let tensors = checkpoint_tensors(&bench, "cut");
        for name in [
            "actor.net.4.weight",
            "critic.net.0.weight",
            "rtg.critic.first_moment",
            "rtg.trajectories.actions",
        ] {
            assert!(tensors.iter().any(|(found, _)| found == name), "{name}");
        }
    }
}

#[test]
fn killed_offline_runs_resume_to_the_bits_of_uninterrupted_ones() {
    for own in [
        "--algorithm discrete_cql --set discrete_cql.hidden=[16] --set discrete_cql.quantiles=7 \
         --set discrete_cql.normalise=true --set discrete_cql.target_every=13",
        "--algorithm discrete_bcq --set discrete_bcq.hidden=[16] \
         --set discrete_bcq.normalise=true --set discrete_bcq.target_every=13",
        "--algorithm discrete_iql --set discrete_iql.width=16",
        "--algorithm discrete_awac --set discrete_awac.width=16",
    ] {
        let bench = Workbench::new();
        let run = format!(
            "train {own} --dataset builtin/cartpole/mixed --threads 2 --steps 600 \
             --set checkpoint_every=9 --set evaluation.every=300 --set evaluation.episodes=1 \
             --set evaluation.final_episodes=3"
        );
        kill_and_resume(&bench, &run, Duration::ZERO);
    }
}

#[test]
fn held_back_steps_are_measured_with_the_names_of_the_training() {
    let bench = Workbench::new();
    for (algorithm, names) in [
        (
            "discrete_cql",
            &["conservative_gap", "critic_loss", "q"][..],
        ),
        ("discrete_bcq", &["cloning_loss", "critic_loss", "q"]),
        ("discrete_iql", &["cloning_loss", "q"]),
        ("discrete_awac", &["cloning_loss", "q"]),
    ] {
        bench.succeed(&format!(
            "train --algorithm {algorithm} --dataset builtin/cartpole/random --steps 5 \
             --set selection.validation_fraction=0.3 --set evaluation.final_episodes=1 \
             --run-dir {algorithm}"
        ));
        let lines = measurements(&bench, algorithm);
        for name in names {
            let name = format!("validation/{name}");
            assert!(lines.iter().any(|line| line[&name].is_number()), "{name}");
        }
    }
}

#[test]
fn the_logging_interval_does_not_change_what_is_learned() {
    for run in [
        format!(
            "{DQN} --set dqn.environments=4 --set dqn.update_every=3 --set dqn.target_every=20"
        ),
        format!("{PPO} --env CartPole-v1"),
    ] {
        let bench = Workbench::new();
        for (folder, every) in [("often", 1), ("seldom", 200)] {
            bench.succeed(&format!(
                "{run} --steps 300 --set logging.every={every} --run-dir {folder}"
            ));
        }
        let tensors = |run| checkpoint_tensors(&bench, run);
        assert!(tensors("often") == tensors("seldom"), "{run}");
    }
}

#[test]
fn metrics_have_their_names_and_epsilon_falls() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "{DQN} --steps 400 --set dqn.learning_starts=100 --set dqn.update_every=2 \
         --set logging.every=50 --run-dir dqn"
    ));
    bench.succeed(&format!(
        "{PPO} --env CartPole-v1 --steps 300 --run-dir ppo"
    ));
    let curve = |run: &str, name: &str| -> Vec<f64> {
        let lines = measurements(&bench, run);
        let name = format!("train/{name}");
        lines
            .iter()
            .filter_map(|line| line[&name].as_f64())
            .collect()
    };
    for name in ["critic_loss", "q", "q_target", "episode_return"] {
        assert!(!curve("dqn", name).is_empty(), "{name}");
    }
    // From 1 to 0.05 over 200 steps; updates begin after step 100.
    let epsilon = curve("dqn", "epsilon");
    assert_eq!(epsilon.len(), 6);
    assert!(
        (epsilon[0] - (1.0 - 0.95 * 0.75)).abs() < 1e-9,
        "{epsilon:?}"
    );
    assert!((epsilon[5] - 0.05).abs() < 1e-9, "{epsilon:?}");
    for name in [
        "actor_loss",
        "critic_loss",
        "entropy",
        "kl",
        "clipped",
        "gradient_norm",
        "explained_variance",
        "learning_rate",
    ] {
        assert!(!curve("ppo", name).is_empty(), "{name}");
    }
}

#[test]
fn every_command_accepts_their_runs() {
    for (run, table) in [
        (format!("{DQN} --steps 60"), "| dqn | cleanrl |"),
        (
            format!("{PPO} --env Pendulum-v1 --steps 80"),
            "| ppo | cleanrl |",
        ),
    ] {
        let bench = Workbench::new();
        let printed = bench.succeed(&format!("{run} --run-dir run"));
        assert!(printed.contains(table), "{printed}");
        let evaluate = |rows: usize| {
            let arguments = format!("evaluate run --episodes 5 --rows {rows} --json");
            let mut answer: Value = serde_json::from_str(&bench.succeed(&arguments)).unwrap();
            answer["seconds"] = Value::Null;
            answer
        };
        assert_eq!(evaluate(1), evaluate(4));
        bench.succeed("collect --policy run --steps 250 --out own-v0 --format hdf5");
        let film = bench.succeed("render run --out film");
        assert!(film.starts_with("episode 1: return "), "{film}");
        assert!(bench.succeed("report run").contains(table));
    }
}

#[test]
fn unsuitable_environments_are_one_error_with_a_hint() {
    let bench = Workbench::new();
    for (arguments, expected) in [
        (
            "train --algorithm dqn --env Pendulum-v1",
            "error: dqn cannot act in this action space: continuous actions\nhint: `rtg envs`",
        ),
        (
            "train --algorithm discrete_cql --dataset builtin/pendulum/random",
            "error: discrete_cql cannot act in this action space: continuous actions",
        ),
        (
            "train --algorithm discrete_iql --dataset builtin/pendulum/random",
            "error: discrete_iql cannot act in this action space: continuous actions",
        ),
        (
            "train --algorithm ppo --env CartPole-v1 --dataset builtin/cartpole/random",
            "it must be omitted: ppo learns from its own steps only",
        ),
        (
            "train --algorithm dqn --env CartPole-v1 --set dqn.hidden=[16,0]",
            "error: 'dqn.hidden' is 0: it must be at least 1",
        ),
        (
            "train --algorithm ppo --env CartPole-v1 --set ppo.minibatch_size=0",
            "error: 'ppo.minibatch_size' is 0: it must be at least 1",
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
