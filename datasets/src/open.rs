//! Opens a dataset by Minari id or by path: its content decides which reader is used.

use std::io::Read;
use std::path::Path;

use crate::recording::Source;
use crate::{
    Budget, Contents, Dataset, Defects, Error, csv, d3rlpy, d4rl, datasets_root, flat, gather,
    hdf5, input, minari, numpy, pickle,
};

/// Opens a dataset by Minari id or by path, and refuses data that cannot be trained on.
///
/// `id_or_path` is a Minari id such as `mujoco/hopper/medium-v0`, looked up under `minari_root`
/// (if `None`: under [`datasets_root`]), or else the path of a Minari directory, of its
/// `main_data.hdf5`, of a D4RL or d3rlpy file, of the official pickled trajectories, of an
/// `.npz` archive, a CSV file or a Parquet file of one row a step, or of a folder of `LeRobot`.
///
/// Rows are flattened by Gymnasium's `flatten_space` rule, except that a space which is a Discrete
/// stays one number; [`open_source`] reads everything stored, infos included.
pub fn open(id_or_path: &str, minari_root: Option<&Path>) -> Result<Dataset, Error> {
    open_with(id_or_path, minari_root, Defects::Refuse)
}

/// Opens a dataset as [`open`] does, with a choice of how to treat defective episodes.
///
/// With [`Defects::Keep`], values that are not finite stay in the data and episodes without their
/// final observation are completed, so that [`doctor::examine`](crate::doctor::examine) can report
/// them.
pub fn open_with(
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
) -> Result<Dataset, Error> {
    open_within(id_or_path, minari_root, defects, &Budget::default())
}

/// Opens a dataset as [`open_with`] does, and uses no more memory than the budget allows.
pub fn open_within(
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
    budget: &Budget,
) -> Result<Dataset, Error> {
    let mut source = open_source_within(id_or_path, minari_root, Contents::Steps, budget)?;
    gather::gather(&mut *source, defects)
}

/// Opens one file: its first bytes decide on the reader.
fn file_source(path: &Path, contents: Contents, budget: &Budget) -> Result<Box<dyn Source>, Error> {
    let open = || {
        let (mut file, _) = input::open_text(path)?;
        let mut head = Vec::new();
        (&mut file).take(8).read_to_end(&mut head)?;
        let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        let is_csv = extension.is_some_and(|extension| extension == "csv" || extension == "tsv");
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

/// Opens an HDF5 file: the names in it decide on the layout.
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

/// Opens a dataset by Minari id or path, as [`open`] does, episode by episode.
pub fn open_source(
    id_or_path: &str,
    minari_root: Option<&Path>,
    contents: Contents,
) -> Result<Box<dyn Source>, Error> {
    open_source_within(id_or_path, minari_root, contents, &Budget::default())
}

/// Opens a dataset as [`open_source`] does, and uses no more memory than the budget allows.
pub fn open_source_within(
    id_or_path: &str,
    minari_root: Option<&Path>,
    contents: Contents,
    budget: &Budget,
) -> Result<Box<dyn Source>, Error> {
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    if let Some(directory) = minari::installed(&root, id_or_path) {
        return minari::source(&directory, contents, budget);
    }
    let path = Path::new(id_or_path);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_no_path(&error) => return Err(minari::unknown(&root, id_or_path)),
        Err(error) => return Err(Error::Io(error).at(path)),
    };
    if !metadata.is_dir() {
        input::regular(&metadata).map_err(|error| error.at(path))?;
        return file_source(path, contents, budget);
    }
    if flat::table::is_robot(path) {
        return Ok(Box::new(flat::table::robot(path, contents, budget)?));
    }
    minari::source(path, contents, budget)
}

/// Whether nothing exists at a path, or it is not a path.
fn is_no_path(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    )
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
