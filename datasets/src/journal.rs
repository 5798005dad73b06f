//! An unfinished collection: episodes on disk before there is a dataset.
//!
//! Minari's formats cannot be appended to safely: an HDF5 file whose writer was killed may not open
//! again. A journal is an append-only file of whole episodes from which the dataset is written at
//! the end, by [`copy`](crate::convert::copy).
//!
//! ```text
//! rtg-journal-1 newline
//! record: the length of the payload (u64), the first 8 bytes of its SHA-256, the payload
//! record ...
//! ```
//!
//! Numbers are little-endian. The first record is a header: JSON with the recording's metadata and
//! the collector's settings. Each following one is an episode. A record whose end is missing, as a
//! kill leaves it, is cut off when the journal is opened again; so an episode that was flushed is
//! never lost and one that was not is never half written.

mod codec;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::recording::{RecordedEpisode, Recording, RecordingSpace, Source};
use crate::{Budget, Error};

const MAGIC: &[u8] = b"rtg-journal-1\n";
/// Length and checksum.
const HEAD_BYTES: u64 = 16;
/// A header that is longer was not cut off by a full disk at its beginning.
const MAX_HEAD: u64 = 1 << 20;

/// A journal open for appending. Only one process can have it open.
pub struct Journal {
    file: File,
    path: PathBuf,
    recording: Recording,
    settings: Value,
    /// Where the next record goes.
    end: u64,
    episodes: usize,
    steps: usize,
    /// Records that were not flushed yet.
    pending: Vec<u8>,
}

impl Journal {
    /// Creates a journal where there is none. `settings` come back when it is opened again, so that
    /// a collector can check whether it continues its own work.
    ///
    /// It gets its name only when its header is on the disk. A file of this name without a whole
    /// header, as a full disk may have left it, is replaced.
    pub fn create(path: &Path, recording: &Recording, settings: &Value) -> Result<Self, Error> {
        let draft = beside(path, ".new");
        let header = json!({
            "id": recording.id,
            "observation_space": recording.observation_space.text(),
            "action_space": recording.action_space.text(),
            "entries": recording.entries,
            "settings": settings,
        });
        let mut bytes = MAGIC.to_vec();
        push_record(&mut bytes, crate::json::write(&header).as_bytes());
        let create = || {
            let mut options = OpenOptions::new();
            // The existing file is the draft of another process, whether that still runs or not.
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&draft)?;
            lock(&file)?;
            Ok(file)
        };
        let mut file = create().map_err(|error: Error| error.at(&draft))?;
        let mut begin = || {
            file.set_len(0)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            if Self::is_begun(path)? {
                return Err(Error::Exists);
            }
            std::fs::rename(&draft, path)?;
            let parent = path.parent().filter(|parent| parent.is_dir());
            Ok(parent.map_or(Ok(()), crate::staging::sync)?)
        };
        if let Err(error) = begin() {
            let _ = std::fs::remove_file(&draft);
            return Err(error.at(path));
        }
        Ok(Self {
            file,
            path: path.to_path_buf(),
            recording: recording.clone(),
            settings: settings.clone(),
            end: bytes.len() as u64,
            episodes: 0,
            steps: 0,
            pending: Vec::new(),
        })
    }

    /// Whether something is at that path that [`Journal::create`] would not replace: a journal with
    /// a header, or a file that is not a journal.
    pub fn is_begun(path: &Path) -> Result<bool, Error> {
        let mut head = Vec::new();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::Io(error).at(path)),
            Ok(_) => {
                let (file, _) = crate::input::open_text(path)?;
                file.take(MAX_HEAD).read_to_end(&mut head)?;
            }
        }
        let all_zero = head.len() < MAX_HEAD as usize && head.iter().all(|&byte| byte == 0);
        Ok(!(all_zero || MAGIC.starts_with(&head) || is_cut_header(&head)))
    }

    /// Opens a journal to continue it. What a killed writer left half written is cut off.
    pub fn open_to_resume(path: &Path) -> Result<Self, Error> {
        let open = || {
            crate::input::regular(&std::fs::metadata(path)?)?;
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            lock(&file)?;
            let mut records = Records::open(path, &Budget::default())?;
            let (recording, settings) = header(&mut records)?;
            let (mut episodes, mut steps) = (0, 0);
            while let Some(payload) = records.next()? {
                steps += codec::decode(&payload)?.len();
                episodes += 1;
            }
            let end = records.end;
            file.set_len(end)?;
            file.sync_all()?;
            Ok(Self {
                file,
                path: path.to_path_buf(),
                recording,
                settings,
                end,
                episodes,
                steps,
                pending: Vec::new(),
            })
        };
        open().map_err(|error: Error| error.at(path))
    }

    /// Appends an episode, in memory until [`flush`](Self::flush).
    pub fn append(&mut self, episode: &RecordedEpisode) -> Result<(), Error> {
        push_record(&mut self.pending, &codec::encode(episode));
        self.episodes += 1;
        self.steps += episode.len();
        Ok(())
    }

    /// Waits until everything appended is on the disk.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut flush = || {
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(&self.pending)?;
            self.file.sync_data()?;
            self.end += self.pending.len() as u64;
            self.pending.clear();
            Ok(())
        };
        flush().map_err(|error: std::io::Error| Error::Io(error).at(&self.path))
    }

    /// Episodes in the journal, those not yet flushed included.
    pub fn episodes(&self) -> usize {
        self.episodes
    }

    /// Their steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The recording's metadata.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// What the collector stored when it created the journal.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// Flushes, and reads the episodes from the first one on.
    pub fn source(&mut self) -> Result<JournalSource, Error> {
        self.flush()?;
        JournalSource::open(&self.path)
    }
}

/// The episodes of a journal.
pub struct JournalSource {
    records: Records,
    recording: Recording,
    path: PathBuf,
}

impl JournalSource {
    /// Opens a journal for reading; a half-written last episode is skipped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let mut records = Records::open(path, &Budget::default())?;
            let (recording, _) = header(&mut records)?;
            Ok(Self {
                records,
                recording,
                path: path.to_path_buf(),
            })
        };
        open().map_err(|error: Error| error.at(path))
    }
}

impl Source for JournalSource {
    fn budget(&self) -> Budget {
        self.records.budget.clone()
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        let mut next = || match self.records.next()? {
            Some(payload) => codec::decode(&payload).map(Some),
            None => Ok(None),
        };
        next().map_err(|error| error.at(&self.path))
    }
}

/// Whether a journal ends inside its header: its text is cut off.
fn is_cut_header(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(MAGIC) else {
        return false;
    };
    if head.len() as u64 == MAX_HEAD {
        return false;
    }
    let Some(text) = rest.get(HEAD_BYTES as usize..) else {
        return true;
    };
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        None => true,
        Some(Err(error)) => error.is_eof(),
        Some(Ok(_)) => false,
    }
}

/// Another name in the same folder.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Locks a file for this process. A child that is just being started shares its parent's locks for
/// a moment, so the lock is retried for a second.
fn lock(file: &File) -> Result<(), Error> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        if file.try_lock().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Error::Locked)
}

fn header(records: &mut Records) -> Result<(Recording, Value), Error> {
    let payload = records
        .next()?
        .ok_or_else(|| Error::Damaged("the journal has no header".into()))?;
    let text = String::from_utf8(payload)
        .map_err(|_| Error::Damaged("the journal's header is not UTF-8".into()))?;
    let value = crate::json::parse(&text)?;
    let field = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Error::Missing(format!("the journal's {name}")))
    };
    let entries = value.get("entries").and_then(Value::as_object);
    let budget = &records.budget;
    let space = |name: &str| RecordingSpace::parse(field(name)?, name, budget);
    let recording = Recording {
        id: field("id")?.to_owned(),
        observation_space: space("observation_space")?,
        action_space: space("action_space")?,
        total_episodes: None,
        total_steps: None,
        entries: entries.cloned().unwrap_or_default(),
    };
    Ok((
        recording,
        value.get("settings").cloned().unwrap_or_default(),
    ))
}

/// The records of a file, as far as they are whole.
struct Records {
    file: BufReader<File>,
    /// The end of the last whole record.
    end: u64,
    length: u64,
    budget: Budget,
}

impl Records {
    fn open(path: &Path, budget: &Budget) -> Result<Self, Error> {
        let (file, length) = crate::input::open(path, budget)?;
        let mut file = BufReader::new(file);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != MAGIC {
            return Err(Error::Damaged("it is not a journal of episodes".into()));
        }
        Ok(Self {
            file,
            end: MAGIC.len() as u64,
            length,
            budget: budget.clone(),
        })
    }

    /// The next payload; `None` at the end, or where the rest is not whole.
    ///
    /// A wrong checksum in the middle means damage, not a kill: it is an error.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let left = self.length - self.end;
        if left < HEAD_BYTES {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES as usize];
        self.file.read_exact(&mut head)?;
        let (length, checksum) = head.split_at(8);
        let length = length
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let Some(after) = (left - HEAD_BYTES).checked_sub(length) else {
            return Ok(None);
        };
        // The record, and the episode decoded from it.
        let room = self.budget.fork();
        room.take(length.saturating_mul(4), "a record of the journal")?;
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact(&mut payload)?;
        if Sha256::digest(&payload)[..8] != *checksum {
            if after == 0 {
                return Ok(None);
            }
            return Err(Error::Damaged(format!(
                "the record at byte {} does not fit its checksum",
                self.end
            )));
        }
        self.end += HEAD_BYTES + length;
        Ok(Some(payload))
    }
}

fn push_record(bytes: &mut Vec<u8>, payload: &[u8]) {
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(payload)[..8]);
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
