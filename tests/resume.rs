//! A killed run that is resumed ends with the same bits as one that was never interrupted.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::workbench::{TINY, Workbench, repository};

const RUN: &str = "train --recipe official --steps 120 --seed 3 --set checkpoint_every=7 \
    --set optimiser.accumulation=2 --set evaluation.every=40 \
    --set selection.validation_fraction=0.3";

#[test]
fn a_run_killed_in_the_middle_resumes_to_the_bits_of_an_uninterrupted_one() {
    let bench = Workbench::new();
    let run = format!("{RUN} {TINY} --dataset builtin/pendulum/mixed");
    kill_and_resume(&bench, &run, Duration::ZERO);
}

#[test]
fn a_killed_run_with_prefetched_batches_resumes_and_equals_the_one_in_memory() {
    let bench = Workbench::new();
    let data = repository("datasets/fixtures/minari/tiny/pendulum-v0");
    let run = format!("{RUN} {TINY} --dataset {}", data.display());
    let mapped = format!("{run} --set store=mapped");
    kill_and_resume(&bench, &mapped, Duration::ZERO);
    bench.succeed(&format!("{run} --set store=memory --run-dir memory"));
    assert_eq!(
        measurements(&bench, "whole"),
        measurements(&bench, "memory")
    );
    assert_eq!(
        checkpoint_tensors(&bench, "whole"),
        checkpoint_tensors(&bench, "memory")
    );
}

/// Compares an uninterrupted run, `whole`, with one that is killed this long after its first
/// checkpoint and resumed, `cut`.
pub(crate) fn kill_and_resume(bench: &Workbench, run: &str, later: Duration) {
    cut_and_resume(bench, run, later, |mut child| {
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

/// [`kill_and_resume`] with an end other than a kill. A run that is done by then is repeated and
/// ended earlier.
pub(crate) fn cut_and_resume(
    bench: &Workbench,
    run: &str,
    mut later: Duration,
    end: impl Fn(Child),
) {
    bench.succeed(&format!("{run} --run-dir whole"));

    let latest = bench.path("cut/checkpoints/latest.safetensors");
    loop {
        let child = bench
            .command(&format!("{run} --run-dir cut"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let patience = Instant::now();
        while !latest.exists() {
            assert!(
                patience.elapsed() < Duration::from_mins(1),
                "no checkpoint was written"
            );
            sleep(Duration::from_millis(1));
        }
        sleep(later);
        end(child);
        if !bench.path("cut/summary.json").exists() {
            break;
        }
        assert!(!later.is_zero(), "the run ended before it could be killed");
        fs::remove_dir_all(bench.path("cut")).unwrap();
        later = if later.as_millis() < 10 {
            Duration::ZERO
        } else {
            later / 4
        };
    }

    bench.succeed(&format!("{run} --run-dir cut --resume"));
    for file in ["checkpoints/weights.safetensors", "experiment.toml"] {
        let read = |run: &str| fs::read(bench.path(run).join(file)).unwrap();
        assert!(read("whole") == read("cut"), "{file} differs");
    }
    assert_eq!(measurements(bench, "whole"), measurements(bench, "cut"));
    let (whole, cut) = (
        checkpoint_tensors(bench, "whole"),
        checkpoint_tensors(bench, "cut"),
    );
    assert_eq!(whole.len(), cut.len());
    let pairs = whole.iter().zip(&cut);
    let differ: Vec<_> = pairs.filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
    assert!(differ.is_empty(), "{differ:?} differ");
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let bench = Workbench::new();
    let weights = |run: &str, seed: u64| {
        bench.succeed(&format!(
            "train --steps 10 --seed {seed} {TINY} --run-dir {run}"
        ));
        fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap()
    };
    let first = weights("a", 1);
    assert!(first == weights("b", 1));
    assert!(first != weights("c", 2));
}

#[test]
fn a_finished_run_continues_with_more_steps_but_not_with_another_plan() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 10 {TINY} --run-dir run"));
    bench.succeed("train --steps 20 --run-dir run --resume");
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(bench.path("run/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["steps"], 20);
    let transcript = bench.transcript("train --seed 9 --run-dir run --resume");
    assert!(
        transcript.contains("error: the run was made with seed = 0, not 9"),
        "{transcript}"
    );
}

#[test]
fn the_same_command_starts_resumes_or_skips_a_run() {
    let bench = Workbench::new();
    let every = "--set logging.every=1 --set evaluation.every=5 --set checkpoint_every=5";
    let train = |run: &str, steps: u64| {
        let run = format!("--steps {steps} {every} --run-dir {run} --resume-or-start");
        bench.succeed(&format!("train {TINY} {run}"))
    };
    let weights =
        |run: &str| fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap();
    train("whole", 12);
    let folder = bench.path("whole");
    let written = || {
        let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .map(|entry| {
                (
                    entry.file_name(),
                    entry.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let before = written();
    let table = train("whole", 12);
    assert!(table.contains("| whole | CartPole-v1 |"), "{table}");
    assert_eq!(written(), before);

    train("parts", 7);
    train("parts", 12);
    let summary = fs::read(bench.path("parts/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["steps"], 12);

    // A kill before the first checkpoint leaves some measurements and nothing to resume from.
    train("early", 12);
    for file in [
        "summary.json",
        "checkpoints/latest.safetensors",
        "checkpoints/best.safetensors",
    ] {
        fs::remove_file(bench.path("early").join(file)).unwrap();
    }
    let metrics = bench.path("early/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let first: String = text.split_inclusive('\n').take(3).collect();
    fs::write(&metrics, first).unwrap();
    train("early", 12);
    assert!(weights("early") == weights("whole"));
    assert_eq!(measurements(&bench, "early"), measurements(&bench, "whole"));

    let transcript = bench.transcript("train --run-dir whole --resume --resume-or-start");
    assert!(transcript.starts_with("exit code 2"), "{transcript}");
}

#[test]
fn slurm_says_how_many_threads_a_run_has() {
    let bench = Workbench::new();
    let options =
        "--algorithm bc --dataset builtin/cartpole/random --set evaluation.final_episodes=1";
    for (run, cpus) in [("a", "3"), ("b", "none"), ("c", "0")] {
        let mut command = bench.command(&format!("train {options} --steps 1 --run-dir {run}"));
        assert!(
            command
                .env("SLURM_CPUS_PER_TASK", cpus)
                .output()
                .unwrap()
                .status
                .success()
        );
        let plan = fs::read_to_string(bench.path(run).join("experiment.toml")).unwrap();
        let cores = std::thread::available_parallelism().unwrap().to_string();
        let threads = if run == "a" { "3" } else { &cores };
        assert!(plan.contains(&format!("threads = {threads}\n")), "{plan}");
    }
}

/// metrics.jsonl without times.
pub(crate) fn measurements(bench: &Workbench, run: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(bench.path(run).join("metrics.jsonl")).unwrap();
    let mut lines: Vec<_> = (text.lines())
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            fields.retain(|name, _| name != "wall_secs" && !name.starts_with("speed/"));
            line
        })
        .collect();
    // An evaluation beside training is recorded when it ends.
    lines.sort_by_key(|line| line["step"].as_u64());
    lines
}

/// Weights and optimiser state, without the metadata (which contains the seconds spent).
pub(crate) fn checkpoint_tensors(bench: &Workbench, run: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(bench.path(run).join("checkpoints/latest.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec()))
        .collect();
    tensors.sort();
    tensors
}

#[test]
fn a_run_does_not_resume_without_its_checkpoint_or_with_another_one_or_on_other_data() {
    let bench = Workbench::new();
    let train = format!("train --dataset data.csv --env CartPole-v1 --steps 6 {TINY}");
    let rows = |reward: f64| -> String {
        let header = "obs_0,obs_1,obs_2,obs_3,action,reward,terminated,truncated\n".to_owned();
        let row = |step: usize| {
            let (x, last) = (step as f64 / 50.0, u8::from(step % 10 == 9));
            format!("{x},0.1,{x},0.2,{},{reward},{last},0\n", step % 2)
        };
        header + &(0..50).map(row).collect::<String>()
    };
    bench.write("data.csv", rows(1.0).as_bytes());
    bench.succeed(&format!("{train} --run-dir run"));
    let again = "train --run-dir run --resume --steps 8";

    bench.write("data.csv", rows(2.0).as_bytes());
    let transcript = bench.transcript(again);
    assert!(
        transcript.contains("error: dataset 'data.csv' has changed"),
        "{transcript}"
    );
    bench.write("data.csv", rows(1.0).as_bytes());

    let latest = bench.path("run/checkpoints/latest.safetensors");
    let own = fs::read(&latest).unwrap();
    bench.succeed(&format!(
        "{train} --set decision_transformer.width=32 --run-dir wide"
    ));
    fs::copy(bench.path("wide/checkpoints/latest.safetensors"), &latest).unwrap();
    let transcript = bench.transcript(again);
    assert!(
        transcript.contains("its table 'decision_transformer' differs"),
        "{transcript}"
    );
    bench.succeed(
        "train --dataset data.csv --env CartPole-v1 --steps 2 --algorithm bc --run-dir clone",
    );
    fs::copy(bench.path("clone/checkpoints/latest.safetensors"), &latest).unwrap();
    let transcript = bench.transcript(again);
    assert!(transcript.contains("it is of bc"), "{transcript}");

    fs::remove_file(&latest).unwrap();
    let measured = fs::read(bench.path("run/metrics.jsonl")).unwrap();
    let transcript = bench.transcript(again);
    assert!(
        transcript.contains("measurements but no checkpoint"),
        "{transcript}"
    );
    assert!(fs::read(bench.path("run/metrics.jsonl")).unwrap() == measured);

    fs::write(&latest, own).unwrap();
    bench.succeed(again);
}
