//! Datasets larger than memory: columns in files that are mapped, not read.
//!
//! A store is a directory that is made once from any source and then opened instantly:
//!
//! ```text
//! <cache>/datasets/<key>/metadata.json      what it is, sizes, hash, what it was made from
//!                        episodes           per episode: steps, flags, seed (three u64)
//!                        observations       f64, the rows of one episode after those of another
//!                        actions, rewards
//! ```
//!
//! It is written episode by episode under another name, synced to the disk and renamed, so a store
//! exists whole or not at all. On opening, format, version and every size are checked; one that is
//! damaged or of another version is rebuilt. Numbers are `f64`, as everywhere in a [`Dataset`]: a
//! store of `float32` data is twice as large as the data.
//!
//! The cache directory is `$RTG_CACHE`, else `rtg` in the user's cache directory.

mod mode;
mod open;
mod writer;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::{Deserialize, Serialize};

pub use self::mode::StoreMode;
pub use self::open::open_as;
pub(crate) use self::writer::Writer;
use crate::dataset::{Columns, EpisodeReceiver, Numbers, Place};
use crate::finding::stable_code;
use crate::mapping::Mapping;
use crate::{Budget, Dataset, Defects, Episode, Error, Finding, Info, Severity, input};

const FORMAT: &str = "rtg column store";
const VERSION: u32 = 3;
const METADATA: &str = "metadata.json";
const INDEX: &str = "episodes";
const FILES: [&str; 3] = ["observations", "actions", "rewards"];
/// Steps, flags and seed.
const EPISODE_BYTES: usize = 24;

/// The directory of stores: the directory `datasets` in `$RTG_CACHE`, else in `rtg` in the user's
/// cache directory.
pub fn cache_directory() -> PathBuf {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let own = || {
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        caches.unwrap_or_else(env::temp_dir).join("rtg")
    };
    set("RTG_CACHE").unwrap_or_else(own).join("datasets")
}

/// Makes the store `directory` from a stream of episodes, with memory for one of them, and opens
/// it. An existing store is opened if it is sound, else replaced.
pub fn make(
    directory: &Path,
    info: Info,
    episodes: impl IntoIterator<Item = Result<Episode, Error>>,
) -> Result<Dataset, Error> {
    let mut writer = Writer::create(directory, info, Defects::Refuse)?;
    for episode in episodes {
        writer.push(episode?)?;
    }
    writer.finish(Vec::new())?;
    open(directory)
}

/// The same dataset, mapped from a store in `cache` that is made if there is none. The store is
/// found by the dataset's hash.
pub fn map(dataset: &Dataset, cache: &Path) -> Result<Dataset, Error> {
    let hash = dataset.hash();
    let source = vec![format!("dataset {hash}")];
    let key = format!("{}-{}", short_name(&dataset.info().id), &hash[..16]);
    let mut mapped = open_or_make(cache, &key, &source, |target| {
        let mut writer = Writer::create(target, dataset.info().clone(), dataset.defects())?;
        for episode in dataset.iter() {
            writer.push(episode.to_owned())?;
        }
        for finding in dataset.findings() {
            writer.note(finding.clone());
        }
        Ok(writer)
    })?;
    mapped.info.clone_from(dataset.info());
    mapped.weights.clone_from(&dataset.weights);
    mapped.known_hash = Some(hash);
    Ok(mapped)
}

/// Opens the store `key` if it was made from `source`; makes it if there is none, or if the
/// existing one is damaged or made from another source.
pub(crate) fn open_or_make(
    cache: &Path,
    key: &str,
    source: &[String],
    make: impl FnOnce(&Path) -> Result<Writer, Error>,
) -> Result<Dataset, Error> {
    let directory = cache.join(key);
    match validated(&directory) {
        Ok((dataset, made_from)) if made_from == source => return Ok(dataset),
        Ok(_) => fs::remove_dir_all(&directory).map_err(|error| Error::Io(error).at(&directory))?,
        // Not there, or not sound: the writer replaces it.
        Err(_) => {}
    }
    make(&directory)?.finish(source.to_vec())?;
    open(&directory)
}

/// Opens the store in a directory.
pub fn open(directory: &Path) -> Result<Dataset, Error> {
    validated(directory).map(|(dataset, _)| dataset)
}

/// Opens a store, and returns its source.
fn validated(directory: &Path) -> Result<(Dataset, Vec<String>), Error> {
    let open = || {
        let json = input::read(&directory.join(METADATA), &Budget::default())?;
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|error| Error::Store(error.to_string()))?;
        let dataset = read(directory, &metadata)?;
        Ok((dataset, metadata.source))
    };
    open().map_err(|error: Error| error.at(directory))
}

/// The end of an id or path as part of a directory's name.
fn short_name(id: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let letters: Vec<char> = id.chars().map(plain).collect();
    letters[letters.len().saturating_sub(40)..].iter().collect()
}

/// `metadata.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    format: String,
    version: u32,
    /// Numbers are in the machine's byte order.
    little_endian: bool,
    info: Info,
    keeps_defects: bool,
    episodes: usize,
    steps: usize,
    hash: String,
    findings: Vec<StoredFinding>,
    source: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFinding {
    code: String,
    severity: Severity,
    count: usize,
    message: String,
}

impl Metadata {
    fn new(
        info: Info,
        defects: Defects,
        (episodes, steps): (usize, usize),
        findings: Vec<Finding>,
        source: Vec<String>,
    ) -> Self {
        let stored = |finding: Finding| StoredFinding {
            code: finding.code.into(),
            severity: finding.severity,
            count: finding.count,
            message: finding.message,
        };
        Self {
            format: FORMAT.into(),
            version: VERSION,
            little_endian: cfg!(target_endian = "little"),
            info,
            keeps_defects: defects == Defects::Keep,
            episodes,
            steps,
            hash: String::new(),
            findings: findings.into_iter().map(stored).collect(),
            source,
        }
    }
}

/// Maps the columns and checks them against the metadata.
fn read(directory: &Path, metadata: &Metadata) -> Result<Dataset, Error> {
    let fail = |reason: String| Err(Error::Store(reason));
    if metadata.format != FORMAT || metadata.version != VERSION {
        return fail(format!(
            "{:?} of version {}",
            metadata.format, metadata.version
        ));
    }
    if metadata.little_endian != cfg!(target_endian = "little") {
        return fail("its numbers have the other byte order".into());
    }
    let (episodes, steps) = (metadata.episodes, metadata.steps);
    let index = input::read(&directory.join(INDEX), &Budget::default())?;
    if Some(index.len()) != episodes.checked_mul(EPISODE_BYTES) {
        return fail(format!(
            "{} bytes in the list of {episodes} episodes",
            index.len()
        ));
    }
    let mut places = Vec::with_capacity(episodes);
    let mut step = 0_usize;
    for (number, row) in index.chunks_exact(EPISODE_BYTES).enumerate() {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&row[8 * at..8 * (at + 1)]);
            u64::from_le_bytes(bytes)
        };
        let [length, flags, seed] = [word(0), word(1), word(2)];
        let fits = (1..=(steps - step) as u64).contains(&length);
        if !fits || flags > 7 {
            return fail(format!(
                "episode {number} has {length} steps, flags {flags}"
            ));
        }
        places.push(Place {
            columns: 0,
            observation: step + number,
            step,
            steps: length as usize,
            terminated: flags & 1 != 0,
            truncated: flags & 2 != 0,
            seed: (flags & 4 != 0).then_some(seed),
        });
        step += length as usize;
    }
    if step != steps {
        return fail(format!("episodes of {step} steps in all, expected {steps}"));
    }
    let info = metadata.info.clone();
    let (s, a) = (info.observation_space.width(), info.action_space.width());
    let column = |name: &str, rows: usize, width: usize| {
        let path = directory.join(name);
        let bytes = rows
            .checked_mul(width)
            .and_then(|numbers| numbers.checked_mul(size_of::<f64>()));
        let bytes = bytes.ok_or_else(|| Error::Store(format!("{rows} rows of {width}")))?;
        let mapping = Mapping::open(&path, bytes as u64).map_err(|error| error.at(&path))?;
        Ok::<_, Error>(Numbers::from(mapping))
    };
    let [observations, actions, rewards] = FILES;
    let columns = Columns {
        observations: column(observations, steps + episodes, s)?,
        actions: column(actions, steps, a)?,
        rewards: column(rewards, steps, 1)?,
    };
    let defects = if metadata.keeps_defects {
        Defects::Keep
    } else {
        Defects::Refuse
    };
    let mut dataset = Dataset::over(info, defects, vec![columns], places);
    dataset.known_hash = Some(metadata.hash.clone()).filter(|hash| !hash.is_empty());
    dataset.findings = metadata
        .findings
        .iter()
        .map(StoredFinding::finding)
        .collect();
    Ok(dataset)
}

impl StoredFinding {
    fn finding(&self) -> Finding {
        Finding {
            code: stable_code(&self.code),
            severity: self.severity,
            count: self.count,
            message: self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
