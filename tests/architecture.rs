//! The architecture as a table that fails when it is broken.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, in order: each uses only rooms above it.
const ROOMS: [&str; 23] = [
    "random",
    "statistics",
    "kernels",
    "nn",
    "policy",
    "behaviour",
    "algorithms",
    "rollout",
    "evaluate",
    "metrics",
    "run",
    "experiment",
    "sweep",
    "error",
    "builtin",
    "data",
    "checkpoint",
    "film",
    "collect",
    "train",
    "report",
    "bench",
    "cli",
];

/// Where a foreign crate may be named; paths from the root of the repository.
const FOREIGN: [(&str, &[&str]); 34] = [
    ("dfdx", &["src/nn/"]),
    ("gemm", &["src/bench/peak.rs"]),
    ("rayon", &["src/kernels/"]),
    (
        "rand",
        &[
            "src/random.rs",
            "src/nn/initialise.rs",
            "src/behaviour/",
            "src/bench/",
            "envs/src/",
            "datasets/src/sample",
        ],
    ),
    (
        "rand_distr",
        &[
            "src/random.rs",
            "src/nn/initialise.rs",
            "src/behaviour/",
            "envs/src/space.rs",
        ],
    ),
    ("rand_pcg", &["src/random.rs", "envs/src/random"]),
    (
        "safetensors",
        &["src/nn/state_dict.rs", "src/checkpoint.rs"],
    ),
    ("clap", &["src/cli/"]),
    (
        "indicatif",
        &["src/metrics/terminal.rs", "src/cli/progress.rs"],
    ),
    ("gif", &["src/film/gif.rs", "src/film/tests.rs"]),
    ("png", &["src/film/png.rs", "src/film/tests.rs"]),
    ("embedded_graphics", &["src/film/sheet.rs"]),
    ("tensorboard_rs", &["src/metrics/tensorboard"]),
    ("tensorboard_proto", &["src/metrics/tensorboard"]),
    ("protobuf", &["src/metrics/tensorboard"]),
    (
        "toml",
        &["src/experiment", "src/report/", "src/cli/train.rs"],
    ),
    ("tempfile", &[]),
    (
        "libloading",
        &["envs/src/mujoco/library", "src/kernels/device/emulated.rs"],
    ),
    ("cudarc", &["src/kernels/device/driver.rs"]),
    ("hdf5_reader", &["datasets/src/hdf5"]),
    ("rust_hdf5", &["datasets/src/hdf5"]),
    ("arrow_array", &["datasets/src/table"]),
    ("arrow_schema", &["datasets/src/table"]),
    ("arrow_ipc", &["datasets/src/table"]),
    ("parquet", &["datasets/src/table"]),
    ("zune_jpeg", &["datasets/src/image.rs"]),
    ("zip", &["datasets/src/numpy.rs"]),
    ("csv", &["datasets/src/csv.rs", "datasets/src/lib.rs"]),
    ("roxmltree", &["envs/src/mujoco/scene.rs"]),
    ("memmap2", &["datasets/src/store/"]),
    ("bytemuck", &["datasets/src/store/"]),
    ("ureq", &["datasets/src/remote/"]),
    ("gymnasium_rs", &["envs/src/gymnasium_rs"]),
    ("tiny_skia", &["envs/src/render/"]),
];

/// The rooms that handle scores, and the signs of a formula for them.
const SCORES: [&str; 6] = ["evaluate", "run", "collect", "film", "report", "cli"];
const FORMULAS: [&str; 4] = [".sqrt()", ".powi(2)", "sum::<f64>()", "sort_by(f64"];

#[test]
fn each_room_uses_only_rooms_above_it() {
    let root = root();
    let mut broken = Vec::new();
    for file in sources(&root.join("src")) {
        let path = relative(&root, &file);
        let Some(own) = ROOMS.iter().position(|room| in_room(&path, room)) else {
            assert!(
                ["src/lib.rs", "src/main.rs"].contains(&path.as_str()),
                "{path} is in no room"
            );
            continue;
        };
        for (below, room) in ROOMS.iter().enumerate().skip(own + 1) {
            for (number, line) in code_lines(&file) {
                let named = [
                    format!("crate::{room}::"),
                    format!("crate::{room};"),
                    format!("crate::{room} "),
                ];
                if named.iter().any(|name| line.contains(name)) || listed(&line, room) {
                    broken.push(format!(
                        "{path}:{number} uses {} (row {below}, below {own})",
                        ROOMS[below]
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_foreign_crate_is_named_in_its_place_only() {
    let root = root();
    let mut broken = Vec::new();
    for folder in ["src", "envs/src", "datasets/src"] {
        for file in sources(&root.join(folder)) {
            let path = relative(&root, &file);
            for (krate, places) in FOREIGN {
                if places.iter().any(|place| path.starts_with(place)) {
                    continue;
                }
                for (number, line) in code_lines(&file) {
                    let uses = [
                        format!("use {krate}::"),
                        format!(" {krate}::"),
                        format!("({krate}::"),
                        format!("<{krate}::"),
                    ];
                    if uses.iter().any(|text| line.contains(text)) {
                        broken.push(format!("{path}:{number} names {krate}"));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rows_of_environments_are_opened_in_one_file() {
    let root = root();
    let opens =
        |file: &PathBuf| (code_lines(file).iter()).any(|(_, line)| line.contains("VecEnv::"));
    let files: Vec<String> = (sources(&root.join("src")).iter())
        .filter(|file| opens(file))
        .map(|file| relative(&root, file))
        .filter(|path| !path.starts_with("src/bench/"))
        .collect();
    assert_eq!(files, ["src/rollout/mod.rs"]);
}

#[test]
fn every_file_fits_in_a_head() {
    let root = root();
    let mut lengths: Vec<(usize, String)> = ["src", "envs/src", "datasets/src", "tests", "benches"]
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .map(|file| {
            (
                fs::read_to_string(&file).unwrap().lines().count(),
                relative(&root, &file),
            )
        })
        .collect();
    lengths.sort();
    let (longest, path) = lengths.last().unwrap();
    assert!(*longest <= 600, "{path} has {longest} lines");
}

#[test]
fn a_formula_for_scores_is_in_the_statistics_only() {
    let root = root();
    let mut second = Vec::new();
    for file in sources(&root.join("src")) {
        let path = relative(&root, &file);
        if !SCORES.iter().any(|room| in_room(&path, room)) {
            continue;
        }
        for (number, line) in code_lines(&file) {
            if FORMULAS.iter().any(|formula| line.contains(formula)) {
                second.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(second.is_empty(), "{}", second.join("\n"));
}

/// Only what a production build sees: the file up to its tests, without comments.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    if file.file_stem().is_some_and(|stem| stem == "tests") {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

/// `use crate::{metrics, run};`
fn listed(line: &str, room: &str) -> bool {
    line.split_once("crate::{").is_some_and(|(_, list)| {
        list.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .any(|name| name == room)
    })
}

fn in_room(path: &str, room: &str) -> bool {
    path == format!("src/{room}.rs") || path.starts_with(&format!("src/{room}/"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root)
        .unwrap()
        .to_string_lossy()
        .replace('\\', "/")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
