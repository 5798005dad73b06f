//! `rtg sweep`: runs that are started once, resumed, and never stopped by each other.

use std::fs;

use crate::workbench::Workbench;

const PLAN: &str = "\
[base]
dataset = \"builtin/cartpole/random\"
algorithm = \"bc\"
steps = 12
threads = 1
evaluation = { episodes = 2, final_episodes = 2, every = 6 }
optimiser.batch_size = 8
[grid]
seed = { from = 0, to = 2 }
";

#[test]
fn a_sweep_executes_each_run_as_it_would_alone_and_then_stops() {
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN.as_bytes());
    bench.succeed("sweep plan.toml --workers 2");
    let folder = bench.path("sweeps/plan");
    let weights =
        |path: &str| fs::read(bench.path(path).join("checkpoints/weights.safetensors")).unwrap();
    bench.succeed("train sweeps/plan/plans/seed-1.toml --run-dir alone");
    assert!(weights("alone") == weights("sweeps/plan/runs/seed-1"));
    let status = bench.succeed("sweep sweeps/plan --status");
    assert_eq!(status.matches("| done | 12 of 12 |").count(), 3, "{status}");
    let log = folder.join("logs/seed-0.log");
    let written = fs::metadata(&log).unwrap().modified().unwrap();
    bench.succeed("sweep plan.toml");
    assert_eq!(fs::metadata(&log).unwrap().modified().unwrap(), written);
    assert_eq!(bench.succeed("sweep plan.toml --print"), "");
    // A larger grid: existing runs are kept, new ones are done, and runs keep their index.
    bench.write("plan.toml", PLAN.replace("to = 2", "to = 3").as_bytes());
    let left = bench.succeed("sweep plan.toml --print");
    assert!(left.ends_with("/one.sh 3\n"), "{left}");
    bench.succeed("sweep sweeps/plan --only 3");
    assert_eq!(bench.succeed("sweep plan.toml --print"), "");
    let report = bench.succeed("report sweeps/plan");
    assert!(report.contains("| 4 |"), "{report}");
}

#[test]
fn seeds_are_trained_side_by_side_with_the_bits_of_each_alone() {
    let bench = Workbench::new();
    let run = "train --algorithm bc --dataset builtin/cartpole/random --steps 12 \
         --set optimiser.batch_size=8 --set evaluation.final_episodes=2";
    let shown = bench.succeed(&format!("{run} --seeds 0..3 --run-dir many"));
    assert!(shown.contains("| bc | 3 |"), "{shown}");
    bench.succeed(&format!("{run} --seed 1 --threads 1 --run-dir alone"));
    let weights =
        |path: &str| fs::read(bench.path(path).join("checkpoints/weights.safetensors")).unwrap();
    assert!(weights("alone") == weights("many/runs/seed-1"));
    assert!(weights("alone") != weights("many/runs/seed-2"));
    let log = bench.path("many/logs/seed-0.log");
    let written = fs::metadata(&log).unwrap().modified().unwrap();
    bench.succeed(&format!("{run} --seeds 0,1,2,5 --run-dir many"));
    assert_eq!(fs::metadata(&log).unwrap().modified().unwrap(), written);
    assert!(bench.path("many/runs/seed-5/summary.json").exists());
    // What is wrong shows once, before anything is written.
    let transcript = bench.transcript(&format!("{run} --env gone --seeds 0..2 --run-dir wrong"));
    assert!(transcript.starts_with("exit code 1"), "{transcript}");
    assert_eq!(transcript.matches("error:").count(), 1, "{transcript}");
    assert!(!bench.path("wrong").exists());
}

#[test]
fn a_failed_run_stops_no_other_and_is_named_at_the_end() {
    let bench = Workbench::new();
    let plan = PLAN.replace(
        "[grid]",
        "[grid]\ndataset = [\"builtin/cartpole/random\", \"gone.hdf5\"]",
    );
    let plan = plan.replace(
        "dataset = \"builtin/cartpole/random\"\nalgorithm",
        "algorithm",
    );
    bench.write("plan.toml", plan.as_bytes());
    let transcript = bench.transcript("sweep plan.toml --workers 2");
    assert!(transcript.starts_with("exit code 1"), "{transcript}");
    assert!(
        transcript.contains("error: 3 of 6 runs failed: gone.hdf5-seed-0 ("),
        "{transcript}"
    );
    let status = bench.succeed("sweep sweeps/plan --status");
    assert_eq!(status.matches("| done |").count(), 3, "{status}");
    assert_eq!(status.matches("| waiting |").count(), 3, "{status}");
}

#[test]
fn errors_of_a_sweep_are_reported_before_anything_is_written() {
    let bench = Workbench::new();
    bench.write("plan.toml", b"[grid]\nsede = [1, 2]\n");
    let transcript = bench.transcript("sweep plan.toml");
    assert!(transcript.contains("error: run sede-1: "), "{transcript}");
    assert!(!bench.path("sweeps").exists());
    let transcript = bench.transcript("sweep .");
    assert!(transcript.contains("not a sweep"), "{transcript}");
}
