//! Where the library may lie, in the order in which it is looked for.

use crate::Error;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The environment variable that names the library, or a folder that holds it.
pub(super) const VARIABLE: &str = "RTG_MUJOCO";

/// What a Python is asked: where the package would be loaded from, without loading it.
const QUESTION: &str = "import importlib.util as u\n\
    spec = u.find_spec('mujoco')\n\
    print(*(spec.submodule_search_locations if spec else ()), sep='\\n')";

/// The library file that `path` names: itself, or one in that folder.
pub(super) fn at(path: &Path) -> Result<PathBuf, Error> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    [path.to_owned(), path.join("mujoco"), path.join("lib")]
        .iter()
        .find_map(|folder| in_folder(folder))
        .ok_or_else(|| Error::MujocoUnusable {
            reason: "there is no MuJoCo library".to_owned(),
            path: path.to_owned(),
        })
}

/// The library file: the variable's, then that of the Python on `PATH`, then the system's.
pub(super) fn anywhere() -> Result<PathBuf, Error> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return at(Path::new(&path));
    }
    packages()
        .iter()
        .cloned()
        .chain(system_folders())
        .find_map(|folder| in_folder(&folder))
        .ok_or(Error::MujocoMissing)
}

/// The folders of the package `mujoco`, if the `python3` or `python` on `PATH` has it. They are
/// asked once.
fn packages() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| ["python3", "python"].into_iter().flat_map(ask).collect())
}

/// The folders that this Python would load the package from.
fn ask(python: &str) -> Vec<PathBuf> {
    let answer = Command::new(python)
        .args(["-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    answer
        .map(|answer| {
            String::from_utf8_lossy(&answer.stdout)
                .lines()
                .map(PathBuf::from)
                .collect()
        })
        .unwrap_or_default()
}

/// The folders in which a system keeps its libraries.
fn system_folders() -> impl Iterator<Item = PathBuf> {
    let listed = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>());
    let usual = [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/lib",
    ];
    listed.chain(usual.into_iter().map(PathBuf::from))
}

/// The library file in a folder.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_library)
        })
        .collect();
    files.sort();
    files.pop()
}

/// Whether a file of this name is the library: `libmujoco.so.4.0.0`, `libmujoco.4.0.0.dylib` or
/// `mujoco.dll`.
fn is_library(name: &str) -> bool {
    let is_versioned = |rest: &str| {
        rest.split('.')
            .all(|part| matches!(part, "so" | "dylib") || part.bytes().all(|b| b.is_ascii_digit()))
    };
    name == "mujoco.dll" || name.strip_prefix("libmujoco.").is_some_and(is_versioned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_files_are_known_by_their_names() {
        for name in [
            "libmujoco.so",
            "libmujoco.so.3.2.0",
            "libmujoco.4.0.0.dylib",
            "mujoco.dll",
        ] {
            assert!(is_library(name), "{name}");
        }
        for name in [
            "libmujoco.a",
            "libmujoco_plugin.so",
            "mujoco.py",
            "libmujoco.so.txt",
        ] {
            assert!(!is_library(name), "{name}");
        }
    }

    #[test]
    fn a_folder_without_a_library_is_an_error_that_names_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_eq!(
            at(&folder),
            Err(Error::MujocoUnusable {
                reason: "there is no MuJoCo library".to_owned(),
                path: folder
            })
        );
    }
}
