//! The kernels, emulated: each against its naive reference, and the emulator against faults planted
//! in the sources.
//!
//! The kernels are compiled by g++ when these tests run. Without g++ they are skipped with a
//! message, unless `RTG_REQUIRE_GPP` is set.

use super::backend::{Address, Backend, Launch};
use super::driver::Cuda;
pub(crate) use super::driver::tests::fake;
use super::emulated::Emulated;
use super::transfer::{bits, get};
use crate::linear::cuda::Storage;
use crate::simd::pairs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

mod attention;
mod ends;
mod faults;
mod inexact;
mod ops;
mod products;

/// A library of kernels to use in place of one built here: set for the sanitised run of these
/// tests.
const LIBRARY_VARIABLE: &str = "RTG_TEST_EMULATOR";

/// The number of a GPU on which these tests are to run: how a real device is checked with this
/// program alone.
const DEVICE_VARIABLE: &str = "RTG_TEST_DEVICE";

/// The folder for test libraries.
fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("rtg-emulator-{}", std::process::id()))
}

/// The kernels' sources.
fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// Whether there is a g++; prints a message if not.
fn has_compiler() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = Command::new("g++").arg("--version").output().is_ok();
        let required = std::env::var_os("RTG_REQUIRE_GPP").is_some();
        assert!(
            found || !required,
            "RTG_REQUIRE_GPP is set and there is no g++"
        );
        if !found {
            #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
            {
                eprintln!("SKIPPED: no g++, so the kernels are not tested");
            }
        }
        found
    })
}

/// The library of the unchanged kernels, which is also a fake driver; none without g++ or on a GPU.
pub(crate) fn fake_driver() -> Option<&'static Path> {
    (gpu().is_none() && has_compiler()).then(library)
}

/// Compiles the kernels under `sources` with more options of g++.
fn build(sources: &Path, name: &str, options: &[&str]) -> PathBuf {
    std::fs::create_dir_all(folder()).unwrap();
    let out = folder().join(name);
    let script = sources.join("device/emulator/build.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg(&out).args(options);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "g++ refused the kernels: {said}");
    out
}

/// The unchanged kernels.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os(LIBRARY_VARIABLE) {
        Some(path) => path.into(),
        None => build(sources(), "kernels.so", &[]),
    })
}

/// Both orders of threads and blocks; none without g++. Or the GPU that [`DEVICE_VARIABLE`] names.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    if let Some(ordinal) = gpu() {
        return vec![Box::new(Cuda::open(ordinal).unwrap())];
    }
    if !has_compiler() {
        return Vec::new();
    }
    let load = || Emulated::load(library()).unwrap();
    vec![Box::new(load()), Box::new(load().reversed())]
}

/// The GPU to run on in place of the emulator.
pub(crate) fn gpu() -> Option<usize> {
    let number = std::env::var(DEVICE_VARIABLE).ok()?;
    Some(number.parse().unwrap())
}

/// New memory with these numbers.
pub(crate) fn put(backend: &mut dyn Backend, numbers: &[f32]) -> Address {
    put_words(backend, &bits(numbers))
}

pub(crate) fn put_words(backend: &mut dyn Backend, words: &[u32]) -> Address {
    let address = backend.allocate(words.len()).unwrap();
    backend.upload(address, words).unwrap();
    address
}

/// New memory full of NaN, so that a number that a kernel does not write is found.
pub(crate) fn unwritten(backend: &mut dyn Backend, count: usize) -> Address {
    put(backend, &vec![f32::NAN; count])
}

pub(crate) fn take(backend: &mut dyn Backend, from: Address, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    get(backend, from, &mut numbers).unwrap();
    numbers
}

/// Numbers in bfloat16.
pub(crate) fn take_halves(backend: &mut dyn Backend, from: Address, count: usize) -> Vec<f32> {
    let words = take(backend, from, Storage::Halves.words(count));
    let both =
        |word: &f32| [word.to_bits() << 16, word.to_bits() & 0xffff_0000].map(f32::from_bits);
    words.iter().flat_map(both).take(count).collect()
}

/// These numbers, rounded to bfloat16.
pub(crate) fn rounded(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().copied().map(pairs::rounded).collect()
}

pub(crate) fn run(backend: &mut dyn Backend, launches: impl IntoIterator<Item = Launch>) {
    for launch in launches {
        backend.launch(&launch).unwrap();
    }
}
