//! Which MPI library is loaded: the launcher's.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::Error;

/// Names of libraries, the most general interface first.
const FORUM: &str = "libmpi_abi.so.1";
const MPICH: [&str; 2] = ["libmpi.so.12", "libmpich.so.12"];
const OPEN_MPI: &str = "libmpi.so.40";

/// The variables in which launchers state the number of processes.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Which MPI library is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LibraryChoice {
    /// The one next to the launcher on `PATH`, or else one that the system's loader finds; the
    /// launcher's environment decides which name is tried.
    #[default]
    Launcher,
    /// This file, this folder's, or one of this name.
    Named(PathBuf),
}

impl LibraryChoice {
    /// The first library that can be loaded, and where it is.
    pub(super) fn open<T>(
        &self,
        load: impl Fn(&Path) -> Result<T, String>,
    ) -> Result<(T, PathBuf), Error> {
        let candidates = match self {
            Self::Named(path) if path.is_dir() => {
                let names = names(&|_| false).into_iter();
                names.map(|name| path.join(name)).collect()
            }
            Self::Named(path) => {
                let reason = |reason| Error::Unusable {
                    reason,
                    path: path.clone(),
                };
                return Ok((load(path).map_err(reason)?, path.clone()));
            }
            Self::Launcher => candidates(&launchers()),
        };
        let mut tried = Vec::new();
        for path in candidates {
            let is_name = path.parent().is_none_or(|parent| parent == Path::new(""));
            match load(&path) {
                Ok(library) => return Ok((library, path)),
                // The system's loader does not distinguish missing files from broken ones.
                Err(_) if is_name => tried.push(path.display().to_string()),
                Err(reason) if path.exists() => return Err(Error::Unusable { reason, path }),
                Err(_) => tried.push(path.display().to_string()),
            }
        }
        Err(Error::NoLibrary { tried })
    }
}

/// How many processes the launcher started, if it states that.
pub(super) fn launched() -> usize {
    let sizes = SIZES
        .iter()
        .filter_map(|name| env::var(name).ok()?.parse().ok());
    sizes.max().unwrap_or(1)
}

/// The folders of the launchers on `PATH`, links followed.
fn launchers() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let files = env::split_paths(&path)
        .flat_map(|folder| ["mpiexec", "mpirun"].map(|name| folder.join(name)));
    let found = files.filter_map(|file| file.canonicalize().ok());
    found
        .filter_map(|file| Some(file.parent()?.to_owned()))
        .collect()
}

/// Next to each launcher, then in the system loader's paths.
fn candidates(launchers: &[PathBuf]) -> Vec<PathBuf> {
    let names = names(&|variable| env::var_os(variable).is_some());
    let beside = |folder: &PathBuf| {
        let lib = |name: &OsStr| folder.parent().unwrap_or(folder).join(name);
        let folders = ["lib", "lib64"].map(|name| lib(OsStr::new(name)));
        let files = folders.into_iter().flat_map(|folder| {
            let files = names.iter().map(move |name| folder.join(name));
            files.collect::<Vec<_>>()
        });
        files.collect::<Vec<_>>()
    };
    let beside = launchers.iter().flat_map(beside);
    let beside = beside.filter(|file| file.exists());
    let anywhere = names.iter().map(PathBuf::from);
    beside.chain(anywhere).collect()
}

/// The names of libraries, the likeliest first, by which of the launchers' variables are set.
fn names(is_set: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let [mpich, former_mpich] = MPICH;
    if is_set("OMPI_COMM_WORLD_SIZE") {
        return vec![OPEN_MPI, FORUM];
    }
    if is_set("PMIX_RANK") && !is_set("PMI_RANK") {
        return vec![OPEN_MPI, FORUM, mpich, former_mpich];
    }
    vec![FORUM, mpich, former_mpich, OPEN_MPI]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launchers_variables_choose_the_library() {
        let first = |set: &'static str| names(&move |name| name == set)[0];
        assert_eq!(first("OMPI_COMM_WORLD_SIZE"), OPEN_MPI);
        assert_eq!(first("PMIX_RANK"), OPEN_MPI);
        assert_eq!(first("PMI_RANK"), FORUM);
        assert_eq!(first(""), FORUM);
        assert!(!names(&|name| name == "OMPI_COMM_WORLD_SIZE").contains(&MPICH[0]));
    }

    #[test]
    fn a_library_beside_the_launcher_comes_before_the_systems() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "lib"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let library = root.path().join("lib").join(MPICH[0]);
        std::fs::write(&library, "no library").unwrap();
        let found = candidates(&[root.path().join("bin")]);
        assert_eq!(found[0], library);
        assert_eq!(found[1], Path::new(FORUM));
        let refused = LibraryChoice::Named(library).open(super::super::load);
        let text = refused.map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("cannot be used"), "{text}");
        let empty = LibraryChoice::Named(root.path().join("bin")).open(super::super::load);
        let text = empty.map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("no MPI library"), "{text}");
    }
}
