//! Which Minari datasets are installed, and where.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// Namespaces nest no deeper than this.
const MAX_DEPTH: usize = 8;
/// At most this many datasets are compared with an unknown name.
const MAX_DATASETS: usize = 10_000;
/// At most this many folders are searched for them.
const MAX_FOLDERS: usize = 10_000;
/// Longer names are not compared.
const MAX_NAME: usize = 128;
/// Names less similar than this, of 1, are not suggested.
const MIN_SIMILARITY: f64 = 0.5;

/// Minari's own root: `$MINARI_DATASETS_PATH`, else `~/.minari/datasets`.
pub fn datasets_root() -> PathBuf {
    match std::env::var_os("MINARI_DATASETS_PATH") {
        Some(root) if !root.is_empty() => PathBuf::from(root),
        _ => std::env::home_dir()
            .unwrap_or_default()
            .join(".minari")
            .join("datasets"),
    }
}

/// The directory of the dataset `id` under `root`, if it is installed.
pub(crate) fn installed(root: &Path, id: &str) -> Option<PathBuf> {
    let directory = root.join(id);
    (is_id(id) && directory.join("data").is_dir()).then_some(directory)
}

/// The error for a name that is neither an installed dataset nor a path.
pub(crate) fn unknown(root: &Path, id: &str) -> Error {
    let mut search = Search::default();
    search.below(root, "", 0);
    let mut ranked: Vec<(f64, String)> = search
        .ids
        .into_iter()
        .map(|candidate| {
            // The beginning of a name counts as the name: `mujoco/hopper`, or no version.
            let begins = !id.is_empty() && candidate.starts_with(id);
            let similarity = if begins {
                1.0
            } else if id.len().max(candidate.len()) > MAX_NAME {
                0.0
            } else {
                strsim::normalized_levenshtein(id, &candidate)
            };
            (similarity, candidate)
        })
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let nearest = ranked
        .into_iter()
        .take(3)
        .map(|(_, candidate)| candidate)
        .collect();
    Error::UnknownDataset {
        id: id.to_owned(),
        root: root.to_path_buf(),
        nearest,
    }
}

/// Whether the folder of `main_data.hdf5` ends in the dataset's id, as Minari demands.
pub(super) fn folder_fits(hdf5: &Path, id: &str) -> bool {
    let absolute = fs::canonicalize(hdf5).unwrap_or_else(|_| hdf5.to_path_buf());
    absolute
        .ancestors()
        .nth(2)
        .is_some_and(|folder| folder.ends_with(id))
}

/// Minari's ids: letters, digits, `-` and `_`, in parts between slashes.
pub(crate) fn is_id(id: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    id.split('/').all(is_part)
}

/// Whether a dataset may be written under that id: Python's minari demands a version, and at least
/// two characters of a namespace.
pub(crate) fn is_versioned_id(id: &str) -> bool {
    let (namespace, name) = id.rsplit_once('/').unwrap_or(("ns", id));
    let version = name.rsplit_once("-v");
    is_id(id)
        && namespace.len() >= 2
        && version.is_some_and(|(name, version)| {
            !name.is_empty() && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
        })
}

/// Finds the ids of installed datasets. A folder with `data` in it is a dataset.
#[derive(Default)]
struct Search {
    ids: Vec<String>,
    /// Folders already searched: links may lead back to them.
    seen: HashSet<PathBuf>,
}

impl Search {
    fn below(&mut self, directory: &Path, prefix: &str, depth: usize) {
        let place = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
        if self.seen.len() >= MAX_FOLDERS || !self.seen.insert(place) {
            return;
        }
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_id(name)) else {
                continue;
            };
            let path = entry.path();
            if self.ids.len() >= MAX_DATASETS || !path.is_dir() {
                continue;
            }
            let id = format!("{prefix}{name}");
            if path.join("data").is_dir() {
                self.ids.push(id);
            } else if depth < MAX_DEPTH {
                self.below(&path, &format!("{id}/"), depth + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_the_root() {
        for id in ["a/b-v0", "hopper-medium_v2", "D4RL/pen/human-v2"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "../a", "/etc", "a//b", "a/", ".", "a/../b", "a.hdf5"] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn a_new_id_needs_a_version() {
        for (id, fits) in [
            ("a/b-v0", false),
            ("aa/b-v0", true),
            ("b-v12", true),
            ("aa/b", false),
            ("aa/b-v", false),
            ("aa/b-v1x", false),
            ("../b-v1", false),
        ] {
            assert_eq!(is_versioned_id(id), fits, "{id}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn cyclic_links_are_followed_once() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..9 {
            std::os::unix::fs::symlink(".", root.path().join(format!("l{index}"))).unwrap();
        }
        fs::create_dir_all(root.path().join("deep/set-v0/data")).unwrap();
        let Error::UnknownDataset { nearest, .. } = unknown(root.path(), "deep/set-v1") else {
            panic!("an unknown dataset")
        };
        assert_eq!(nearest, ["deep/set-v0"]);
    }

    #[test]
    fn suggestions_are_the_nearest_installed_ids_best_first() {
        let root = tempfile::tempdir().unwrap();
        for id in [
            "mujoco/hopper/medium-v0",
            "mujoco/hopper/expert-v0",
            "mujoco/hopper/medium-v1",
            "zz-v0",
        ] {
            fs::create_dir_all(root.path().join(id).join("data")).unwrap();
        }
        let error = unknown(root.path(), "mujoco/hoper/medium-v0");
        let Error::UnknownDataset { nearest, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            nearest[..2],
            ["mujoco/hopper/medium-v0", "mujoco/hopper/medium-v1"]
        );
        assert!(!nearest.contains(&"zz-v0".to_owned()));

        let Error::UnknownDataset { nearest, .. } = unknown(root.path(), "mujoco/hopper") else {
            panic!("an unknown dataset")
        };
        assert_eq!(nearest.len(), 3);

        let error = unknown(Path::new("/no/such/place"), "x");
        assert!(error.hint().unwrap().contains("/no/such/place"));
    }
}
