//! `--device`: training through the emulated kernels is training on the CPU, and a run may change
//! between them.

#![expect(clippy::print_stderr, reason = "what is skipped must be seen")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::workbench::{TINY, Workbench, repository};

const RUN: &str = "train --dataset builtin/cartpole/mixed --seed 3 --set checkpoint_every=4 \
    --set logging.every=3 --set logging.histograms_every=5 --set optimiser.accumulation=2 \
    --set optimiser.learning_rate=1e-3 --set optimiser.warmup_steps=5 --set evaluation.every=0";

/// The emulated kernels, which are also a fake driver (`emulator/build.sh`); none without g++, and
/// a message that says so.
pub(crate) fn emulator() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if Command::new("g++").arg("--version").output().is_err() {
        let required = std::env::var_os("RTG_REQUIRE_GPP").is_some();
        assert!(!required, "RTG_REQUIRE_GPP is set and there is no g++");
        eprintln!("SKIPPED: no g++, so the kernels are not tested");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulator");
    fs::create_dir_all(&folder).unwrap();
    // Another process of these tests may use the file.
    let made = folder.join(format!("made-by-{}", std::process::id()));
    let script = repository("kernels/src/device/emulator/build.sh");
    let status = Command::new("bash")
        .arg(script)
        .arg(&made)
        .status()
        .unwrap();
    assert!(status.success());
    let library = folder.join("libcuda.so.1");
    fs::rename(made, &library).unwrap();
    Some(library)
}

/// Runs on the emulated device.
fn on_device(bench: &Workbench, library: &Path, arguments: &str) -> String {
    let output = bench
        .command(arguments)
        .env("RTG_CUDA_EMULATOR", library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "rtg {arguments}: {said}");
    said + &String::from_utf8_lossy(&output.stdout)
}

/// Step and value of a metric of a run.
pub(crate) fn metric(bench: &Workbench, run: &str, name: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(bench.path(run).join("metrics.jsonl")).unwrap();
    let point = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Some((line["step"].as_u64()?, line[name].as_f64()?))
    };
    text.lines().filter_map(point).collect()
}

/// All final weights of a run, in the order of their names.
pub(crate) fn weights(bench: &Workbench, run: &str) -> Vec<f32> {
    let path = bench.path(run).join("checkpoints/weights.safetensors");
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let floats = tensors.iter().flat_map(|(_, tensor)| {
        let numbers = tensor.data().chunks_exact(4);
        numbers.map(|four| f32::from_le_bytes(four.try_into().unwrap()))
    });
    floats.collect()
}

/// The root of the squared difference, relative to the first.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    let size: f64 = a.iter().map(|a| square(f64::from(*a))).sum();
    (difference / size).sqrt()
}

#[test]
fn training_on_a_device_is_training_on_the_cpu_and_a_run_may_change_between_them() {
    let bench = Workbench::new();
    let Some(library) = emulator() else {
        return;
    };
    bench.succeed(&format!("{RUN} {TINY} --steps 12 --run-dir cpu"));
    let device = format!("{RUN} {TINY} --steps 12 --device cuda --run-dir device");
    let said = on_device(&bench, library, &device);
    assert!(said.contains("computes on emulated CUDA device"), "{said}");
    // Six steps here, six there.
    bench.succeed(&format!("{RUN} {TINY} --steps 6 --run-dir both"));
    let rest = "train --resume --steps 12 --device cuda --run-dir both";
    on_device(&bench, library, rest);

    for run in ["device", "both"] {
        for name in ["train/loss", "train/gradient_norm"] {
            let (expected, found) = (metric(&bench, "cpu", name), metric(&bench, run, name));
            let steps = |points: &[(u64, f64)]| points.iter().map(|p| p.0).collect::<Vec<_>>();
            assert_eq!(steps(&expected), steps(&found), "{run}: {name}");
            for ((_, expected), (step, found)) in expected.iter().zip(found) {
                assert!(
                    (found / expected - 1.0).abs() < 1e-4,
                    "{run}: {name} {found} in step {step}, not {expected}"
                );
            }
        }
        let error = distance(&weights(&bench, "cpu"), &weights(&bench, run));
        assert!(error < 1e-4, "{run}: the weights are {error:e} apart");
    }
}

/// The returns of a run's evaluations.
fn returns(bench: &Workbench, run: &str) -> Vec<Value> {
    let summary = fs::read_to_string(bench.path(run).join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let evaluations = summary["evaluations"].as_array().unwrap();
    evaluations
        .iter()
        .map(|evaluation| evaluation["returns"].clone())
        .collect()
}

#[test]
fn evaluating_on_a_device_is_evaluating_on_the_cpu() {
    let bench = Workbench::new();
    let Some(library) = emulator() else {
        return;
    };
    let run = format!("{RUN} {TINY} --set evaluation.every=4 --set evaluation.final_episodes=1");
    bench.succeed(&format!("{run} --steps 8 --run-dir cpu"));
    // The first evaluation on the CPU, the last one on a device; training on the CPU.
    bench.succeed(&format!("{run} --steps 4 --run-dir both"));
    let rest = "train --resume --steps 8 --set evaluation.device=cuda --run-dir both";
    on_device(&bench, library, rest);
    let last = |run: &str| returns(&bench, run).split_off(2);
    assert_eq!(last("both"), last("cpu"));
    assert!(weights(&bench, "both") == weights(&bench, "cpu"));

    // Rows that begin again while others are in the middle of an episode.
    let evaluate = "evaluate both --targets 20 --episodes 3 --rows 2 --json --device";
    let result = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let on_cpu = result(bench.succeed(&format!("{evaluate} cpu")));
    for (device, message) in [("cuda", ""), ("auto", "the policy computes on cuda\n")] {
        let said = on_device(&bench, library, &format!("{evaluate} {device}"));
        let found = result(said.strip_prefix(message).unwrap().to_owned());
        assert_eq!(found["targets"], on_cpu["targets"]);
    }

    for (arguments, expected) in [
        (
            "evaluate both --device cuda --acting streaming",
            "'evaluation.acting' is streaming: it must be exact with evaluation.device = \"cuda\"",
        ),
        (
            "train --algorithm bc --dataset builtin/cartpole/mixed --steps 1 --run-dir bc \
             --set evaluation.device=cuda",
            "'evaluation.device' is cuda: it must be cpu: bc acts on no other device",
        ),
        (
            "train --recipe reinformer --dataset builtin/pendulum/mixed --steps 1 --run-dir predicted \
             --set evaluation.device=cuda:1",
            "'evaluation.device' is cuda:1: it must be cpu with decision_transformer.condition = predicted",
        ),
    ] {
        let said = bench.transcript(arguments);
        assert!(
            said.contains("exit code 1") && said.contains(expected),
            "{said}"
        );
    }
}

#[test]
fn without_a_driver_a_gpu_is_an_error_with_a_hint_and_auto_is_the_cpu() {
    let bench = Workbench::new();
    let told = bench.transcript(&format!(
        "train {TINY} --steps 2 --device cuda --run-dir gpu"
    ));
    if told.contains("exit code 0") {
        eprintln!("SKIPPED: there is a GPU here");
        return;
    }
    assert!(
        told.contains("hint: ") && told.contains("--device cpu"),
        "{told}"
    );
    assert!(!bench.path("gpu").exists(), "nothing was begun");
    let output = bench.run(&format!(
        "train {TINY} --steps 2 --device auto --run-dir auto"
    ));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("computes on the CPU: no NVIDIA driver"),
        "{said}"
    );
    let output = bench.run("evaluate auto --episodes 1 --device auto");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("the policy computes on the CPU: no NVIDIA driver"),
        "{said}"
    );
    let told = bench.transcript("evaluate auto --episodes 1 --device cuda");
    assert!(
        told.contains("hint: ") && told.contains("--device cpu"),
        "{told}"
    );
    let run = format!("train {TINY} --steps 2 --set evaluation.device=cuda --run-dir none");
    let told = bench.transcript(&run);
    assert!(told.contains("hint: --set evaluation.device=cpu"), "{told}");
}
