//! Opens files of data: only regular files, and each is charged to the budget.
//!
//! Opening a pipe blocks until a process writes to it, and a device may never end, so neither is
//! opened. Links are followed.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::Path;

use crate::{Budget, Error};

/// Opens a file of data; returns its size too.
pub(crate) fn open(path: &Path, budget: &Budget) -> Result<(File, u64), Error> {
    let (file, bytes) = open_text(path)?;
    budget.admit(bytes);
    Ok((file, bytes))
}

/// Opens a file that is not compressed, so that it contains no more than its size.
pub(crate) fn open_text(path: &Path) -> Result<(File, u64), Error> {
    let open = || {
        regular(&fs::metadata(path)?)?;
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    };
    open().map_err(|error: Error| error.at(path))
}

/// The bytes of a whole file.
pub(crate) fn read(path: &Path, budget: &Budget) -> Result<Vec<u8>, Error> {
    let (file, bytes) = open(path, budget)?;
    let read = || {
        budget.take(bytes, "the file")?;
        let mut content = Vec::new();
        // A file that grows meanwhile is not followed.
        file.take(bytes).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error: Error| error.at(path))
}

/// Refuses anything but a regular file; the error names what it is.
pub(crate) fn regular(metadata: &Metadata) -> Result<(), Error> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(Error::NotAFile(if kind.is_dir() {
        "a directory"
    } else {
        special(kind)
    }))
}

#[cfg(unix)]
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: fs::FileType) -> &'static str {
    "something else"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn devices_sockets_and_folders_are_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (Path::new("/dev/zero"), "a device"),
            (socket.as_path(), "a socket"),
            (directory.path(), "a directory"),
        ] {
            let error = read(path, &Budget::default()).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_a_hint() {
        let error = read(Path::new("/no/such/file"), &Budget::default()).unwrap_err();
        assert!(error.to_string().ends_with(": /no/such/file"), "{error}");
        assert!(error.hint().is_some());
    }
}
