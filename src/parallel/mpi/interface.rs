//! MPI's functions, and the three binary interfaces that its libraries have.
//!
//! | library | handles | world | byte | serialised threads |
//! |---|---|---|---|---|
//! | `libmpi_abi.so.1`: MPICH 5, Open MPI 6 | addresses | 0x101 | 0x247 | 2048 |
//! | `libmpi.so.12`: MPICH, Intel, Cray, MVAPICH | `int` | 0x44000000 | 0x4c00010d | 2 |
//! | `libmpi.so.40`: Open MPI 4 and 5 | addresses of symbols | | | 2 |
//!
//! Sources: chapter 20 of the MPI standard 5.0 and MPICH's `mpi_abi.h`; MPICH's `mpi.h` and the
//! MPICH ABI Compatibility Initiative; Open MPI's `mpi.h`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Debug;
use std::path::Path;
use std::ptr::null_mut;

use libloading::Library;

/// `MPI_MAX_LIBRARY_VERSION_STRING` of the library with the longest.
const VERSION_BYTES: usize = 8192;

/// The functions that are called. The caller checks lengths.
pub(super) trait Calls: Debug + Send + Sync {
    /// Name and version, of `MPI_Get_library_version`.
    fn version(&self) -> String;

    /// `MPI_Init_thread`.
    fn start(&self) -> Result<(), String>;

    /// `MPI_Comm_rank` and `MPI_Comm_size`.
    fn place(&self) -> (usize, usize);

    /// `MPI_Allgather`.
    fn all_gather(&self, mine: &[u8], all: &mut [u8]);

    /// `MPI_Alltoall` of slices of this many bytes.
    fn all_to_all(&self, mine: &[u8], received: &mut [u8], slice: usize);

    /// `MPI_Bcast` from rank 0.
    fn broadcast(&self, bytes: &mut [u8]);

    /// `MPI_Finalize`.
    fn finish(&self);

    /// `MPI_Abort`.
    fn abort(&self, code: c_int);
}

type InitThread =
    unsafe extern "C" fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int) -> c_int;
type Ask<H> = unsafe extern "C" fn(H, *mut c_int) -> c_int;
type Exchange<H> = unsafe extern "C" fn(*const c_void, c_int, H, *mut c_void, c_int, H, H) -> c_int;
type Broadcast<H> = unsafe extern "C" fn(*mut c_void, c_int, H, c_int, H) -> c_int;

/// A library whose handles are `H`. Errors end the process: MPI's default, `MPI_ERRORS_ARE_FATAL`,
/// stays, so return codes are meaningless.
struct Interface<H> {
    world: H,
    byte: H,
    /// `MPI_THREAD_SERIALIZED`.
    serialised: c_int,
    get_library_version: unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int,
    init_thread: InitThread,
    rank: Ask<H>,
    size: Ask<H>,
    all_gather: Exchange<H>,
    all_to_all: Exchange<H>,
    broadcast: Broadcast<H>,
    abort: unsafe extern "C" fn(H, c_int) -> c_int,
    finalize: unsafe extern "C" fn() -> c_int,
}

/// A handle that is an address in the library.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Address(*mut c_void);

// SAFETY: it is only passed back to the library, which accepts it from any thread.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    fn constant(number: usize) -> Self {
        Self(std::ptr::without_provenance_mut(number))
    }
}

/// Loads a library; it stays until the process ends.
pub(super) fn load(path: &Path) -> Result<Box<dyn Calls>, String> {
    let library = open(path).map_err(|error| reason(&error))?;
    let library = std::mem::ManuallyDrop::new(library);
    let resolved = path.canonicalize();
    let file = resolved.as_deref().unwrap_or(path).file_name();
    if file.is_some_and(|name| name.to_string_lossy().contains("mpi_abi")) {
        let of = [0x101, 0x247].map(Address::constant);
        return Ok(Box::new(Interface::of(&library, of, 2048)?));
    }
    let symbol = |name| symbol::<*mut c_void>(&library, name).map(Address);
    if let (Ok(world), Ok(byte)) = (symbol(c"ompi_mpi_comm_world"), symbol(c"ompi_mpi_byte")) {
        return Ok(Box::new(Interface::of(&library, [world, byte], 2)?));
    }
    let of: [c_int; 2] = [0x4400_0000, 0x4c00_010d];
    Ok(Box::new(Interface::of(&library, of, 2)?))
}

#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // Open MPI's components look for its symbols among all that the process has.
    // SAFETY: the initialisers of an MPI library have no preconditions.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: the initialisers of an MPI library have no preconditions.
    unsafe { Library::new(path) }
}

/// The address of a symbol as a pointer or function of type `T`.
fn symbol<T: Copy>(library: &Library, name: &CStr) -> Result<T, String> {
    // SAFETY: each caller names the type that the standard defines for the symbol.
    let symbol = unsafe { library.get::<T>(name.to_bytes_with_nul()) };
    symbol.map(|symbol| *symbol).map_err(|error| reason(&error))
}

/// The message of the system's loader.
fn reason(error: &libloading::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The first line of a library's version text: `Open MPI v5.0.11`, `MPICH Version: 5.0.2`.
fn name(account: &[u8]) -> String {
    let text = String::from_utf8_lossy(account);
    let line = text.split(['\0', '\n', ',']).next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<H: Copy> Interface<H> {
    fn of(library: &Library, [world, byte]: [H; 2], serialised: c_int) -> Result<Self, String> {
        Ok(Self {
            world,
            byte,
            serialised,
            get_library_version: symbol(library, c"MPI_Get_library_version")?,
            init_thread: symbol(library, c"MPI_Init_thread")?,
            rank: symbol(library, c"MPI_Comm_rank")?,
            size: symbol(library, c"MPI_Comm_size")?,
            all_gather: symbol(library, c"MPI_Allgather")?,
            all_to_all: symbol(library, c"MPI_Alltoall")?,
            broadcast: symbol(library, c"MPI_Bcast")?,
            abort: symbol(library, c"MPI_Abort")?,
            finalize: symbol(library, c"MPI_Finalize")?,
        })
    }

    fn ask(&self, function: Ask<H>) -> usize {
        let mut answer = 0;
        // SAFETY: the world is a communicator, and the result one `int`.
        unsafe { function(self.world, &raw mut answer) };
        usize::try_from(answer).unwrap_or(0)
    }
}

impl<H> Debug for Interface<H> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an MPI library")
    }
}

impl<H: Copy + Send + Sync> Calls for Interface<H> {
    fn version(&self) -> String {
        let mut bytes = [0_u8; VERSION_BYTES];
        let mut len = 0;
        // SAFETY: no library's text is longer; the call is allowed before `MPI_Init`.
        unsafe { (self.get_library_version)(bytes.as_mut_ptr().cast(), &raw mut len) };
        name(&bytes)
    }

    fn start(&self) -> Result<(), String> {
        let mut provided = 0;
        // SAFETY: both arguments of `main` may be null since MPI 2.
        unsafe { (self.init_thread)(null_mut(), null_mut(), self.serialised, &raw mut provided) };
        if provided < self.serialised {
            return Err("it does not support calls from other threads".to_owned());
        }
        Ok(())
    }

    fn place(&self) -> (usize, usize) {
        (self.ask(self.rank), self.ask(self.size))
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) {
        let (from, to, count) = (mine.as_ptr(), all.as_mut_ptr(), mine.len() as c_int);
        let (from, to, byte) = (from.cast(), to.cast(), self.byte);
        // SAFETY: `all` is as long as the slices of all ranks together.
        unsafe { (self.all_gather)(from, count, byte, to, count, byte, self.world) };
    }

    fn all_to_all(&self, mine: &[u8], received: &mut [u8], slice: usize) {
        let (from, to, count) = (mine.as_ptr(), received.as_mut_ptr(), slice as c_int);
        let (from, to, byte) = (from.cast(), to.cast(), self.byte);
        // SAFETY: both arrays have a slice for each rank.
        unsafe { (self.all_to_all)(from, count, byte, to, count, byte, self.world) };
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        let (at, count) = (bytes.as_mut_ptr().cast(), bytes.len() as c_int);
        // SAFETY: the same number of bytes on every rank.
        unsafe { (self.broadcast)(at, count, self.byte, 0, self.world) };
    }

    fn finish(&self) {
        // SAFETY: the last call of all.
        unsafe { (self.finalize)() };
    }

    fn abort(&self, code: c_int) {
        // SAFETY: the world is a communicator.
        unsafe { (self.abort)(self.world, code) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_has_a_short_name() {
        let open_mpi = b"Open MPI v5.0.11, package: Open MPI builder@host\0\0";
        assert_eq!(name(open_mpi), "Open MPI v5.0.11");
        let mpich = b"MPICH Version:      5.0.2\nMPICH Release date: unreleased\0";
        assert_eq!(name(mpich), "MPICH Version: 5.0.2");
    }

    #[test]
    fn a_file_without_mpis_functions_is_refused() {
        for file in ["libm.so.6", "libno_such.so"] {
            assert!(load(Path::new(file)).is_err(), "{file}");
        }
    }
}
