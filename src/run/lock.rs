//! The lock of a run directory: one of the operating system, so that it ends with its process, even
//! one that was killed.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::Error;
use super::error::write_error;

/// The file that is locked.
pub(super) const LOCK: &str = ".lock";
/// How often the lock is tried, and the time between: `rtg sweep --slurm` holds it for a moment, to
/// check whether it is free.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// The file in which Linux lists the locks of this machine's processes.
const LIST: &str = "/proc/locks";

/// Takes the lock of a run. A file system that has no locks is used without one.
pub(super) fn take(folder: &Path) -> Result<Option<File>, Error> {
    let name = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| write_error(&name, source))?;
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) if is_unknown(&source) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(write_error(&name, source)),
        }
    }
    Ok(Some(file))
}

/// Whether this error says that the file system has no locks.
fn is_unknown(error: &io::Error) -> bool {
    /// "No locks available", an NFS without its lock service; it has no `ErrorKind`.
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(ENOLCK))
}

/// Whether a process of this machine holds the lock of a run, found without touching it. Known on
/// Linux only; elsewhere `false`.
pub(super) fn is_held(folder: &Path) -> bool {
    let Some(inode) = inode(&folder.join(LOCK)) else {
        return false;
    };
    let list = std::fs::read_to_string(LIST).unwrap_or_default();
    list.lines().any(|line| holds(line, inode))
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(std::fs::metadata(path).ok()?.ino())
}

#[cfg(not(unix))]
fn inode(_path: &Path) -> Option<u64> {
    None
}

/// Whether a line such as `1: FLOCK  ADVISORY  WRITE 13156 fe:00:5586951 0 EOF` is of a lock of
/// this file. The two numbers of the device differ between the list and the file on some file
/// systems.
fn holds(line: &str, inode: u64) -> bool {
    let mut words = line.split_whitespace().skip(1);
    // An arrow marks a waiting process.
    if words.next() == Some("->") {
        return false;
    }
    let file = words.nth(3).and_then(|file| file.rsplit(':').next());
    file.and_then(|number| number.parse().ok()) == Some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_in_the_list_of_the_system() {
        let line = "1: FLOCK  ADVISORY  WRITE 13156 fe:00:5586951 0 EOF";
        assert!(holds(line, 5_586_951));
        assert!(!holds(line, 586_951));
        let waits = "1: -> FLOCK  ADVISORY  WRITE 13156 fe:00:5586951 0 EOF";
        assert!(!holds(waits, 5_586_951));
        for line in [
            "",
            "1:",
            "1: FLOCK ADVISORY",
            "1: FLOCK ADVISORY WRITE 3 x 0",
        ] {
            assert!(!holds(line, 0), "{line}");
        }
    }

    #[test]
    fn a_lock_is_detected_without_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()));
        let lock = take(folder.path()).unwrap();
        assert_eq!(is_held(folder.path()), Path::new(LIST).exists());
        drop(lock);
        assert!(!is_held(folder.path()));
    }

    #[test]
    fn a_lock_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path()).unwrap();
        let other = thread::spawn({
            let path = folder.path().to_owned();
            move || take(&path).is_ok()
        });
        thread::sleep(PAUSE / 2);
        drop(held);
        assert!(other.join().unwrap());
    }
}
