//! A file of numbers as memory: the operating system reads the pages that are used and evicts them
//! again.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytemuck::Pod;
use memmap2::{Advice, Mmap, MmapMut};

use crate::{Budget, Error, input};

/// A file of numbers of one type, read only. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Mapping {
    map: Arc<Mmap>,
    directory: Arc<Path>,
}

impl Mapping {
    /// Maps a file that must hold exactly that many bytes.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let (file, found) = input::open(path, &Budget::default())?;
        if found != bytes {
            return Err(Error::Store(format!("{found} bytes instead of {bytes}")));
        }
        Self::of(&file, path.parent().unwrap_or(Path::new(".")))
    }

    fn of(file: &File, directory: &Path) -> Result<Self, Error> {
        // SAFETY: no process changes a file of a store: it is written under another name, made read
        // only and then renamed, and a rebuilt store has new files. A file without a name is this
        // process's own. Truncating such a file on purpose while it is read ends this process,
        // nothing worse.
        #[expect(unsafe_code, reason = "mapping a file is what this module is for")]
        let map = unsafe { Mmap::map(file)? };
        Ok(Self {
            map: Arc::new(map),
            directory: directory.into(),
        })
    }

    /// The numbers of the file; none if its size does not fit their type.
    #[inline]
    pub(crate) fn numbers<T: Pod>(&self) -> &[T] {
        // A mapping begins at a page, so only the length can be wrong.
        bytemuck::try_cast_slice(&self.map).unwrap_or_default()
    }

    /// The directory in which the file is or was.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Advises the operating system that single rows will be read from now on, without their
    /// neighbours.
    pub(crate) fn expect_single_rows(&self) {
        // Only advice: its result does not matter.
        let _ = self.map.advise(Advice::Random);
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mapping")
            .field("bytes", &self.map.len())
            .finish_non_exhaustive()
    }
}

/// Numbers that are being written and have no name: they are deleted with their last user, however
/// the process ends.
pub(crate) enum Unnamed {
    /// In memory; and how many bytes there are already.
    Memory(MmapMut, usize),
    /// In a file in a directory.
    File(BufWriter<File>, PathBuf),
}

impl Unnamed {
    /// Memory for that many bytes.
    pub(crate) fn in_memory(bytes: usize) -> Result<Self, Error> {
        let map = MmapMut::map_anon(bytes)?;
        // Only advice, and only on Linux: large pages are found faster.
        #[cfg(target_os = "linux")]
        let _ = map.advise(Advice::HugePage);
        Ok(Self::Memory(map, 0))
    }

    /// An empty file in a directory.
    pub(crate) fn in_file(directory: &Path) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let create = || loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!(".sampler-{}-{number}", std::process::id()));
            let mut options = File::options();
            match options.read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(file);
                }
                // Left by a process of the same number, killed or in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let file = create().map_err(|error: io::Error| Error::Io(error).at(directory))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self::File(file, directory.to_path_buf()))
    }

    /// Appends numbers.
    pub(crate) fn write<T: Pod>(&mut self, numbers: &[T]) -> Result<(), Error> {
        let bytes = bytemuck::cast_slice(numbers);
        match self {
            Self::Memory(map, filled) => {
                let full = || io::Error::from(io::ErrorKind::StorageFull);
                let end = filled.checked_add(bytes.len());
                let place = end
                    .and_then(|end| map.get_mut(*filled..end))
                    .ok_or_else(full)?;
                place.copy_from_slice(bytes);
                *filled += bytes.len();
                Ok(())
            }
            Self::File(file, directory) => {
                let written = file.write_all(bytes);
                written.map_err(|error| Error::Io(error).at(directory))
            }
        }
    }

    /// What was written, to be read.
    pub(crate) fn map(self) -> Result<Mapping, Error> {
        match self {
            Self::Memory(map, _) => Ok(Mapping {
                map: Arc::new(map.make_read_only()?),
                directory: Path::new("").into(),
            }),
            Self::File(mut file, directory) => {
                let flushed = file.flush();
                flushed.map_err(|error| Error::Io(error).at(&directory))?;
                Mapping::of(file.get_ref(), &directory)
            }
        }
    }
}
