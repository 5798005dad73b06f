//! Files and directories appear whole or not at all.
//!
//! They are written into a hidden directory next to the target, synced to the disk and then
//! renamed. A killed process leaves only that hidden directory, which Minari does not list; the
//! next writer of the same target removes it. A lock distinguishes an abandoned directory from one
//! in use; process ids do not, since containers that share a disk may use the same ones.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::Error;

/// The limit of concurrent writers of one name.
const MAX_WRITERS: u32 = 1000;

/// A file or directory that is being written.
pub(crate) struct Staging {
    target: PathBuf,
    /// The hidden directory: a lock, and the content under its own name.
    partial: PathBuf,
    _lock: File,
}

impl Staging {
    /// Begins to write `target`, a file or a directory that does not exist yet.
    pub(crate) fn begin(target: &Path) -> Result<Self, Error> {
        if target.exists() {
            return Err(Error::Exists.at(target));
        }
        Self::beside(target, &draft_prefix(target)?)
    }

    /// Begins to write or replace `target` in a folder that only this program uses: abandoned
    /// drafts of any name are removed.
    pub(crate) fn in_cache(target: &Path) -> Result<Self, Error> {
        Self::beside(target, ".")
    }

    /// Removes abandoned drafts whose names begin with `cleared`, and makes a new one.
    fn beside(target: &Path, cleared: &str) -> Result<Self, Error> {
        let prefix = draft_prefix(target)?;
        let parent = folder(target);
        let begin = || {
            fs::create_dir_all(parent)?;
            // While a folder is locked no draft is begun in it, so one without its own lock is
            // abandoned. Where folders cannot be locked, its age decides.
            let guard = File::open(parent).and_then(|folder| folder.lock().map(|()| folder));
            remove_abandoned(parent, cleared, guard.is_ok())?;
            let partial = create(parent, &prefix)?;
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

    /// Renames the content to the target.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let commit = || {
            let content = self.content();
            sync_all(&content)?;
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
        // After a commit only the lock is left; else everything is removed.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Removes the leftovers of a target's killed writers, also of one killed after its last rename.
/// What cannot be removed stays.
pub(crate) fn clear(target: &Path) {
    if let Ok(prefix) = draft_prefix(target) {
        let parent = folder(target);
        let guard = File::open(parent).and_then(|folder| folder.lock().map(|()| folder));
        let _ = remove_abandoned(parent, &prefix, guard.is_ok());
    }
}

/// The names of the hidden directories of a target's writers.
fn draft_prefix(target: &Path) -> Result<String, Error> {
    match target.file_name() {
        Some(name) => Ok(format!(".{}.partial-", name.to_string_lossy())),
        None => Err(Error::NotADataset.at(target)),
    }
}

/// A new directory with the first free number.
fn create(parent: &Path, prefix: &str) -> std::io::Result<PathBuf> {
    let process = std::process::id();
    for number in 0..MAX_WRITERS {
        let partial = parent.join(format!("{prefix}{process}-{number}"));
        match fs::create_dir(&partial) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created.map(|()| partial),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes the leftovers of killed writers. `alone`: no draft is begun meanwhile.
fn remove_abandoned(parent: &Path, prefix: &str, alone: bool) -> std::io::Result<()> {
    for entry in fs::read_dir(parent)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(prefix) || !name.contains(".partial-") {
            continue;
        }
        let path = entry.path();
        let abandoned = match File::open(path.join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Without a lock: it was just begun, or its writer was killed there or while removing
            // it.
            Err(_) => alone || is_old(&entry),
        };
        if abandoned {
            match fs::remove_dir_all(&path) {
                // Its writer removed it at the same time.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|age| age.as_secs() > 60)
}

/// Waits until a file, or a directory's list of names, is on the disk.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    // Only Unix can open a directory for that.
    if cfg!(unix) || path.is_file() {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Waits until a file or everything below a directory is on the disk. Each sync of one of thousands
/// of files would take milliseconds, so the file system is synced once where possible.
pub(crate) fn sync_all(path: &Path) -> std::io::Result<()> {
    if path.is_dir() && !sync_file_system(path) {
        for entry in fs::read_dir(path)? {
            sync_all(&entry?.path())?;
        }
    }
    sync(path)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std has no call for it")]
fn sync_file_system(path: &Path) -> bool {
    use std::os::fd::AsRawFd;
    unsafe extern "C" {
        fn syncfs(descriptor: std::ffi::c_int) -> std::ffi::c_int;
    }
    File::open(path).is_ok_and(|folder| {
        // SAFETY: the C library's function takes any descriptor; this one is open.
        unsafe { syncfs(folder.as_raw_fd()) == 0 }
    })
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &Path) -> bool {
    false
}

/// The folder of a path; that of a bare name is the working directory.
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
    fn drafts_abandoned_before_their_lock_are_removed_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("set");
        for number in 0..3 {
            let name = format!(".set.partial-{}-{number}", std::process::id());
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        fs::create_dir(directory.path().join(".other.partial-1-0")).unwrap();
        let staging = Staging::begin(&target).unwrap();
        fs::create_dir(staging.content()).unwrap();
        fs::write(staging.content().join("file"), "x").unwrap();
        staging.commit().unwrap();
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 2, "the target, and the draft of another name");
        drop(Staging::in_cache(&directory.path().join("more")).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn drafts_next_to_an_existing_dataset_can_be_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("set");
        let living = Staging::begin(&target).unwrap();
        let dead = directory.path().join(".set.partial-1-0");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        clear(&target);
        assert!(!dead.exists() && living.partial.exists());
        clear(Path::new("/no/such/folder/set"));
    }

    #[test]
    fn writers_with_the_same_process_number_do_not_collide() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("set");
        let first = Staging::begin(&target).unwrap();
        let second = Staging::begin(&target).unwrap();
        assert_ne!(first.content(), second.content());
        assert!(first.partial.is_dir() && second.partial.is_dir());
    }

    #[test]
    fn leftovers_of_a_dead_writer_are_removed_and_a_live_one_is_not_disturbed() {
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
