//! Offline trajectory datasets: from files to batches.
//!
//! ```text
//! Minari directory --\
//!                     >-- Dataset --> Normaliser, ReturnSummary
//! D4RL file ---------/      |   \---> doctor::examine -> findings
//!                           \-------> WindowSampler -> Batch
//! ```
//!
//! [`open`] reads a dataset into memory as contiguous `f64` columns, [`Dataset`]. Below it nobody
//! knows where the data came from. [`sample`] cuts training windows, [`statistics`] describes the
//! numbers, [`doctor`] tells what is wrong with them. All reading ends in a [`Dataset`] or an
//! [`Error`] with a hint: damaged and hostile files are refused, never followed.

mod d4rl;
mod dataset;
pub mod doctor;
mod episode;
mod error;
mod hdf5;
mod json;
mod minari;
pub mod sample;
pub mod select;
pub mod splitters;
pub mod statistics;

use std::path::Path;

pub use dataset::{Dataset, Defects, Info};
pub use doctor::{Finding, Severity};
pub use episode::{Episode, EpisodeView, returns_to_go};
pub use error::{Column, Error};
pub use minari::datasets_root;
pub use sample::{Batch, WindowConfig, WindowSampler};
pub use select::{Selection, TopBy, mix};
pub use statistics::{Normaliser, ReturnSummary};

/// Opens a dataset by Minari id or by path, and refuses data that cannot be trained on.
///
/// `id_or_path` is a Minari id such as `mujoco/hopper/medium-v0`, looked up under `minari_root`
/// (if `None`: under [`datasets_root`]), or else the path of a Minari directory, of its
/// `main_data.hdf5`, or of a D4RL file.
pub fn open(id_or_path: &str, minari_root: Option<&Path>) -> Result<Dataset, Error> {
    open_with(id_or_path, minari_root, Defects::Refuse)
}

/// Opens a dataset as [`open`] does, and says what becomes of defective episodes.
///
/// With [`Defects::Keep`], values that are not finite stay in the data and episodes without their
/// final observation are completed, so that [`doctor::examine`] can report them.
pub fn open_with(
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
) -> Result<Dataset, Error> {
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    if let Some(directory) = minari::installed(&root, id_or_path) {
        return minari::read(&directory, defects);
    }
    let path = Path::new(id_or_path);
    if path.is_dir() {
        minari::read(path, defects)
    } else if path.is_file() {
        read_file(path, defects)
    } else {
        Err(minari::unknown(&root, id_or_path))
    }
}

/// Reads one HDF5 file: its layout tells what it is.
fn read_file(path: &Path, defects: Defects) -> Result<Dataset, Error> {
    let file = hdf5::File::open(path).map_err(|error| error.at(path))?;
    let root = file.root().map_err(|error| error.at(path))?;
    if root
        .array("observations")
        .map_err(|error| error.at(path))?
        .is_some()
    {
        return d4rl::read(&root, path, defects).map_err(|error| error.at(path));
    }
    if root
        .group("episode_0")
        .map_err(|error| error.at(path))?
        .is_some()
    {
        return minari::read(path, defects);
    }
    Err(Error::NotADataset.at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> String {
        format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn a_minari_set_opens_by_id_by_directory_and_by_file() {
        let root = fixture("minari");
        let id = "tiny/cartpole-v0";
        let by_id = open(id, Some(Path::new(&root))).unwrap();
        let by_directory = open(&format!("{root}/{id}"), Some(Path::new("/nowhere"))).unwrap();
        let by_file = open(&format!("{root}/{id}/data/main_data.hdf5"), None).unwrap();
        assert_eq!(by_id.hash(), by_directory.hash());
        assert_eq!(by_id.hash(), by_file.hash());
        assert_eq!(by_id.info().id, id);
    }

    #[test]
    fn a_d4rl_file_opens_by_path() {
        let dataset = open(&fixture("d4rl/hopper_marked-v2.hdf5"), None).unwrap();
        assert_eq!(dataset.info().id, "hopper_marked-v2");
        assert_eq!(dataset.observation_width(), 3);
    }

    #[test]
    fn an_unknown_id_names_the_nearest_ones_and_the_root_that_was_searched() {
        let root = fixture("minari");
        let error = open("tiny/cartpol-v0", Some(Path::new(&root))).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(error.to_string().contains("tiny/cartpol-v0"), "{error}");
        assert!(hint.contains("tiny/cartpole-v0"), "{hint}");
        assert!(hint.contains(&root), "{hint}");
    }

    #[test]
    fn a_file_that_is_not_hdf5_says_so_with_its_path_last() {
        let path = fixture("make_fixtures.py");
        let error = open(&path, None).unwrap_err();
        assert!(error.to_string().ends_with(path.as_str()), "{error}");
        assert!(error.hint().is_some());
    }
}
