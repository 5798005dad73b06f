//! Files that appear whole or not at all, and files that are read whole.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use super::Error;
use super::error::write_error;

/// Suffix of a file that is being written.
pub(super) const PARTIAL: &str = ".partial";

/// Files of a run are far smaller; a larger file is not read into memory.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Opens a file for reading. A pipe may block for ever and a device may never end, so neither is
/// opened.
pub fn open_file(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    let what = if kind.is_dir() {
        "it is a directory"
    } else {
        "it is a pipe, a socket or a device"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// The text of a file of a run, or of a plan.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let bytes = open_file(path)?
        .take(MAX_TEXT_BYTES)
        .read_to_string(&mut text)?;
    if bytes as u64 == MAX_TEXT_BYTES {
        let what = format!("larger than {} MiB", MAX_TEXT_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// Replaces a file so that its name always refers to the old file or the whole new one: writes a
/// temporary file next to it, which is synchronised and then renamed. Two writers of one path at
/// the same time need a lock; a run has one.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    let partial = partial(path);
    let result = (|| {
        let mut file = BufWriter::new(File::create(&partial)?);
        write(&mut file)?;
        file.into_inner()?.sync_all()?;
        std::fs::rename(&partial, path)?;
        sync_folder(path)
    })();
    result.map_err(|source| {
        drop(std::fs::remove_file(&partial));
        write_error(path, source)
    })
}

/// `.name.partial` in the same directory: one fixed name, so that killed writers leave one file.
fn partial(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(PARTIAL);
    path.with_file_name(name)
}

/// Makes a rename in the folder of `path` durable. Only Unix can open a directory for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_whole(&path, |file| file.write_all(b"old")).unwrap();
        let error = write_whole(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.hint().contains("free some space"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("no/file"), |_| Ok(())).is_err());
    }
}
