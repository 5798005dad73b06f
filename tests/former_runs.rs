//! Run directories of earlier programs go on here: `tests/former_runs/` holds two of version 0.1.0
//! before checkpoints named their algorithm, after 6 steps, with the weights that the program of
//! then had after 12.

use std::fs;

use crate::workbench::{Workbench, repository};

fn copy(bench: &Workbench, run: &str) {
    for file in [
        "experiment.toml",
        "metrics.jsonl",
        "summary.json",
        "checkpoints/latest.safetensors",
    ] {
        let path = repository("tests/former_runs").join(run).join(file);
        bench.write(&format!("{run}/{file}"), &fs::read(path).unwrap());
    }
}

#[test]
fn they_resume_to_the_bits_that_they_would_have_had() {
    for run in ["decision_transformer", "bc"] {
        let bench = Workbench::new();
        copy(&bench, run);
        bench.succeed(&format!("train --run-dir {run} --resume --steps 12"));
        let after = fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap();
        let expected = repository("tests/former_runs").join(run);
        let expected = fs::read(expected.join("after_12_steps.safetensors")).unwrap();
        assert!(after == expected, "{run}");
    }
}

#[test]
fn they_are_evaluated() {
    for (run, target) in [("decision_transformer", "-"), ("bc", "null")] {
        let bench = Workbench::new();
        copy(&bench, run);
        let answer = bench.succeed(&format!("evaluate {run} --episodes 2 --json"));
        assert!(
            answer.contains(&format!("\"target\": {target}")),
            "{answer}"
        );
    }
}
