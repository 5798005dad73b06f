//! The places where the library may be, in the order in which they are searched.
//!
//! The working directory may contain anything, such as someone else's repository. Nothing in it is
//! run or loaded. Python runs in isolated mode, so that its modules do not come from there, and a
//! relative entry of a search path (an empty one is the working directory) does not count. A
//! library that [`VARIABLE`] names is the user's own choice.

use crate::Error;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The environment variable that names the library, or its folder.
pub(super) const VARIABLE: &str = "RTG_MUJOCO";

/// The Python program that prints where the package would be loaded from, without loading it.
/// Isolated mode excludes the user's own packages, which are added here.
const QUESTION: &str = "import importlib.util, site, sys\n\
    sys.path.append(site.getusersitepackages())\n\
    spec = importlib.util.find_spec('mujoco')\n\
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
            reason: "it contains no MuJoCo library".to_owned(),
            path: path.to_owned(),
        })
}

/// The library file: the variable's, then that of the Python next to the program or on `PATH`, then
/// the system's.
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

/// The folders of the package `mujoco`, if a Python has it. The interpreters are run once.
fn packages() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| pythons().iter().flat_map(|python| ask(python)).collect())
}

/// The first `python3` and the first `python` next to the program, then those on `PATH`.
fn pythons() -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned);
    let mut found: Vec<PathBuf> = Vec::new();
    for folders in [beside.into_iter().collect(), absolute("PATH")] {
        for name in ["python3", "python"] {
            let name = format!("{name}{}", env::consts::EXE_SUFFIX);
            let mut files = folders.iter().map(|folder: &PathBuf| folder.join(&name));
            found.extend(files.find(|file| file.is_file()));
        }
    }
    found.dedup();
    found
}

/// The folders that an environment variable lists, without those that depend on the working
/// directory.
fn absolute(variable: &str) -> Vec<PathBuf> {
    let listed = env::var_os(variable).unwrap_or_default();
    env::split_paths(&listed)
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// The folders from which this Python would load the package.
fn ask(python: &Path) -> Vec<PathBuf> {
    let folder = python.parent().unwrap_or(python);
    let answer = Command::new(python)
        .args(["-I", "-c", QUESTION])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    answer
        .map(|answer| {
            String::from_utf8_lossy(&answer.stdout)
                .lines()
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute())
                .collect()
        })
        .unwrap_or_default()
}

/// The system's library folders.
fn system_folders() -> impl Iterator<Item = PathBuf> {
    let listed = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
        .into_iter()
        .flat_map(absolute);
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
                reason: "it contains no MuJoCo library".to_owned(),
                path: folder
            })
        );
    }

    /// What the test below runs in a folder full of traps.
    #[test]
    #[ignore = "the other half of the test below"]
    #[expect(clippy::print_stdout, reason = "the test below reads it")]
    fn look_around() {
        for folder in packages().iter().cloned().chain(system_folders()) {
            println!("looked in {}", folder.display());
        }
    }

    #[test]
    fn nothing_of_the_working_directory_is_run_or_loaded() {
        let here = env::temp_dir().join(format!("rtg-envs-traps-{}", std::process::id()));
        let package = here.join("mujoco");
        fs::create_dir_all(&package).unwrap();
        let trap = "open('sprung', 'w')";
        for module in [
            "importlib.py",
            "site.py",
            "sitecustomize.py",
            "usercustomize.py",
        ] {
            fs::write(here.join(module), trap).unwrap();
        }
        fs::write(package.join("__init__.py"), trap).unwrap();
        for folder in [&here, &package] {
            fs::write(folder.join("libmujoco.so.9.9.9"), "no library").unwrap();
        }
        #[cfg(unix)]
        for python in ["python3", "python"] {
            use std::os::unix::fs::PermissionsExt;
            let file = here.join(python);
            fs::write(&file, "#!/bin/sh\ntouch sprung\necho \"$PWD/mujoco\"\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = env::var("PATH").unwrap_or_default();
        let answer = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact"])
            .arg(concat!(module_path!(), "::look_around").replacen("rtg_envs::", "", 1))
            .env("PATH", format!(".:mujoco::{path}"))
            .env("LD_LIBRARY_PATH", ".:mujoco:")
            .env("PYTHONPATH", &here)
            .current_dir(&here)
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&answer.stdout);
        let sprung = here.join("sprung").exists();
        fs::remove_dir_all(&here).unwrap();
        assert!(answer.contains("looked in /usr/lib"), "{answer}");
        assert!(!answer.contains("rtg-envs-traps"), "{answer}");
        assert!(
            !answer.contains("looked in .") && !answer.contains("looked in mujoco"),
            "{answer}"
        );
        assert!(!sprung, "a trap was sprung");
    }
}
