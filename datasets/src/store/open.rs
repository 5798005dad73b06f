//! Opening a dataset by name: in memory, or through its store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{StoreMode, Writer, cache_directory, open_or_make, short_name};
use crate::dataset::{Intake, hexadecimal};
use crate::{Dataset, Defects, Error, datasets_root, minari};

/// Numbers in memory take about so many times the bytes of their files: `float32` becomes `f64`,
/// and the sampler has `f32` copies.
const GROWTH: u64 = 3;

/// Opens a dataset as [`open_with`](crate::open_with) does, and holds its numbers as `mode` says.
///
/// A store is made in [`cache_directory`] when it is needed and not there, and anew when a file of
/// the dataset has another size or time of change.
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
    let in_memory = || crate::open_with(id_or_path, minari_root, defects);
    let root = minari_root.map_or_else(datasets_root, Path::to_path_buf);
    let installed = minari::installed(&root, id_or_path);
    let path = installed.unwrap_or_else(|| PathBuf::from(id_or_path));
    if mode == StoreMode::Memory || !path.exists() {
        return in_memory();
    }
    let files = fingerprint(id_or_path, &path, defects)?;
    if !mode.maps(files.bytes.saturating_mul(GROWTH)) {
        return in_memory();
    }
    open_or_make(cache, &files.key, &files.source, |target| {
        let dataset = in_memory()?;
        let mut writer = Writer::create(target, dataset.info().clone(), defects)?;
        for episode in dataset.iter() {
            writer.push(episode.to_owned())?;
        }
        for finding in dataset.findings() {
            writer.note(finding.clone());
        }
        Ok(writer)
    })
}

/// What identifies data at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The name of its store.
    pub(super) key: String,
    /// How defects are treated, then a line for every file: its size, time of change and path.
    pub(super) source: Vec<String>,
    /// The size of all files.
    pub(super) bytes: u64,
}

pub(super) fn fingerprint(name: &str, path: &Path, defects: Defects) -> Result<Fingerprint, Error> {
    let (mut source, mut bytes) = (vec![format!("{defects:?}")], 0);
    list(path, &mut source, &mut bytes)?;
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

/// Adds a line for each file at or below `path`, in the order of their names, and their sizes.
fn list(path: &Path, lines: &mut Vec<String>, bytes: &mut u64) -> Result<(), Error> {
    let look = || {
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            let entries = fs::read_dir(&path)?.map(|entry| entry.map(|entry| entry.path()));
            return Ok((entries.collect::<Result<Vec<_>, _>>()?, None));
        }
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
        let (nanos, bytes) = (changed.unwrap_or_default().as_nanos(), metadata.len());
        let line = format!("{bytes} {nanos} {}", path.display());
        Ok((Vec::new(), Some((line, bytes))))
    };
    let found = look().map_err(|error: std::io::Error| Error::Io(error).at(path))?;
    let (mut entries, file) = found;
    if let Some((line, size)) = file {
        lines.push(line);
        *bytes += size;
    }
    entries.sort();
    entries
        .iter()
        .try_for_each(|entry| list(entry, lines, bytes))
}
