//! Datasets appear whole or not at all.
//!
//! What is written goes into a hidden directory beside its final place, is brought onto the disk
//! and then renamed. A process that dies leaves only that hidden directory, which Minari does not
//! list; the next one that writes to the same place removes it. A lock tells a dead writer's
//! directory from a living one's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// Something that is being written.
pub(crate) struct Staging {
    target: PathBuf,
    /// The hidden directory: a lock, and the content under its own name.
    partial: PathBuf,
    _lock: File,
}

impl Staging {
    /// Begins to write what shall become `target`, a file or a directory that does not exist yet.
    pub(crate) fn begin(target: &Path) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if target.exists() {
            return Err(Error::Exists.at(target));
        }
        let Some(name) = target.file_name() else {
            return Err(Error::NotADataset.at(target));
        };
        let parent = folder(target);
        let prefix = format!(".{}.partial-", name.to_string_lossy());
        let own = format!(
            "{prefix}{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let begin = || {
            fs::create_dir_all(parent)?;
            remove_abandoned(parent, &prefix)?;
            let partial = parent.join(own);
            fs::create_dir(&partial)?;
            let lock = File::create(partial.join("lock"))?;
            lock.lock()?;
            Ok((partial, lock))
        };
        let (partial, lock) =
            begin().map_err(|error: std::io::Error| Error::Io(error).at(target))?;
        Ok(Self {
            target: target.to_path_buf(),
            partial,
            _lock: lock,
        })
    }

    /// Where to write.
    pub(crate) fn content(&self) -> PathBuf {
        self.partial.join("content")
    }

    /// Gives the content its name. Its files must be on the disk already.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let commit = || {
            let content = self.content();
            sync(&content)?;
            if self.target.exists() {
                return Err(Error::Exists);
            }
            fs::rename(&content, &self.target)?;
            sync(folder(&self.target))?;
            Ok(())
        };
        commit().map_err(|error| error.at(&self.target))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a commit there is only the lock left; else everything goes.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Removes what dead writers have left.
fn remove_abandoned(parent: &Path, prefix: &str) -> std::io::Result<()> {
    for entry in fs::read_dir(parent)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let abandoned = match File::open(path.join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Not even a lock: it was just begun, or somebody died right there or while removing it.
            Err(_) => entry
                .metadata()?
                .modified()?
                .elapsed()
                .is_ok_and(|age| age.as_secs() > 60),
        };
        if abandoned {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Waits until a file, or a directory's list of names, is on the disk.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    // Only Unix can open a directory for that.
    if cfg!(unix) || path.is_file() {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// The folder in which a path lies; a bare name lies in the working directory.
fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Writes a whole file and waits until it is on the disk.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content)
        .and_then(|()| sync(path))
        .map_err(|error| Error::Io(error).at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_appears_at_once_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a/b");
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.content(), "x").unwrap();
        assert!(!target.exists());
        staging.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "x");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
        assert!(matches!(Staging::begin(&target), Err(Error::At { .. })));
    }

    #[test]
    fn what_a_dead_writer_left_is_removed_and_a_living_one_is_not_disturbed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("set");
        let left = directory.path().join(".set.partial-1-1");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        let living = Staging::begin(&target).unwrap();
        assert!(!left.exists());
        fs::write(living.content(), "first").unwrap();
        let second = Staging::begin(&target).unwrap();
        fs::write(second.content(), "second").unwrap();
        living.commit().unwrap();
        assert!(second.commit().is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "first");
    }
}
