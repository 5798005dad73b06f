//! The library on this machine: finding and loading it.

use super::{library::Library, locate};
use crate::Error;
use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// How to get the library.
pub const HINT: &str = "`pip install mujoco`, or name its library in RTG_MUJOCO";

/// The library that environments use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its version, such as `4.0.0`.
    pub version: String,
    /// Its file.
    pub path: PathBuf,
}

/// The libraries that have been loaded; environments use the last one, the current one. A failure
/// is not kept: [`find_at`] may still load one.
static LOADED: Mutex<Vec<Arc<Library>>> = Mutex::new(Vec::new());

/// Finds and loads the library, once: where `RTG_MUJOCO` says (the file or its folder), in the
/// packages of the `python3` or `python` next to the program or on `PATH` (which are run once), or
/// among the system's libraries. Nothing in the working directory is run or loaded.
pub fn find() -> Result<Found, Error> {
    library().map(|library| found(&library))
}

/// Loads the library at `path`, a file or its folder. Environments created from now on use it;
/// existing ones keep theirs.
pub fn find_at(path: &Path) -> Result<Found, Error> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    load(&mut loaded, &locate::at(path)?).map(|library| found(&library))
}

fn found(library: &Library) -> Found {
    Found {
        version: library.version().to_owned(),
        path: library.path().to_owned(),
    }
}

/// The library, loaded now if it has not been yet.
pub(super) fn library() -> Result<Arc<Library>, Error> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match loaded.last() {
        Some(library) => Ok(Arc::clone(library)),
        None => load(&mut loaded, &locate::anywhere()?),
    }
}

/// The library of this file, which becomes the current one. Links to one file are that file.
fn load(loaded: &mut Vec<Arc<Library>>, file: &Path) -> Result<Arc<Library>, Error> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let library = match loaded.iter().position(|library| library.path() == file) {
        Some(known) => loaded.remove(known),
        None => Library::open(&file)?,
    };
    loaded.push(Arc::clone(&library));
    Ok(library)
}

/// For tests that need the library: whether it is installed. If it is not, `what` is
/// [skipped](skip).
pub fn is_here(what: &str) -> bool {
    let Err(error) = find() else {
        return true;
    };
    skip(what, &error.to_string());
    false
}

/// For tests that cannot run: reports it on standard error, bypassing the capture of a test's
/// output.
///
/// # Panics
/// If the environment variable `RTG_REQUIRE_MUJOCO` is 1: then nothing may be skipped.
pub fn skip(what: &str, reason: &str) {
    assert!(
        env::var_os("RTG_REQUIRE_MUJOCO").is_none_or(|value| value != "1"),
        "RTG_REQUIRE_MUJOCO is 1, but {what} cannot be tested: {reason}"
    );
    // A test's own output is shown only when it fails; one write keeps the line whole.
    let line = format!("SKIPPED {what}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
