//! Opening a dataset by name: in memory, or through its store.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{StoreMode, Writer, cache_directory, open_or_make, short_name};
use crate::dataset::hexadecimal;
use crate::{Budget, Contents, Dataset, Defects, Error, datasets_root, gather, input, minari};

/// Bytes of a number in memory: an `f64`, and an `f32` in the sampler.
const BYTES: usize = 12;
/// Estimated ratio of bytes in memory to bytes in a file, where the number of steps is not known.
const GROWTH: u64 = 3;

/// Opens a dataset as [`open_with`](crate::open_with) does, and keeps its numbers as `mode` says.
///
/// A store is built in [`cache_directory`] when it is needed and missing, and rebuilt when a file
/// of the dataset has another size or modification time.
pub fn open_as(
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
    mode: StoreMode,
) -> Result<Dataset, Error> {
    open_in(&cache_directory(), id_or_path, minari_root, defects, mode)
}

pub(super) fn open_in(
    cache: &Path,
    id_or_path: &str,
    minari_root: Option<&Path>,
    defects: Defects,
    mode: StoreMode,
) -> Result<Dataset, Error> {
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    let installed = minari::installed(&root, id_or_path);
    let path = installed.unwrap_or_else(|| PathBuf::from(id_or_path));
    if mode == StoreMode::Memory || !path.exists() {
        return crate::open_with(id_or_path, minari_root, defects);
    }
    let files = fingerprint(id_or_path, &path, defects)?;
    let mut source = crate::open_source(id_or_path, minari_root, Contents::Steps)?;
    let empty = gather::empty(&*source, defects)?;
    let row = empty.observation_width() + empty.action_width() + 1;
    let bytes = match source.recording().total_steps {
        Some(steps) => steps.saturating_mul(row).saturating_mul(BYTES) as u64,
        None => files.bytes.saturating_mul(GROWTH),
    };
    if !mode.maps(bytes) {
        return gather::gather(&mut *source, defects);
    }
    open_or_make(cache, &files.key, &files.source, |target| {
        let mut writer = Writer::create(target, empty.info().clone(), defects)?;
        let width = empty.observation_width();
        gather::copy_episodes(&mut *source, defects, width, &mut writer)?;
        Ok(writer)
    })
}

/// What identifies data at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The name of its store.
    pub(super) key: String,
    /// How defects are treated, then a line for every file: its size, modification time and path.
    pub(super) source: Vec<String>,
    /// The size of all files.
    pub(super) bytes: u64,
}

pub(super) fn fingerprint(name: &str, path: &Path, defects: Defects) -> Result<Fingerprint, Error> {
    let mut files = Files {
        lines: vec![format!("{defects:?}")],
        bytes: 0,
        folders: HashSet::new(),
        budget: Budget::default(),
    };
    files.list(path, 0)?;
    let Files {
        lines: source,
        bytes,
        ..
    } = files;
    let mut hash = Sha256::new();
    for line in &source {
        hash.update(line);
        hash.update("\n");
    }
    let digits = hexadecimal(&hash.finalize());
    Ok(Fingerprint {
        key: format!("{}-{}", short_name(name), &digits[..16]),
        source,
        bytes,
    })
}

/// The files of a dataset.
struct Files {
    /// One for each file: its size, modification time and path.
    lines: Vec<String>,
    bytes: u64,
    /// Folders already searched: links may lead back to them.
    folders: HashSet<PathBuf>,
    budget: Budget,
}

impl Files {
    /// Adds each file at or below `path`, in the order of their names.
    fn list(&mut self, path: &Path, depth: usize) -> Result<(), Error> {
        /// Minari's folders nest three deep.
        const MAX_DEPTH: usize = 16;
        if depth > MAX_DEPTH {
            return Err(Error::TooManyParts("the dataset's folder".into()).at(path));
        }
        let found = fs::canonicalize(path).and_then(|path| Ok((fs::metadata(&path)?, path)));
        let (metadata, place) = found.map_err(|error| Error::Io(error).at(path))?;
        let room = self.budget.take(512, "the list of files");
        room.map_err(|error| error.at(path))?;
        if !metadata.is_dir() {
            let look = || {
                input::regular(&metadata)?;
                let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
                Ok(changed.unwrap_or_default().as_nanos())
            };
            let nanos = look().map_err(|error: Error| error.at(path))?;
            let bytes = metadata.len();
            self.lines
                .push(format!("{bytes} {nanos} {}", place.display()));
            self.bytes += bytes;
            return Ok(());
        }
        if !self.folders.insert(place.clone()) {
            return Ok(());
        }
        let entries = fs::read_dir(&place).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        });
        let mut entries: Vec<PathBuf> = entries.map_err(|error| Error::Io(error).at(path))?;
        entries.sort();
        entries
            .iter()
            .try_for_each(|entry| self.list(entry, depth + 1))
    }
}
