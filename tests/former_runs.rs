//! Run directories of earlier versions can be resumed: `tests/former_runs/` contains two of version
//! 0.1.0 before checkpoints named their algorithm, after 6 steps, with that version's weights after
//! 12.

use std::fs;

use rtg::nn::state_dict::floats;
use safetensors::SafeTensors;

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

/// The weights of a former run resumed up to 12 steps, and those that it would have had.
fn resumed(run: &str) -> [Vec<u8>; 2] {
    let bench = Workbench::new();
    copy(&bench, run);
    bench.succeed(&format!("train --run-dir {run} --resume --steps 12"));
    let after = bench.path(run).join("checkpoints/weights.safetensors");
    let expected = repository("tests/former_runs").join(run);
    [after, expected.join("after_12_steps.safetensors")].map(|path| fs::read(path).unwrap())
}

#[test]
fn they_resume_to_the_bits_of_uninterrupted_runs() {
    let [after, expected] = resumed("decision_transformer");
    assert!(after == expected);
}

#[test]
fn clones_resume_to_the_same_weights_up_to_rounding() {
    // At that time dfdx computed their gradients, in another order of summation.
    let [after, expected] = resumed("bc");
    let [after, expected] =
        [&after, &expected].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(after.len(), expected.len());
    for (name, found) in after.tensors() {
        let expected = expected.tensor(&name).unwrap();
        assert_eq!(found.shape(), expected.shape(), "{name}");
        for (a, b) in floats(found.data()).iter().zip(floats(expected.data())) {
            assert!((a - b).abs() < 1e-6, "{name}: {a}, not {b}");
        }
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
