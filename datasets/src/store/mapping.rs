//! A file of numbers as memory: the operating system reads what is touched and forgets it again.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::{Advice, Mmap};

use crate::Error;

/// A file of `f64` numbers, read only. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Mapping(Arc<Mmap>);

impl Mapping {
    /// Maps a file that must hold exactly so many numbers.
    pub(super) fn open(path: &Path, numbers: usize) -> Result<Self, Error> {
        let file = File::open(path)?;
        let (found, expected) = (file.metadata()?.len(), numbers as u64 * 8);
        if found != expected {
            return Err(Error::Store(format!("{found} bytes instead of {expected}")));
        }
        // SAFETY: Nobody changes a file of a store: it is written under another name, made read
        // only and then renamed, and a store that is made anew has new files. Someone who cuts
        // such a file short on purpose while it is read ends this process, nothing worse.
        #[expect(unsafe_code, reason = "mapping a file is what this module is for")]
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(Arc::new(map)))
    }

    pub(crate) fn numbers(&self) -> &[f64] {
        // A mapping begins at a page and its length was checked, so the cast never fails.
        bytemuck::try_cast_slice(&self.0).unwrap_or_default()
    }

    /// Tells the operating system that single rows will be read from now on, and what lies beside
    /// them will not be wanted.
    pub(crate) fn expect_single_rows(&self) {
        // Only advice: what becomes of it does not matter.
        let _ = self.0.advise(Advice::Random);
    }
}
