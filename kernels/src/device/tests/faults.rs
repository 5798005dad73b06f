//! Faults planted in copies of the sources: the emulator, or a comparison, must find each.

use super::LIBRARY_VARIABLE;
use super::{build, folder, has_compiler, put, put_words, sources, take, unwritten};
use crate::device::backend::{Address, Launch, THREADS};
use crate::device::backend::{Backend, Error};
use crate::device::emulated::Emulated;
use crate::device::parameters::{Numbers, parameters};
use crate::device::transfer;
use crate::dropout::cuda::Drop;
use crate::layer_norm::cuda::Norm;
use crate::layer_norm::reference as layer_norm;
use crate::linear::cuda::{Finish, Matrix, Sizes, Storage, product};
use crate::linear::reference as linear;
use crate::precision::Precision;
use crate::testing::{numbers, relative_error, to_f64};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies the sources that g++ sees.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let seen = |path: &Path| {
            let extension = path.extension().unwrap_or_default();
            ["cu", "cpp", "h", "sh"]
                .iter()
                .any(|kind| extension == *kind)
        };
        if path.is_dir() {
            copy(&path, &target);
        } else if seen(&path) {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A copy of the sources with one text of a file of kernels replaced by another. The module has no
/// kernels but those of this file, which takes a third of the time to compile.
fn with_fault(name: &str, file: &str, right: &str, wrong: &str) -> PathBuf {
    let copied = folder().join(name);
    copy(sources(), &copied);
    let path = copied.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(right).count(), 1, "{right} is in {file} once");
    fs::write(&path, text.replace(right, wrong)).unwrap();
    fs::write(copied.join("kernels.cu"), format!("#include \"{file}\"\n")).unwrap();
    copied
}

/// The kernels of a file with one text of it replaced by another, in both orders; none without g++.
fn planted(name: &str, file: &str, right: &str, wrong: &str) -> Vec<Emulated> {
    if super::gpu().is_some() || !has_compiler() {
        return Vec::new();
    }
    let copied = with_fault(name, file, right, wrong);
    let library = build(&copied, &format!("{name}.so"), &["-Wno-error"]);
    let load = || Emulated::load(&library).unwrap();
    vec![load(), load().reversed()]
}

/// The error of a product of these kernels against the reference.
fn product_error(backend: &mut dyn Backend) -> Result<f64, Error> {
    error_of(Precision::F32, backend)
}

fn error_of(precision: Precision, backend: &mut dyn Backend) -> Result<f64, Error> {
    let (rows, inputs, outputs) = (70, 128, 128);
    let (x, weight) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
    let storage = Storage::of(precision, inputs);
    let mut put = |numbers: &[f32], stride| {
        let at = match storage {
            Storage::Floats => put(backend, numbers),
            Storage::Halves => put_words(backend, &transfer::rounded(numbers)),
        };
        Matrix::new(at, stride).stored(storage)
    };
    let factors = (put(&x, inputs), put(&weight, outputs));
    let to = unwritten(backend, rows * outputs);
    let sizes = Sizes {
        rows,
        columns: outputs,
        depth: inputs,
    };
    let finish = Finish::Store {
        bias: Address::NULL,
    };
    let launch = product(precision, sizes, factors, finish, (to, outputs));
    backend.launch(&launch)?;
    let expected = linear::forward(
        precision,
        &to_f64(&x),
        &to_f64(&weight),
        &vec![0.0; outputs],
    );
    Ok(relative_error(
        &take(backend, to, rows * outputs),
        &expected,
    ))
}

fn norm_error(backend: &mut dyn Backend) -> Result<f64, Error> {
    let (rows, width) = (6, 40);
    let (x, gain, bias) = (
        numbers(1, rows * width),
        numbers(2, width),
        numbers(3, width),
    );
    let y = unwritten(backend, rows * width);
    let norm = Norm {
        x: put(backend, &x),
        gain: put(backend, &gain),
        bias: put(backend, &bias),
        y: Numbers::floats(y),
        statistics: unwritten(backend, 2 * rows),
        drop: Drop::NONE,
        rows: rows as i32,
        width: width as i32,
    };
    backend.launch(&norm.launch())?;
    let expected = layer_norm::forward(&to_f64(&x), &to_f64(&gain), &to_f64(&bias));
    Ok(relative_error(&take(backend, y, rows * width), &expected))
}

/// The largest error in either order.
fn worst(
    backends: Vec<Emulated>,
    error: impl Fn(&mut dyn Backend) -> Result<f64, Error>,
) -> Option<f64> {
    let errors = backends
        .into_iter()
        .map(|mut backend| error(&mut backend).unwrap());
    errors.reduce(f64::max)
}

#[test]
fn a_removed_barrier_is_detected() {
    let backends = planted(
        "barrier",
        "linear/linear.cu",
        "            __syncthreads();\n            load(1);",
        "            load(1);",
    );
    assert!(worst(backends, product_error).is_none_or(|error| error > 1e-3));
    let backends = planted(
        "last-barrier",
        "linear/linear.cu",
        "        __syncthreads();\n        load_part(0, piece + 2);",
        "        load_part(0, piece + 2);",
    );
    assert!(worst(backends, product_error).is_none_or(|error| error > 1e-3));
}

#[test]
fn an_asynchronous_copy_that_nothing_waits_for_is_detected() {
    let wait = "            wait_for_copies<Tile::STAGES - 2>();\n";
    let faults = [
        ("no-wait", wait, ""),
        (
            "late",
            wait,
            "            wait_for_copies<Tile::STAGES - 1>();\n",
        ),
        // The first barrier stays: it also tells the threads which tile is theirs, without which
        // they write anywhere in this program's memory.
        (
            "no-barrier",
            "            __syncthreads();\n            copy(",
            "            if (piece == 0) __syncthreads();\n            copy(",
        ),
    ];
    for (name, right, wrong) in faults {
        let backends = planted(name, "linear/linear.cu", right, wrong);
        let error = worst(backends, |backend| error_of(Precision::Bf16, backend));
        assert!(error.is_none_or(|error| error > 1e-3), "{name}");
    }
}

#[test]
fn a_wrong_index_is_detected() {
    let backends = planted(
        "index",
        "layer_norm/layer_norm.cu",
        "fmaf((x.x[i][j] - mean) * scale, gain.x[i][j], bias.x[i][j])",
        "fmaf((x.x[i][j] - mean) * scale, gain.x[i][0], bias.x[i][j])",
    );
    assert!(worst(backends, norm_error).is_none_or(|error| error > 1e-3));
}

#[test]
fn a_barrier_that_some_threads_do_not_reach_is_an_error() {
    let cases = [
        // Half of a block leaves before the barriers of the others.
        (
            "left",
            "linear/linear.cu",
            "    totals.clear();\n",
            "    if (threadIdx.x >= 64) return;\n    totals.clear();\n",
        ),
        // Two halves wait in two places.
        (
            "apart",
            "linear/linear.cu",
            "        __syncthreads();\n        load_part(0, piece + 2);",
            "        if (threadIdx.x < 32) __syncthreads();\n        else\n            __syncthreads();\n        load_part(0, piece + 2);",
        ),
    ];
    for (name, file, right, wrong) in cases {
        for mut backend in planted(name, file, right, wrong) {
            let error = product_error(&mut backend).unwrap_err().to_string();
            assert!(error.contains("divergent barrier"), "{error}");
        }
    }
}

#[test]
fn a_shuffle_without_a_part_of_the_warp_is_an_error() {
    let backends = planted(
        "shuffle",
        "layer_norm/layer_norm.cu",
        "    if (row >= p.rows) return;",
        "    if (row >= p.rows || lane > 20) return;",
    );
    for mut backend in backends {
        let error = norm_error(&mut backend).unwrap_err().to_string();
        assert!(error.contains("divergent barrier"), "{error}");
    }
}

parameters! {
    /// Parameters of no kernel.
    Wrong {
        number: u32,
    }
}

#[test]
fn parameters_of_another_size_and_impossible_grids_are_errors() {
    // A device does not check the parameters' size.
    if super::gpu().is_some() {
        return;
    }
    for mut backend in super::backends() {
        let wrong = Launch::new("layer_norm", [1, 1, 1], THREADS, &Wrong { number: 0 });
        let error = backend.launch(&wrong).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{error}");
        let none = Launch::new("no_such_kernel", [1, 1, 1], THREADS, &Wrong { number: 0 });
        assert!(backend.launch(&none).is_err());
        let mut words = [0; 4];
        assert!(backend.download(Address(8), &mut words).is_err());
    }
}

/// Runs tests of this program again, under the sanitizers for addresses and undefined behaviour,
/// with these kernels.
fn under_sanitizers(library: &Path, tests: &str) -> (bool, String) {
    let preload = ["libasan.so", "libubsan.so"].map(|name| {
        let found = Command::new("g++")
            .arg(format!("-print-file-name={name}"))
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    });
    let preload = preload.join(" ");
    let settings = [
        ("LD_PRELOAD", preload.as_str()),
        ("ASAN_OPTIONS", "detect_leaks=0"),
        ("UBSAN_OPTIONS", "print_stacktrace=1"),
    ];
    again(library, tests, &settings)
}

/// Runs tests of this program again with these kernels: whether they passed, and what they printed.
pub(super) fn again(library: &Path, tests: &str, settings: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([tests, "--test-threads", "2"])
        .envs(settings.iter().copied())
        .env(LIBRARY_VARIABLE, library)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// With `-O1`, which compiles in two thirds of the time of `-O2`, and without the places of
/// variables, which are as long to compile as the rest; traces have lines without them.
const SANITIZERS: [&str; 6] = [
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
    "-fno-var-tracking",
];

fn sanitized(sources: &Path, name: &str) -> PathBuf {
    build(sources, name, &SANITIZERS)
}

#[test]
fn the_sanitizers_find_nothing_in_the_kernels_and_something_in_a_fault() {
    // The run below must not run itself again.
    let elsewhere = super::gpu().is_some() || std::env::var_os(LIBRARY_VARIABLE).is_some();
    if elsewhere || !has_compiler() {
        return;
    }
    let library = sanitized(sources(), "sanitized.so");
    for tests in [
        "device::tests::attention",
        "device::tests::ops",
        "device::tests::products",
        "device::tests::ends",
        "cuda::tests::embedding",
        "cuda::tests::gather",
        "cuda::tests::model::padded",
        "cuda::tests::steps::the_same_steps",
    ] {
        let (clean, said) = under_sanitizers(&library, tests);
        assert!(clean && said.contains("test result: ok"), "{said}");
        assert!(!said.contains("0 passed"), "{said}");
    }

    let copied = with_fault(
        "overrun",
        "layer_norm/layer_norm.cu",
        "if (row >= p.rows) return;",
        "if (row > p.rows) return;",
    );
    let (clean, said) = under_sanitizers(
        &sanitized(&copied, "overrun.so"),
        "device::tests::ops::the_norm",
    );
    assert!(!clean && said.contains("AddressSanitizer"), "{said}");
}
