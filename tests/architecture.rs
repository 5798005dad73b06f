//! The architecture as tables that fail when they are broken. ARCHITECTURE.md explains them.

mod modules;
mod paths;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::modules::{Crate, Use, against, circles};
use self::tokens::{Token, tokens, without_tests};

/// The modules of `src/`, in order: each uses only modules above it.
const MODULES: [&str; 33] = [
    "interrupt",
    "random",
    "statistics",
    "parallel",
    "nn",
    "device",
    "keys",
    "optimise",
    "policy",
    "behaviour",
    "algorithms",
    "rollout",
    "evaluate",
    "metrics",
    "run",
    "export",
    "experiment",
    "sweep",
    "error",
    "acting",
    "builtin",
    "data",
    "checkpoint",
    "labels",
    "video",
    "collect",
    "train",
    "trained",
    "off_policy",
    "compare",
    "report",
    "bench",
    "cli",
];

/// The modules of `kernels/src/`, in order: the ground, devices, ops, networks.
const KERNELS: [&str; 27] = [
    "threads",
    "hash",
    "real",
    "buffer",
    "parameters",
    "simd",
    "precision",
    "device",
    "epilogue",
    "activation",
    "dropout",
    "linear",
    "attention",
    "linear_attention",
    "causal_convolution",
    "selective_scan",
    "lstm",
    "layer_norm",
    "adaptive_norm",
    "loss",
    "expectile",
    "likelihood",
    "adamw",
    "lamb",
    "mlp",
    "decision_transformer",
    "testing",
];

/// Modules that name an algorithm's module although they are outside `src/algorithms/`: they
/// measure its parts.
const MEASURED: [&str; 2] = ["src/bench/", "src/cli/bench.rs"];

/// The modules of `datasets/src/`, in order: each uses only modules above it.
const DATASETS: [&str; 33] = [
    "quiet",
    "memory",
    "error",
    "budget",
    "input",
    "json",
    "finding",
    "env_spec",
    "episode",
    "mapping",
    "dataset",
    "statistics",
    "select",
    "splitters",
    "doctor",
    "sample",
    "recording",
    "hdf5",
    "table",
    "staging",
    "flat",
    "csv",
    "numpy",
    "pickle",
    "journal",
    "d3rlpy",
    "d4rl",
    "minari",
    "gather",
    "open",
    "store",
    "convert",
    "remote",
];

/// The modules of `envs/src/`, in order: each uses only modules above it.
const ENVS: [&str; 22] = [
    "names",
    "error",
    "random",
    "space",
    "config",
    "options",
    "spec",
    "render",
    "env",
    "time_limit",
    "delayed_reward",
    "wrappers",
    "world",
    "maze",
    "vector",
    "classic_control",
    "key_to_door",
    "stitching_maze",
    "mujoco",
    "registry",
    "check",
    "gymnasium_rs",
];

/// The modules of `act/src/`, in order: each uses only modules above it.
const ACT: [&str; 11] = [
    "format",
    "error",
    "json",
    "file",
    "reader",
    "functions",
    "product",
    "norm",
    "preprocessing",
    "network",
    "policy",
];

/// The roots of the crates.
const CRATES: [&str; 6] = [
    "src",
    "kernels/src",
    "envs/src",
    "datasets/src",
    "python/src",
    "act/src",
];

/// Where a foreign crate may be named; paths from the root of the repository.
const FOREIGN: [(&str, &[&str]); 41] = [
    ("signal_hook", &["src/interrupt.rs"]),
    ("rustix", &["src/interrupt.rs"]),
    ("dfdx", &["src/nn/"]),
    ("gemm", &["src/bench/peak.rs"]),
    ("rayon", &["kernels/src/"]),
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
        &[
            "src/nn/state_dict.rs",
            "src/checkpoint.rs",
            "src/labels.rs",
            "src/export/hugging_face.rs",
        ],
    ),
    ("rtg_act", &["src/export/act.rs"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/generate.rs"]),
    ("clap_mangen", &["src/cli/generate.rs"]),
    (
        "indicatif",
        &["src/metrics/terminal.rs", "src/cli/progress.rs"],
    ),
    ("gif", &["src/video/gif.rs", "src/video/tests.rs"]),
    ("png", &["src/video/png.rs", "src/video/tests.rs"]),
    ("embedded_graphics", &["src/video/sheet.rs"]),
    ("tensorboard_rs", &["src/metrics/tensorboard"]),
    ("tensorboard_proto", &["src/metrics/tensorboard"]),
    ("protobuf", &["src/metrics/tensorboard"]),
    (
        "toml",
        &[
            "src/keys/",
            "src/experiment",
            "src/report/",
            "src/cli/train.rs",
        ],
    ),
    ("tempfile", &["datasets/src/input.rs"]),
    (
        "libloading",
        &[
            "envs/src/mujoco/library",
            "kernels/src/device/driver/interface.rs",
            "kernels/src/device/emulated.rs",
            "src/parallel/mpi/interface.rs",
        ],
    ),
    ("hdf5_reader", &["datasets/src/hdf5"]),
    ("rust_hdf5", &["datasets/src/hdf5"]),
    ("arrow_array", &["datasets/src/table"]),
    ("arrow_schema", &["datasets/src/table"]),
    ("arrow_ipc", &["datasets/src/table"]),
    ("bytes", &["datasets/src/table"]),
    ("parquet", &["datasets/src/table"]),
    ("zune_jpeg", &["datasets/src/recording/image.rs"]),
    ("zip", &["datasets/src/numpy.rs"]),
    ("csv", &["datasets/src/csv.rs"]),
    ("roxmltree", &["envs/src/mujoco/scene.rs"]),
    ("memmap2", &["datasets/src/mapping.rs"]),
    (
        "bytemuck",
        &["datasets/src/mapping.rs", "datasets/src/store/writer.rs"],
    ),
    ("ureq", &["datasets/src/remote/"]),
    ("gymnasium_rs", &["envs/src/gymnasium_rs"]),
    ("tiny_skia", &["envs/src/render/"]),
    ("pyo3", &["python/src/"]),
    (
        "numpy",
        &[
            "python/src/array.rs",
            "python/src/policy.rs",
            "python/src/vector.rs",
        ],
    ),
];

/// The modules that handle scores, and the signs of a formula for them.
const SCORES: [&str; 6] = ["evaluate", "run", "collect", "video", "report", "cli"];
const FORMULAS: [&str; 4] = [".sqrt()", ".powi(2)", "sum::<f64>()", "sort_by(f64"];

/// The production code of `src/`, read once for all tests.
static SRC: LazyLock<Crate> = LazyLock::new(|| Crate::read(&root(), "src"));

#[test]
fn each_module_uses_only_modules_above_it() {
    let uses = SRC.uses();
    for module in uses.iter().filter_map(|used| used.from.first()) {
        assert!(MODULES.contains(&module.as_str()), "{module} has no row");
    }
    let broken = against(&MODULES, 0, &uses);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_module_of_a_member_crate_uses_only_modules_above_it() {
    for (folder, order) in [
        ("kernels/src", &KERNELS[..]),
        ("datasets/src", &DATASETS),
        ("envs/src", &ENVS),
        ("act/src", &ACT),
    ] {
        let uses = Crate::read(&root(), folder).uses();
        for module in uses.iter().filter_map(|used| used.from.first()) {
            assert!(
                order.contains(&module.as_str()),
                "{folder}: {module} has no row"
            );
        }
        let broken = against(order, 0, &uses);
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}

#[test]
fn the_modules_are_described_in_their_order() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let described = text.lines().filter_map(|line| {
        let path = line.strip_prefix("| `src/")?.split('`').next()?;
        let module = path.trim_end_matches('/').trim_end_matches(".rs");
        (!module.contains('/')).then_some(module)
    });
    assert_eq!(described.collect::<Vec<_>>(), MODULES);
}

#[test]
fn only_the_table_knows_an_algorithm() {
    let root = root();
    let algorithms = algorithms(&root);
    let algorithm = |module: &[String]| match module {
        [first, name, ..] if first == "algorithms" => {
            algorithms.iter().find(|known| *known == name).cloned()
        }
        _ => None,
    };
    let broken: Vec<String> = (SRC.uses().iter())
        .filter(|used| algorithm(&used.to).is_some_and(|to| Some(to) != algorithm(&used.from)))
        .filter(|used| used.from != ["algorithms", "table"])
        .filter(|used| !MEASURED.iter().any(|place| used.place.starts_with(place)))
        .map(|used| format!("{} uses {}", used.place, used.to.join("::")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_type_of_an_algorithm_is_named_outside_algorithms() {
    let root = root();
    let names: Vec<String> = algorithms(&root)
        .iter()
        .map(|name| camel_case(name))
        .collect();
    assert!(
        names.contains(&"DecisionTransformer".to_owned()),
        "{names:?}"
    );
    let mut broken = Vec::new();
    for file in sources(&root.join("src")) {
        let path = relative(&root, &file);
        if path.starts_with("src/algorithms/") {
            continue;
        }
        for (index, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let mut words = line.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            if let Some(word) = words.find(|word| names.iter().any(|name| name == word)) {
                broken.push(format!("{path}:{} names {word}", index + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn imports_have_no_cycles_across_folders() {
    for folder in CRATES {
        let uses = Crate::read(&root(), folder).uses();
        assert_eq!(circles_across(&uses), [""; 0], "{folder}");
    }
}

#[test]
fn the_root_of_a_crate_only_reexports_what_its_modules_define() {
    for folder in CRATES {
        let uses = Crate::read(&root(), folder).uses();
        let of_root: Vec<&Use> = uses.iter().filter(|used| used.to.is_empty()).collect();
        assert!(of_root.is_empty(), "{of_root:#?}");
    }
}

/// Circles of imports other than those among the files of one folder.
fn circles_across(uses: &[Use]) -> Vec<String> {
    let has_submodules = |parent: &[&str], name: &str| {
        let modules = uses.iter().flat_map(|used| [&used.from, &used.to]);
        let mut inner = modules.filter(|module| module.len() > parent.len() + 1);
        inner.any(|module| module[..parent.len()] == *parent && module[parent.len()] == name)
    };
    let is_in_one_folder = |circle: &String| {
        let (parent, members) = circle.split_once(": ").unwrap();
        let parent: Vec<&str> = parent.split("::").filter(|name| !name.is_empty()).collect();
        let mut members = members.split(' ');
        !parent.is_empty() && members.all(|member| !has_submodules(&parent, member))
    };
    let mut circles = circles(uses);
    circles.retain(|circle| !is_in_one_folder(circle));
    circles
}

#[test]
fn a_foreign_crate_is_named_in_its_place_only() {
    let mut broken = Vec::new();
    for folder in CRATES {
        for (name, place) in Crate::read(&root(), folder).foreign() {
            let row = FOREIGN.iter().find(|(krate, _)| *krate == name);
            if row.is_some_and(|(_, places)| !places.iter().any(|own| place.starts_with(own))) {
                broken.push(format!("{place} names {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_acts_alone_needs_no_other_crate_and_no_unsafe_code() {
    let manifest = fs::read_to_string(root().join("act/Cargo.toml")).unwrap();
    assert!(!manifest.contains("dependencies]"), "{manifest}");
    let library = fs::read_to_string(root().join("act/src/lib.rs")).unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(library.contains(attribute), "{attribute} is missing");
    }
}

#[test]
fn event_files_are_not_parsed_by_protobuf() {
    // Its version has an unbounded recursion where it parses (RUSTSEC-2024-0437).
    let parses = |line: &str| line.contains("parse_from") || line.contains("merge_from");
    let mut broken = Vec::new();
    for file in sources(&root().join("src/metrics")) {
        let lines = code_lines(&file).into_iter();
        let found = lines.filter(|(_, line)| parses(line));
        broken.extend(found.map(|(number, _)| format!("{}:{number}", relative(&root(), &file))));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rows_of_environments_are_opened_in_one_file() {
    let root = root();
    let opens = |file: &PathBuf| {
        let mut lines = code_lines(file).into_iter();
        lines.any(|(_, line)| line.contains("VecEnv::") || line.contains("make_vec("))
    };
    let files: Vec<String> = (sources(&root.join("src")).iter())
        .filter(|file| opens(file))
        .map(|file| relative(&root, file))
        .filter(|path| !path.starts_with("src/bench/"))
        .collect();
    assert_eq!(files, ["src/rollout/mod.rs"]);
}

#[test]
fn files_are_short() {
    let root = root();
    let lengths = |folder: &str| {
        let mut lengths: Vec<(usize, String)> = (sources(&root.join(folder)).iter())
            .map(|file| {
                let lines = fs::read_to_string(file).unwrap().lines().count();
                (lines, relative(&root, file))
            })
            .collect();
        lengths.sort();
        lengths
    };
    for folder in [
        "src",
        "envs/src",
        "datasets/src",
        "python/src",
        "act/src",
        "tests",
        "benches",
    ] {
        if let Some((longest, path)) = lengths(folder).last() {
            assert!(*longest <= 600, "{path} has {longest} lines");
        }
    }
    let src = lengths("src");
    let (median, _) = src[src.len() / 2];
    assert!(
        median <= 150,
        "half of the files of src have more than {median} lines"
    );
}

#[test]
fn a_formula_for_scores_is_in_the_statistics_only() {
    let root = root();
    let mut second = Vec::new();
    for file in sources(&root.join("src")) {
        let path = relative(&root, &file);
        let module = path
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .split('/')
            .next();
        if !module.is_some_and(|module| SCORES.contains(&module)) {
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

/// The names of the algorithms: the folders of `src/algorithms/` that declare keys.
fn algorithms(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("src/algorithms")).unwrap().flatten();
    let folders = entries.filter(|entry| entry.path().join("config.rs").is_file());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// `td3_bc` as a type: `Td3Bc`.
fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(word).collect()
}

/// The lines of a file that a production build sees, without blanks and comments.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    if file.file_stem().is_some_and(|stem| stem == "tests") {
        return Vec::new();
    }
    let (tokens, _) = without_tests(&tokens(&fs::read_to_string(file).unwrap()));
    let lines = tokens.chunk_by(|a, b| a.line == b.line);
    let text = |line: &[Token]| line.iter().map(|token| token.text.as_str()).collect();
    lines.map(|line| (line[0].line, text(line))).collect()
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
