//! Evaluations beside training give the run that waits for them, also after a kill or a signal.

use std::fs;
use std::time::Duration;

use serde_json::Value;

#[cfg(unix)]
use crate::resume::cut_and_resume;
use crate::resume::{checkpoint_tensors, kill_and_resume, measurements};
#[cfg(unix)]
use crate::signals::signal;
use crate::workbench::{TINY, Workbench};

const RUNS: [&str; 3] = [
    "train --steps 60 --dataset builtin/pendulum/mixed --set evaluation.every=20 \
        --set selection.validation_fraction=0.3 --set checkpoint_every=7",
    "train --steps 90 --algorithm discrete_cql --dataset builtin/cartpole/mixed \
        --set evaluation.every=30 --set checkpoint_every=1000",
    "train --steps 400 --algorithm dqn --env CartPole-v1 --set dqn.learning_starts=50 \
        --set evaluation.every=100",
];

fn json(bench: &Workbench, path: &str) -> Value {
    serde_json::from_slice(&fs::read(bench.path(path)).unwrap()).unwrap()
}

/// The weights of the best policy and the step at which it was saved.
fn best(bench: &Workbench, run: &str) -> (Vec<u8>, Value) {
    let bytes = fs::read(bench.path(run).join("checkpoints/best.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let notes = &metadata.metadata().as_ref().unwrap()["rtg"];
    let notes: Value = serde_json::from_str(notes).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let numbers = tensors.iter().flat_map(|(_, view)| view.data().to_vec());
    let progress = &notes["progress"];
    let saved = serde_json::json!([progress["step"], progress["evaluations"]]);
    (numbers.collect(), saved)
}

#[test]
fn a_run_that_evaluates_beside_training_is_the_one_that_waits() {
    for run in RUNS {
        let bench = Workbench::new();
        let run = format!(
            "{run} {}",
            if run.contains("dqn") || run.contains("cql") {
                "--threads 1 --set evaluation.episodes=5 --set evaluation.final_episodes=5"
            } else {
                TINY
            }
        );
        bench.succeed(&format!("{run} --run-dir waits"));
        bench.succeed(&format!(
            "{run} --set evaluation.beside=true --run-dir beside"
        ));
        let evaluations = json(&bench, "waits/summary.json")["evaluations"].clone();
        assert!(evaluations.as_array().unwrap().len() >= 3, "{evaluations}");
        assert_eq!(
            evaluations,
            json(&bench, "beside/summary.json")["evaluations"]
        );
        assert_eq!(
            measurements(&bench, "waits"),
            measurements(&bench, "beside")
        );
        assert_eq!(best(&bench, "waits").1, best(&bench, "beside").1);
        assert!(best(&bench, "waits") == best(&bench, "beside"), "{run}");
        let tensors = |run| checkpoint_tensors(&bench, run);
        assert!(tensors("waits") == tensors("beside"), "{run}");
    }
}

/// A run whose evaluations last as long as many of its steps.
const LONG: &str = "train --steps 400 --algorithm bc --dataset builtin/cartpole/mixed --threads 1 \
    --set bc.width=16 --set optimiser.batch_size=8 --set evaluation.every=80 \
    --set evaluation.episodes=100 --set evaluation.final_episodes=4 --set checkpoint_every=25 \
    --set evaluation.beside=true --set logging.every=5";

#[test]
fn a_run_killed_during_an_evaluation_beside_training_resumes_to_the_same_bits() {
    for later in [0, 30, 150] {
        kill_and_resume(&Workbench::new(), LONG, Duration::from_millis(later));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_during_an_evaluation_beside_training_keeps_its_step() {
    for later in [0, 30, 150] {
        let bench = Workbench::new();
        cut_and_resume(&bench, LONG, Duration::from_millis(later), |child| {
            let output = signal(child, "TERM");
            if output.status.success() {
                // It was done, and is repeated.
                return;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(143), "{said}");
            assert!(said.contains("--run-dir cut --resume"), "{said}");
        });
    }
}
