//! Labels of a critic: compared with a Python script, and through the command line.

use std::fs;
use std::time::Duration;

use rtg::algorithms::labels::{advantages, raised_returns};
use rtg::keys::Table;
use rtg_datasets::sample::{Batch, WindowConfig};
use rtg_datasets::{Dataset, Episode, Info, LabelKind, Labels, Normaliser, WindowSampler};
use rtg_envs::{BoxSpace, Space};
use safetensors::SafeTensors;

use crate::resume::kill_and_resume;
use crate::workbench::{TINY, Workbench, repository};

/// The tensor of an episode in the fixture.
fn tensor(file: &SafeTensors, episode: usize, name: &str) -> Vec<f64> {
    let view = file.tensor(&format!("{episode}.{name}")).unwrap();
    let (numbers, rest) = view.data().as_chunks();
    assert!(rest.is_empty());
    numbers
        .iter()
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < tolerance,
            "{what}: {found}, {expected}"
        );
    }
}

#[test]
fn labels_are_those_of_the_python_script() {
    let bytes = fs::read(repository("tests/parity/labels/critic.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for episode in 0..4 {
        let of = |name: &str| tensor(&file, episode, name);
        let (rewards, values) = (of("rewards"), of("values"));
        let labels = raised_returns(&rewards, &values);
        assert_close(&labels, &of("qdt"), 1e-12, "qdt");
        let terminated = of("terminated") == [1.0];
        for lambda in [0.0, 0.5, 1.0] {
            let found = advantages(&rewards, &values, terminated, (0.9, lambda));
            let name = format!("advantages.{lambda}");
            assert_close(&found, &of(&name), 1e-12, &name);
        }

        let space = |width| Space::Box(BoxSpace::float32(&vec![-1.0; width], &vec![1.0; width]));
        let mut data = Dataset::new(Info::new("fixture", space(1), space(1)));
        let steps = rewards.len();
        let pushed = data.push(Episode {
            observations: (0..=steps).map(|step| step as f64).collect(),
            actions: vec![0.0; steps],
            rewards,
            ..Episode::default()
        });
        pushed.unwrap();
        let kind = LabelKind::Return { consistent: true };
        data.set_labels(Labels::new(kind, labels, "")).unwrap();
        let (identity, config) = (Normaliser::identity(1), WindowConfig::official(3, 1.0, 100));
        let sampler = WindowSampler::new(&data, &identity, config).unwrap();
        let mut batch = Batch::default();
        sampler.sample(&mut rtg::random::Stream::new(1, "windows"), 200, &mut batch);
        let windows = of("windows");
        let mut seen = vec![false; windows.len() / 3];
        let rows = batch.returns_to_go.chunks(3).zip(batch.timesteps.chunks(3));
        for ((told, timesteps), &length) in rows.zip(&batch.lengths) {
            if length == 3 {
                let first = timesteps[0] as usize;
                let told: Vec<f64> = told.iter().map(|&told| f64::from(told)).collect();
                assert_close(&told, &windows[3 * first..][..3], 1e-5, "window");
                seen[first] = true;
            }
        }
        assert!(seen.iter().all(|seen| *seen), "{seen:?}");
    }
}

/// A critic on a dataset, in the folder `critic`.
fn critic(bench: &Workbench, algorithm: &str, data: &str) {
    let width = match algorithm {
        "discrete_cql" => "discrete_cql.hidden=[8]".to_owned(),
        _ => format!("{algorithm}.width=8"),
    };
    bench.succeed(&format!(
        "train --algorithm {algorithm} --threads 1 --dataset {data} --steps 40 --set {width} \
         --set {algorithm}.batch_size=16 --set evaluation.final_episodes=1 --run-dir critic"
    ));
}

fn plan(bench: &Workbench, run: &str) -> Table {
    let text = fs::read_to_string(bench.path(run).join("experiment.toml")).unwrap();
    text.parse().unwrap()
}

#[test]
fn every_critic_labels_the_windows_of_a_decision_transformer() {
    for (algorithm, data) in [
        ("iql", "builtin/pendulum/random"),
        ("cql", "builtin/pendulum/random"),
        ("discrete_iql", "builtin/cartpole/random"),
        ("discrete_cql", "builtin/cartpole/random"),
    ] {
        let bench = Workbench::new();
        critic(&bench, algorithm, data);
        let run = format!("train --dataset {data} --steps 3 {TINY} --set labels.critic=critic");
        // A file may leave the critic to the command line.
        fs::write(bench.path("plan.toml"), "recipe = \"qdt\"\n").unwrap();
        bench.succeed(&format!("{run} --run-dir qdt plan.toml"));
        bench.succeed(&format!(
            "{run} --set labels.rule=advantage --run-dir advantage"
        ));
        let qdt = plan(&bench, "qdt");
        assert_eq!(qdt["labels"]["rule"].as_str(), Some("qdt"), "{algorithm}");
        assert_eq!(qdt["labels"]["consistent"].as_bool(), Some(true));
        let hash = qdt["labels"]["critic_hash"].as_str().unwrap();
        assert_eq!(hash.len(), 64);
        assert!(qdt["evaluation"].get("return_range").is_some());
        let advantage = plan(&bench, "advantage");
        assert_eq!(advantage["labels"]["critic_hash"].as_str(), Some(hash));
        assert!(advantage["evaluation"].get("return_range").is_none());
        let numbers = |run: &str| -> Vec<f64> {
            let bytes = fs::read(bench.path(run).join("labels.safetensors")).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let (numbers, _) = file.tensor("training").unwrap().data().as_chunks();
            numbers
                .iter()
                .map(|bytes| f64::from_le_bytes(*bytes))
                .collect()
        };
        let (returns, advantages) = (numbers("qdt"), numbers("advantage"));
        assert_eq!(returns.len(), advantages.len());
        assert!(returns != advantages);
        // The targets of advantages are quantiles, the deciding one in the upper tail.
        let targets = advantage["evaluation"]["targets"].as_array().unwrap();
        let target = targets[0].as_float().unwrap();
        let above = advantages.iter().filter(|label| **label > target).count();
        let share = above as f64 / advantages.len() as f64;
        assert!((0.005..0.05).contains(&share), "{share}");
        bench.succeed("evaluate qdt --targets quantile:0.9 --episodes 2");
        bench.succeed("evaluate advantage --targets 1 --episodes 2");
    }
}

#[test]
fn rvs_learns_from_labels_too() {
    let bench = Workbench::new();
    critic(&bench, "iql", "builtin/pendulum/random");
    let run = "train --algorithm rvs --threads 1 --dataset builtin/pendulum/random --steps 3 \
        --set rvs.width=8 --set evaluation.final_episodes=1 --set labels.critic=critic";
    bench.succeed(&format!("{run} --run-dir qdt"));
    bench.succeed(&format!(
        "{run} --set labels.rule=advantage --run-dir advantage"
    ));
    let horizon = |run: &str| plan(&bench, run)["rvs"]["horizon"].as_integer();
    assert_eq!((horizon("qdt"), horizon("advantage")), (Some(200), Some(1)));
}

#[test]
fn a_killed_run_with_labels_resumes_to_the_same_bits() {
    let bench = Workbench::new();
    critic(&bench, "iql", "builtin/pendulum/random");
    let run = format!(
        "train --recipe qdt --steps 120 --seed 3 --set checkpoint_every=7 {TINY} --dataset \
         builtin/pendulum/random --set labels.critic=critic"
    );
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_run_keeps_its_labels_and_those_of_other_data_are_computed_again() {
    let bench = Workbench::new();
    critic(&bench, "iql", "builtin/pendulum/random");
    let run = |name: &str, options: &str| {
        format!(
            "train --recipe qdt --seed 3 {TINY} --dataset builtin/pendulum/random --set \
             labels.critic=critic --set selection.validation_fraction=0.2 --set \
             optimiser.warmup_steps=1 --set evaluation.every=0 --run-dir {name} {options}"
        )
    };
    // The critic knows all episodes, the run would learn from some of them.
    let transcript = bench.transcript(&run("other", "--steps 5"));
    assert!(
        transcript.contains("same data and selection"),
        "{transcript}"
    );
    fs::remove_dir_all(bench.path("critic")).unwrap();
    let options = "--set selection.validation_fraction=0.2";
    bench.succeed(&format!(
        "train --algorithm iql --threads 1 --dataset builtin/pendulum/random --steps 40 --set \
         iql.width=8 --set evaluation.final_episodes=1 --run-dir critic {options}"
    ));
    bench.succeed(&run("whole", "--steps 10"));
    let file = |name: &str| bench.path(name).join("labels.safetensors");
    let labels = fs::read(file("whole")).unwrap();
    let bytes = SafeTensors::deserialize(&labels).unwrap();
    assert!(bytes.tensor("validation").is_ok(), "{:?}", bytes.names());

    // With the critic gone, the stored labels are enough.
    bench.succeed(&run("cut", "--steps 5"));
    fs::rename(bench.path("critic"), bench.path("hidden")).unwrap();
    bench.succeed("train --run-dir cut --resume --steps 10");
    let weights =
        |name: &str| fs::read(bench.path(name).join("checkpoints/weights.safetensors")).unwrap();
    assert_eq!(fs::read(file("cut")).unwrap(), labels);

    // Labels of other data do not count: without the critic that is an error, with it they are
    // computed again.
    bench.succeed(
        "train --algorithm iql --threads 1 --dataset builtin/pendulum/mixed --steps 4 --set \
         iql.width=8 --set evaluation.final_episodes=1 --run-dir stranger",
    );
    bench.succeed(&format!(
        "train --recipe qdt {TINY} --dataset builtin/pendulum/mixed --steps 2 --set \
         labels.critic=stranger --run-dir foreign"
    ));
    fs::copy(file("foreign"), file("cut")).unwrap();
    let transcript = bench.transcript("train --run-dir cut --resume --steps 12");
    assert!(transcript.contains("critic"), "{transcript}");
    assert!(transcript.starts_with("exit code 1"), "{transcript}");
    fs::rename(bench.path("hidden"), bench.path("critic")).unwrap();
    bench.succeed("train --run-dir cut --resume --steps 12");
    assert_eq!(fs::read(file("cut")).unwrap(), labels);
    bench.succeed("train --run-dir whole --resume --steps 12");
    assert!(weights("whole") == weights("cut"));

    // Nor does another critic.
    fs::remove_file(file("cut")).unwrap();
    fs::remove_dir_all(bench.path("critic")).unwrap();
    bench.succeed(&format!(
        "train --algorithm iql --threads 1 --dataset builtin/pendulum/random --steps 41 --set \
         iql.width=8 --set evaluation.final_episodes=1 --run-dir critic {options}"
    ));
    let transcript = bench.transcript("train --run-dir cut --resume --steps 14");
    assert!(
        transcript.contains("'labels.critic_hash' is"),
        "{transcript}"
    );
}

#[test]
fn labels_that_are_not_possible_are_one_error() {
    let bench = Workbench::new();
    critic(&bench, "iql", "builtin/pendulum/random");
    bench.succeed(
        "train --algorithm bc --set bc.width=8 --dataset builtin/pendulum/random --steps 5 \
         --set evaluation.final_episodes=1 --run-dir clone",
    );
    bench.succeed(
        "train --algorithm iql --threads 1 --dataset builtin/pendulum/random --steps 4 --set \
         iql.width=8 --set evaluation.final_episodes=1 --set iql.reward_shift=-1 --run-dir shifted",
    );
    let data = "--dataset builtin/pendulum/random";
    for (options, expected) in [
        (
            format!("--recipe qdt {data}"),
            "'labels.critic' is not given: it must be a run of iql, discrete_iql, cql or",
        ),
        (
            format!("--recipe qdt {data} --set labels.critic=clone"),
            "discrete_iql, cql or discrete_cql; that is one of bc",
        ),
        (
            format!("--recipe qdt {data} --set labels.critic=nowhere"),
            "nowhere",
        ),
        (
            format!("--recipe qdt {data} --set labels.critic=shifted"),
            "a run with reward_shift = 0",
        ),
        (
            "--recipe qdt --dataset builtin/pendulum/mixed --set labels.critic=critic".to_owned(),
            "a run on the same data and selection",
        ),
        (
            "--recipe qdt --dataset builtin/cartpole/random --set labels.critic=critic".to_owned(),
            "the model is made for observations of 3 numbers",
        ),
        (
            format!("--algorithm bc {data} --set labels.critic=critic"),
            "omitted: bc does not learn from returns-to-go",
        ),
        (
            format!(
                "{data} --set labels.critic=critic --set labels.rule=advantage --set \
                 evaluation.return_range=[0,1]"
            ),
            "omitted: the targets are advantages, not returns",
        ),
        (
            format!("{data} --recipe qdt --set labels.critic=critic --device cuda"),
            "'labels.consistent' is true: it must be false on a GPU",
        ),
        (
            format!("{data} --set labels.critic=critic --set labels.rule=best"),
            "'labels.rule' is best: it must be qdt or advantage",
        ),
    ] {
        let transcript = bench.transcript(&format!("train {options} --steps 3 --run-dir run"));
        assert!(
            transcript.starts_with("exit code 1"),
            "{options}: {transcript}"
        );
        assert!(transcript.contains(expected), "{options}: {transcript}");
        assert!(transcript.contains("hint: "), "{options}: {transcript}");
        assert!(!bench.path("run").exists(), "{options}");
    }
}
