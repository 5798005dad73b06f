//! SIGINT and SIGTERM stop long work at its next whole step, keep its state and say how to resume.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::resume::cut_and_resume;
use crate::workbench::{TINY, Workbench};

/// Sends a signal and waits for the end.
pub(crate) fn signal(child: Child, name: &str) -> Output {
    send(&child, name);
    child.wait_with_output().unwrap()
}

fn send(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &command])
            .status()
            .unwrap()
            .success()
    );
}

fn start(bench: &Workbench, arguments: &str) -> Child {
    let mut command = bench.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !is_there() {
        assert!(
            patience.elapsed() < Duration::from_mins(1),
            "{what} did not appear"
        );
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_interrupted_training_resumes_to_the_bits_of_an_uninterrupted_one() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let bench = Workbench::new();
        let run =
            format!("train --steps 400 {TINY} --set checkpoint_every=9 --set evaluation.every=100");
        cut_and_resume(&bench, &run, Duration::from_millis(5), |child| {
            let output = signal(child, name);
            assert_eq!(output.status.code(), Some(code));
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(&format!(
                "error: interrupted by SIG{name}; the run is at step "
            )));
            assert!(
                said.contains("hint: resume with `rtg train --run-dir cut --resume`"),
                "{said}"
            );
        });
    }
}

#[test]
fn an_interrupted_evaluation_is_repeated() {
    let bench = Workbench::new();
    let run = format!("train --steps 30 --set evaluation.every=10 {TINY}");
    let run = run.replace("evaluation.episodes=2", "evaluation.episodes=600");
    let child = start(&bench, &format!("{run} --run-dir run"));
    // Its first checkpoint comes after its first evaluation, so this one is in the first or later.
    wait_for("a measurement", || {
        fs::metadata(bench.path("run/metrics.jsonl")).is_ok()
    });
    sleep(Duration::from_millis(200));
    let output = signal(child, "TERM");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    bench.succeed("train --run-dir run --resume");
    bench.succeed(&format!("{run} --run-dir whole"));
    let evaluations = |run: &str| -> serde_json::Value {
        let text = fs::read(bench.path(run).join("summary.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["evaluations"].clone()
    };
    assert_eq!(evaluations("run"), evaluations("whole"));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let bench = Workbench::new();
    // One step of an hour.
    let run = format!("train --steps 1 {TINY} --set optimiser.accumulation=10000 --run-dir run");
    let run = run.replace(
        "decision_transformer.width=16",
        "decision_transformer.width=256",
    );
    let mut child = start(&bench, &run);
    wait_for("the run", || bench.path("run/metrics.jsonl").exists());
    sleep(Duration::from_millis(500));
    send(&child, "INT");
    sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the step has ended");
    let began = Instant::now();
    let output = signal(child, "INT");
    assert_eq!(output.status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_mins(1));
}

#[test]
fn an_interrupted_collection_keeps_its_steps() {
    let bench = Workbench::new();
    let collect = "collect --env Acrobot-v1 --policy controller --noise 0.4 --steps 60000";
    let child = start(&bench, &format!("{collect} --out ./cut-v0"));
    wait_for("an episode", || {
        fs::metadata(bench.path(".cut-v0.journal")).is_ok_and(|journal| journal.len() > 100_000)
    });
    let output = signal(child, "TERM");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(
        said.contains("steps are kept\nhint: resume with the same command and --resume"),
        "{said}"
    );
    bench.succeed(&format!("{collect} --out ./cut-v0 --resume"));
    bench.succeed(&format!("{collect} --out ./whole-v0"));
    let hash = |name: &str| -> serde_json::Value {
        let text = bench.succeed(&format!("inspect {name} --json"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["hash"].clone()
    };
    assert!(hash("./cut-v0").is_string());
    assert_eq!(hash("./cut-v0"), hash("./whole-v0"));
}

#[test]
fn an_interrupted_sweep_lets_its_runs_write_checkpoints() {
    let bench = Workbench::new();
    let plan = "[base]\ndataset = \"builtin/cartpole/random\"\nalgorithm = \"bc\"\nsteps = 4000\nthreads = 1\n\
                evaluation = { every = 0, episodes = 1, final_episodes = 2 }\noptimiser.batch_size = 8\n\
                logging.every = 5\n[grid]\nseed = [0, 1, 2]\n";
    bench.write("plan.toml", plan.as_bytes());
    let child = start(&bench, "sweep plan.toml --workers 2");
    let runs = bench.path("sweeps/plan/runs");
    let latest = |seed: u8| runs.join(format!("seed-{seed}/checkpoints/latest.safetensors"));
    wait_for("two runs", || {
        (0..2).all(|seed| {
            let metrics = runs.join(format!("seed-{seed}/metrics.jsonl"));
            fs::metadata(metrics).is_ok()
        })
    });
    sleep(Duration::from_millis(100));
    let output = signal(child, "TERM");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(
        said.contains("error: interrupted by SIGTERM; 0 of 3 runs are done"),
        "{said}"
    );
    assert!(latest(0).exists() && latest(1).exists() && !latest(2).exists());
    bench.succeed("sweep plan.toml --workers 2");
    let status = bench.succeed("sweep plan.toml --status");
    assert_eq!(status.matches("| done |").count(), 3, "{status}");
}
