//! Commands under adverse conditions: limits of files and threads, a closed stderr, damaged files,
//! pipes where files should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::workbench::{TINY, Workbench};

/// The program, started by a shell after a preparation.
fn after(bench: &Workbench, preparation: &str, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_rtg");
    let mut command = Command::new("sh");
    command
        .current_dir(bench.path(""))
        .env("HOME", bench.path(""));
    command.args(["-c", &format!("{preparation}; exec {program} {arguments}")]);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_size_limit_is_an_error() {
    let bench = Workbench::new();
    // Blocks of 512 bytes, in some shells of 1024.
    let output = after(
        &bench,
        "ulimit -f 8",
        &format!("train --steps 4 {TINY} --run-dir run"),
    );
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("error: cannot write"),
        "{}",
        said(&output)
    );
    let collect = "collect --env CartPole-v1 --steps 20000 --out ./x-v0";
    let output = after(&bench, "ulimit -f 8", collect);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    bench.succeed(&format!("{collect} --resume"));
}

#[test]
fn threads_that_cannot_be_started_are_an_error() {
    let bench = Workbench::new();
    // Each thread reserves 2 MiB for its stack, so a thousand of them do not fit.
    let train =
        format!("train --steps 2 {TINY} --run-dir run").replace("--threads 2", "--threads 1000");
    let output = after(&bench, "ulimit -v 1500000", &train);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("error: 1000 threads cannot be started"),
        "{}",
        said(&output)
    );
    assert!(
        said(&output).contains("hint: use fewer"),
        "{}",
        said(&output)
    );
    assert!(!bench.path("run").exists());
}

#[test]
fn unwritable_output_changes_nothing() {
    let bench = Workbench::new();
    let train = format!("train --steps 2 {TINY}");
    for (nowhere, arguments, code) in [
        ("2>/dev/full", format!("{train} --run-dir full"), 0),
        ("2>&-", format!("{train} --run-dir closed"), 0),
        ("2>/dev/full", "inspect no/such-v0".to_owned(), 1),
        ("2>&-", "inspect no/such-v0".to_owned(), 1),
    ] {
        let output = after(&bench, "true", &format!("{arguments} {nowhere}"));
        assert_eq!(output.status.code(), Some(code), "{arguments} {nowhere}");
    }
}

#[test]
fn pipes_and_devices_are_no_plans_runs_or_checkpoints() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 2 {TINY} --run-dir run"));
    let pipe = |name: &str| {
        let made = Command::new("mkfifo")
            .arg(bench.path(name))
            .status()
            .unwrap();
        assert!(made.success());
    };
    pipe("plan.toml");
    pipe(".x-v0.journal");
    for file in [
        "experiment.toml",
        "metrics.jsonl",
        "checkpoints/latest.safetensors",
    ] {
        bench.succeed(&format!("train --steps 2 {TINY} --run-dir {}", file.len()));
        fs::remove_file(bench.path(&file.len().to_string()).join(file)).unwrap();
        pipe(&format!("{}/{file}", file.len()));
    }
    for arguments in [
        "train plan.toml",
        "train --set initial_weights=plan.toml",
        "train --dataset plan.toml --env CartPole-v1",
        "train /dev/zero",
        "sweep plan.toml",
        "inspect plan.toml",
        "convert plan.toml ./y-v0",
        "collect --env CartPole-v1 --steps 10 --out ./x-v0",
        "collect --env CartPole-v1 --steps 10 --out ./x-v0 --resume",
        "report 15",
        "report 13",
        "train --run-dir 15 --resume",
        "train --run-dir 30 --resume",
        "evaluate 30",
        "--mujoco plan.toml envs",
    ] {
        let mut command = bench.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
                panic!("rtg {arguments} waits");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "rtg {arguments}: {}",
            said(&output)
        );
        assert!(
            said(&output).starts_with("error: "),
            "rtg {arguments}: {}",
            said(&output)
        );
    }
}

#[test]
fn damaged_measurements_are_reported_and_the_rest_is_kept() {
    let bench = Workbench::new();
    let train = format!("train {TINY} --set logging.every=1 --run-dir run");
    bench.succeed(&format!("{train} --steps 6"));
    let metrics = bench.path("run/metrics.jsonl");
    let mut bytes = fs::read(&metrics).unwrap();
    let lines = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count();
    let before = lines(&bytes);
    bytes[1] ^= 0x80;
    fs::write(&metrics, &bytes).unwrap();
    let output = bench.run("report run");
    assert!(output.status.success());
    assert!(
        said(&output).contains("warning: 1 damaged line is ignored: "),
        "{}",
        said(&output)
    );
    let output = bench.run("train --run-dir run --resume --steps 6");
    assert!(output.status.success());
    assert!(
        said(&output).contains("warning: 1 damaged line is ignored: "),
        "{}",
        said(&output)
    );
    assert_eq!(lines(&fs::read(&metrics).unwrap()), before - 1);
    assert_eq!(said(&bench.run("report run")), "");
}

#[test]
fn the_name_of_a_video_is_no_option_of_ffmpeg() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 2 {TINY} --run-dir run"));
    // It takes all frames and writes its arguments into the file that it was given.
    bench.write(
        "bin/ffmpeg",
        b"#!/bin/sh\ncat > /dev/null\nfor last; do :; done\nprintf '%s' \"$last\" > \"$last\"\n",
    );
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bench.path("bin/ffmpeg"), executable).unwrap();
    let path = format!(
        "{}:{}",
        bench.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = bench.command("render run --out=-x.mp4");
    let output = command.env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        fs::read_to_string(bench.path("-x.mp4")).unwrap(),
        "./-x.partial.mp4"
    );
}
