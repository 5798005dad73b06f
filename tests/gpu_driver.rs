//! `--device cuda` through the driver layer, on a fake driver that runs the emulated kernels,
//! counts what is done with it, and fails on request (`kernels/src/device/emulator/driver/`).

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::gpu::{emulator, metric, weights};
use crate::workbench::{TINY, Workbench};

const RUN: &str = "train --dataset builtin/cartpole/mixed --seed 3 --set logging.every=3 \
    --set optimiser.accumulation=2 --set evaluation.every=0 --set evaluation.final_episodes=1";

/// Launches of a batch of a model with one layer, by the table in `GPU.md`; a step has one more.
/// The model has no whole tiles, so five products have two launches of gradients.
const KERNELS_OF_A_BATCH: u64 = 28;

/// The program, where the fake driver is the first `libcuda.so.1`.
struct Fake<'a> {
    bench: &'a Workbench,
    settings: Vec<(&'a str, String)>,
}

impl<'a> Fake<'a> {
    /// None without g++.
    fn new(bench: &'a Workbench) -> Option<Self> {
        emulator()?;
        Some(Self {
            bench,
            settings: Vec::new(),
        })
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts, as they are"
    )]
    fn with(&self, variable: &'a str, value: impl ToString) -> Self {
        let mut settings = self.settings.clone();
        settings.push((variable, value.to_string()));
        Self { settings, ..*self }
    }

    /// Runs, and returns what the fake driver recorded.
    fn run(&self, arguments: &str) -> (Output, Value) {
        let report = self.bench.path(&format!("report-{:p}.json", &self));
        let output = self
            .bench
            .command(arguments)
            .env("LD_LIBRARY_PATH", emulator().unwrap().parent().unwrap())
            .env("FAKE_CUDA_REPORT", &report)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = fs::read_to_string(&report).unwrap_or_default();
        let _ = fs::remove_file(report);
        (output, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Runs and expects success; what it said, and the record.
    fn succeed(&self, arguments: &str) -> (String, Value) {
        let (output, report) = self.run(arguments);
        let text = said(&output);
        assert!(output.status.success(), "rtg {arguments}: {text}");
        (text, report)
    }

    /// Runs and expects an error with a hint.
    fn fail(&self, arguments: &str) -> String {
        let (output, _) = self.run(arguments);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "rtg {arguments}: {text}");
        assert!(text.contains("hint: "), "{text}");
        text
    }
}

/// Both streams.
fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|text| String::from_utf8_lossy(text)).concat()
}

/// A number of the record.
fn count(report: &Value, group: &str, name: &str) -> u64 {
    report[group][name].as_u64().unwrap_or(0)
}

#[test]
fn devices_are_listed_and_chosen_by_number() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let (text, _) = fake.succeed("devices");
    let line = "cuda:1   fake device 1, 8 GiB, compute capability 9.0, driver for CUDA 13.0";
    assert!(text.contains(line), "{text}");
    let (text, _) = fake.succeed("devices --json");
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["cuda"][1]["memory_bytes"], 8_u64 << 30);

    let run = |device: &str, name: &str| {
        format!("{RUN} {TINY} --steps 2 --device {device} --run-dir {name}")
    };
    let (text, _) = fake.succeed(&run("cuda:1", "second"));
    assert!(text.contains("computes on fake device 1"), "{text}");
    let text = fake.fail(&run("cuda:7", "none"));
    assert!(
        text.contains("there is no CUDA device 7; found: 2"),
        "{text}"
    );
    let text = fake.with("FAKE_CUDA_DEVICES", 0).fail(&run("cuda", "none"));
    assert!(text.contains("found: 0"), "{text}");
    let old = fake.with("FAKE_CUDA_CAPABILITY", 75);
    let text = old.fail(&run("cuda", "none"));
    assert!(text.contains("compute capability 7.5"), "{text}");
    assert!(!bench.path("none").exists(), "nothing was begun");
}

#[test]
fn a_driver_for_cuda_12_4_is_enough_and_an_older_one_or_a_stub_is_an_error() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let run = format!("{RUN} {TINY} --steps 2 --device cuda --run-dir");
    let (text, _) = fake
        .with("FAKE_CUDA_DRIVER", 12_040)
        .succeed(&format!("{run} least"));
    assert!(text.contains("computes on fake device 0"), "{text}");
    let text = fake
        .with("FAKE_CUDA_DRIVER", 12_030)
        .fail(&format!("{run} none"));
    let expected = "the NVIDIA driver supports CUDA 12.3, this program needs 12.4";
    assert!(text.contains(expected), "{text}");
    // What a toolkit's stub returns.
    let stub = fake.with("FAKE_CUDA_FAIL", "cuDriverGetVersion:1:34");
    let text = stub.fail(&format!("{run} none"));
    assert!(text.contains("stub of a CUDA toolkit"), "{text}");
    assert!(text.contains("LD_LIBRARY_PATH"), "{text}");
}

#[test]
fn the_driver_of_the_system_is_found_before_a_stub() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    // A stub has the other name, and here no function at all.
    let stubs = bench.path("stubs");
    fs::create_dir(&stubs).unwrap();
    let mut compile = Command::new("g++");
    compile.args(["-shared", "-x", "c++", "/dev/null", "-o"]);
    let status = compile.arg(stubs.join("libcuda.so")).status().unwrap();
    assert!(status.success());
    let alone = fake.with("LD_LIBRARY_PATH", stubs.display());
    let (text, _) = alone.succeed("devices");
    assert!(
        text.contains("none: looking up the driver's functions"),
        "{text}"
    );
    let drivers = emulator().unwrap().parent().unwrap();
    let both = format!("{}:{}", stubs.display(), drivers.display());
    let (text, _) = fake.with("LD_LIBRARY_PATH", both).succeed("devices");
    assert!(text.contains("fake device 0"), "{text}");
}

#[test]
fn training_through_the_driver_gives_the_bits_of_the_emulator_and_leaves_nothing_behind() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let run = format!("{RUN} {TINY} --device cuda --steps");
    let output = bench
        .command(&format!("{run} 12 --run-dir emulated"))
        .env("RTG_CUDA_EMULATOR", emulator().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (_, record) = fake.succeed(&format!("{run} 12 --run-dir driver"));
    // One graph a step, and no launch outside it.
    assert_eq!(count(&record, "totals", "replays"), 12);
    assert_eq!(count(&record, "totals", "launches"), 0);
    let kernels = record["kernels"].as_object().unwrap().values();
    let kernels: u64 = kernels.filter_map(Value::as_u64).sum();
    assert_eq!(kernels, 12 * (2 * KERNELS_OF_A_BATCH + 1));
    let (_, waiting) = fake
        .with("RTG_CUDA_SYNC", 1)
        .succeed(&format!("{run} 12 --run-dir waiting"));
    assert_eq!(count(&waiting, "totals", "replays"), 0);
    assert_eq!(count(&waiting, "totals", "launches"), kernels);
    // A run that is stopped and resumed opens the device twice.
    fake.succeed(&format!("{run} 6 --run-dir resumed"));
    fake.succeed("train --resume --steps 12 --run-dir resumed");
    for record in [&record, &waiting] {
        assert_eq!(record["refused"], Value::Array(Vec::new()));
        let left = record["left"].as_object().unwrap();
        assert!(left.values().all(|count| count == 0), "{left:?}");
        assert_eq!(count(record, "totals", "held_bytes"), 0);
    }
    let expected = weights(&bench, "emulated");
    for name in ["driver", "waiting", "resumed"] {
        assert!(weights(&bench, name) == expected, "{name}: other weights");
        for series in ["train/loss", "train/gradient_norm"] {
            let [found, expected] = [name, "emulated"].map(|run| metric(&bench, run, series));
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn too_little_memory_is_an_error_that_counts_the_dataset_and_auto_says_why_it_uses_the_cpu() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let run = format!("{RUN} {TINY} --steps 4");
    let (_, record) = fake.succeed(&format!("{run} --device cuda --run-dir enough"));
    let most = count(&record, "totals", "most_bytes");
    fake.with("FAKE_CUDA_MEMORY", most)
        .succeed(&format!("{run} --device cuda --run-dir exactly"));
    let short = fake.with("FAKE_CUDA_MEMORY", most - 4);
    let text = short.fail(&format!("{run} --device cuda --run-dir short"));
    assert!(
        text.contains("preparing a step: out of device memory, "),
        "{text}"
    );
    assert!(text.contains("batch_size"), "{text}");
    // Memory that another program took in the meantime.
    let taken = fake.with("FAKE_CUDA_FAIL", "cuMemAlloc_v2:9:2");
    let text = taken.fail(&format!("{run} --device cuda --run-dir taken"));
    assert!(
        text.contains("allocating device memory: out of device memory, ")
            && text.contains("batch_size"),
        "{text}"
    );

    bench.succeed(&format!("{run} --run-dir cpu"));
    for (name, fake, reason) in [
        ("auto", &short, "preparing a step: out of device memory"),
        ("auto-2", &taken, "allocating device memory"),
    ] {
        let (text, record) = fake.succeed(&format!("{run} --device auto --run-dir {name}"));
        let expected = format!("computes on the CPU: {reason}");
        assert!(text.contains(&expected), "{text}");
        assert_eq!(count(&record, "totals", "held_bytes"), 0, "{name}");
        assert!(weights(&bench, name) == weights(&bench, "cpu"), "{name}");
    }
    let (text, _) = fake.succeed(&format!("{run} --device auto --run-dir gpu"));
    assert!(text.contains("computes on fake device 0"), "{text}");
    let text = (fake.with("FAKE_CUDA_MEMORY", 64 << 10)).fail("evaluate cpu --device cuda");
    let expected = "preparing to act: out of device memory, ";
    assert!(text.contains(expected) && text.contains("--rows"), "{text}");
    let composed = "--set decision_transformer.engine=composed";
    let (text, _) = fake.succeed(&format!("{run} {composed} --device auto --run-dir slow"));
    assert!(text.contains("computes on the CPU: "), "{text}");
}

#[test]
fn a_kernel_that_fails_is_an_error_and_waiting_for_each_launch_names_it() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let run = format!("{RUN} {TINY} --steps 4 --device cuda --run-dir");
    let broken = fake.with("FAKE_CUDA_FAULT", "head_and_loss:3");
    let text = broken.fail(&format!("{run} unnamed"));
    assert!(
        text.contains("a kernel failed: an illegal memory access was encountered")
            && text.contains("RTG_CUDA_SYNC=1"),
        "{text}"
    );
    let text = broken
        .with("RTG_CUDA_SYNC", 1)
        .fail(&format!("{run} named"));
    let expected = "kernel head_and_loss: an illegal memory access was encountered";
    assert!(text.contains(expected), "{text}");
}

/// What gives something back: nothing can be done about an error any more.
const AT_THE_END: [&str; 6] = [
    "cuGraphDestroy",
    "cuMemFree_v2",
    "cuModuleUnload",
    "cuStreamDestroy_v2",
    "cuGraphExecDestroy",
    "cuDevicePrimaryCtxRelease_v2",
];

/// Each function fails at its first call, and at one in the middle of its calls.
#[test]
fn every_call_of_the_driver_that_fails_is_an_error_with_a_hint() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    fails_well(
        &fake,
        &format!("{RUN} {TINY} --steps 1 --device cuda --run-dir"),
    );
}

#[test]
fn every_call_that_fails_in_an_evaluation_is_an_error_with_a_hint() {
    let bench = Workbench::new();
    let Some(fake) = Fake::new(&bench) else {
        return;
    };
    let run = format!("{RUN} {TINY} --steps 1 --set evaluation.device=cuda --run-dir");
    fails_well(&fake, &run);
    let (_, record) = fake.succeed("evaluate right --episodes 2 --device cuda");
    let replays = count(&record, "totals", "replays");
    assert!(replays > 5, "{record}");
    // The forward pass of one layer.
    let kernels = record["kernels"].as_object().unwrap().values();
    assert_eq!(kernels.filter_map(Value::as_u64).sum::<u64>(), 9 * replays);
    assert_eq!(count(&record, "totals", "launches"), 0);
}

/// Whether this run, without the directory's name, ends with an error whichever function fails.
fn fails_well(fake: &Fake<'_>, run: &str) {
    let (_, record) = fake.succeed(&format!("{run} right"));
    let calls = record["calls"].as_object().unwrap();
    assert!(calls.len() > 20, "{calls:?}");
    for (function, times) in calls {
        let times = times.as_u64().unwrap();
        let mut places = vec![1, times.div_ceil(2)];
        places.dedup();
        for place in places {
            let name = format!("{function}-{place}");
            let failing = fake.with("FAKE_CUDA_FAIL", format!("{function}:{place}:999"));
            let (output, record) = failing.run(&format!("{run} {name}"));
            let text = said(&output);
            assert!(!text.contains("panicked"), "{name}: {text}");
            let ends = AT_THE_END.contains(&function.as_str());
            assert_eq!(output.status.success(), ends, "{name}: {text}");
            if !ends {
                assert_eq!(output.status.code(), Some(1), "{name}: {text}");
                assert!(text.contains("error 999"), "{name}: {text}");
                assert!(text.contains("hint: "), "{name}: {text}");
            }
            let left = record["left"].as_object();
            let left = left.into_iter().flat_map(|left| left.values());
            assert!(left.into_iter().all(|count| count == 0), "{name}: {record}");
        }
    }
}
