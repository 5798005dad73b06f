//! Offline trajectory datasets: from files to batches.
//!
//! ```text
//! Minari: HDF5, Arrow, Parquet --\
//! D4RL, d3rlpy, pickles, .npz, ---> Source -> Dataset --> Normaliser, ReturnSummary
//! CSV, Parquet, LeRobot, a journal /   |          |   \---> doctor::examine -> findings
//!                                     |          \-------> WindowSampler -> Batch
//!                                     \-> Sink: Minari, D4RL
//! ```
//!
//! [`open`] reads a dataset into memory as contiguous `f64` columns, [`Dataset`]. Below it nobody
//! knows where the data came from. [`sample`] cuts training windows, [`statistics`] describes the
//! numbers, [`doctor`] tells what is wrong with them. All reading ends in a [`Dataset`] or an
//! [`Error`] with a hint: damaged and hostile files are refused, never followed.

mod budget;
pub mod convert;
mod csv;
mod d3rlpy;
mod d4rl;
mod dataset;
pub mod doctor;
mod episode;
mod error;
mod flat;
mod hdf5;
mod image;
mod input;
pub mod journal;
mod json;
mod minari;
mod numpy;
mod pickle;
mod quiet;
pub mod recording;
#[cfg(feature = "remote")]
pub mod remote;
pub mod sample;
pub mod select;
pub mod splitters;
mod staging;
pub mod statistics;
pub mod store;
mod table;

use std::io::Read;
use std::path::Path;

pub use budget::Budget;
pub use convert::{Contents, MinariFormat, Summary, Target, convert};
pub use dataset::{Dataset, Defects, Info, Part};
pub use doctor::{Finding, Severity};
pub use episode::{Episode, EpisodeView, returns_to_go};
pub use error::{Column, Error};
pub use journal::Journal;
pub use minari::datasets_root;
pub use recording::{EnvSpec, RecordedEpisode, Recording, Sink, Source};
pub use sample::{Batch, Prefetcher, Replay, Sampler, TransitionConfig, TransitionSampler};
pub use sample::{Transitions, WindowConfig, WindowSampler};
pub use select::{Selection, TopBy, mix};
pub use statistics::{Normaliser, ReturnSummary};
pub use table::columns;

/// Opens a dataset by Minari id or by path, and refuses data that cannot be trained on.
///
/// `id_or_path` is a Minari id such as `mujoco/hopper/medium-v0`, looked up under `minari_root`
/// (if `None`: under [`datasets_root`]), or else the path of a Minari directory, of its
/// `main_data.hdf5`, of a D4RL or d3rlpy file, of the official pickled trajectories, of an
/// `.npz` archive, a CSV file or a Parquet file of one row a step, or of a folder of `LeRobot`.
///
/// Rows are flattened by Gymnasium's `flatten_space` rule, except that a space which is a Discrete
/// stays one number; [`convert::open_source`] gives what is stored, infos included.
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
    open_within(id_or_path, minari_root, defects, &Budget::default())
}

/// Opens a dataset as [`open_with`] does, and takes no more than the budget allows.
pub fn open_within(
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
    budget: &Budget,
) -> Result<Dataset, Error> {
    let mut source = convert::open_source_within(id_or_path, minari_root, Contents::Steps, budget)?;
    convert::gather(&mut *source, defects)
}

/// Opens one file: its first bytes tell what it is.
fn file_source(path: &Path, contents: Contents, budget: &Budget) -> Result<Box<dyn Source>, Error> {
    let open = || {
        let (mut file, _) = input::open_text(path)?;
        let mut head = Vec::new();
        (&mut file).take(8).read_to_end(&mut head)?;
        let is_csv = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        Ok::<Box<dyn Source>, Error>(match head.as_slice() {
            head if *head == hdf5::SIGNATURE => return hdf5_source(path, contents, budget),
            [b'P', b'K', 3, 4, ..] => Box::new(numpy::source(path, contents, budget)?),
            head if head.starts_with(flat::table::MAGIC) => {
                Box::new(flat::table::file(path, contents, budget)?)
            }
            [0x80, 2..=5, ..] | [b'(', b'l', ..] | [b']', b'q' | b'(', ..] | b"" if !is_csv => {
                Box::new(pickle::PickleSource::open(path, budget)?)
            }
            _ if is_csv => Box::new(csv::source(path, budget)?),
            _ if hdf5::has_user_block(&mut file)? => return hdf5_source(path, contents, budget),
            _ => return Err(Error::UnknownFile),
        })
    };
    open().map_err(|error: Error| error.at(path))
}

/// Opens an HDF5 file: its names tell its layout.
fn hdf5_source(path: &Path, contents: Contents, budget: &Budget) -> Result<Box<dyn Source>, Error> {
    let root = hdf5::File::open(path, budget)?.root()?;
    let names = root.names(&budget.fork())?;
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("num_episodes") && has("columns") {
        Ok(Box::new(d3rlpy::D3rlpySource::open(root, path, budget)?))
    } else if d4rl::has_columns(&names) {
        Ok(Box::new(d4rl::source(&root, path, contents, budget)?))
    } else if has("episode_0") {
        minari::source(path, contents, budget)
    } else {
        Err(Error::NotADataset)
    }
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
