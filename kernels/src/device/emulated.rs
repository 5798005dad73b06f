//! The backend without a GPU: kernels compiled by g++, loaded as a library, run on this thread.
#![expect(unsafe_code, reason = "calls a library that works on raw addresses")]

use super::backend::{Address, Backend, Error, Graph, Launch, POISON};
use libloading::Library;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_ulong, c_void};
use std::path::Path;

/// Environment variable with the path of a library of emulated kernels: `--device cuda` then runs
/// on it.
pub const EMULATOR_VARIABLE: &str = "RTG_CUDA_EMULATOR";

/// The function that `EXPORT` of `emulator.h` generates for a kernel: grid, threads, bytes of
/// dynamic shared memory, parameters, their bytes, reversed order.
type Kernel =
    unsafe extern "C" fn(*const u32, u32, u32, *const c_void, c_ulong, bool) -> *const c_char;

/// Runs kernels on the CPU, for tests.
#[derive(Debug)]
pub struct Emulated {
    library: Library,
    /// Whether threads and blocks run in reverse.
    reversed: bool,
    allocations: BTreeMap<u64, Vec<u32>>,
    graphs: Vec<Vec<Launch>>,
}

impl Emulated {
    /// Kernels from a library built by `kernels/src/device/emulator/build.sh`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        // SAFETY: the library has no initialisers of its own; the caller guarantees that the file
        // is one.
        let library = unsafe { Library::new(path) }.map_err(|error| Error::Emulator {
            reason: error.to_string(),
            path: path.display().to_string(),
        })?;
        Ok(Self {
            library,
            reversed: false,
            allocations: BTreeMap::new(),
            graphs: Vec::new(),
        })
    }

    /// The same with threads and blocks in reverse order.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            reversed: true,
            ..self
        }
    }

    /// The words at a place inside an allocation.
    fn words(&mut self, at: Address, count: usize) -> Result<&mut [u32], Error> {
        let nowhere = || Error::Place {
            address: at.0,
            words: count,
        };
        let below = self.allocations.range_mut(..=at.0).next_back();
        let (start, memory) = below.ok_or_else(nowhere)?;
        let first = (at.0 - start) as usize / 4;
        memory.get_mut(first..first + count).ok_or_else(nowhere)
    }
}

impl Backend for Emulated {
    fn name(&self) -> String {
        "emulated CUDA device".to_owned()
    }

    fn allocate(&mut self, words: usize) -> Result<Address, Error> {
        let mut memory = vec![u32::from_ne_bytes([POISON; 4]); words.max(1)];
        let address = memory.as_mut_ptr() as u64;
        self.allocations.insert(address, memory);
        Ok(Address(address))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn upload(&mut self, to: Address, words: &[u32]) -> Result<(), Error> {
        self.words(to, words.len())?.copy_from_slice(words);
        Ok(())
    }

    fn download(&mut self, from: Address, words: &mut [u32]) -> Result<(), Error> {
        let found = self.words(from, words.len())?;
        words.copy_from_slice(found);
        Ok(())
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), Error> {
        let fail = |reason: String| Error::Kernel {
            kernel: launch.kernel.to_owned(),
            reason,
        };
        let name = format!("emulated_{}", launch.kernel);
        // SAFETY: every symbol of that name has this type, by the macro that defines them.
        let kernel = unsafe { self.library.get::<Kernel>(name.as_bytes()) }
            .map_err(|error| fail(error.to_string()))?;
        // SAFETY: the parameters have as many bytes as are named, and the kernel refuses another
        // number. The addresses in them come from `allocate`; the tests check that a kernel stays
        // inside.
        let failure = unsafe {
            kernel(
                launch.grid.as_ptr(),
                launch.threads,
                launch.dynamic_bytes,
                launch.parameters.as_ptr().cast(),
                launch.bytes as c_ulong,
                self.reversed,
            )
        };
        if failure.is_null() {
            return Ok(());
        }
        // SAFETY: a failure is a text that stays valid until this thread's next launch.
        let text = unsafe { CStr::from_ptr(failure) };
        Err(fail(text.to_string_lossy().into_owned()))
    }

    fn capture(&mut self, launches: &[Launch]) -> Result<Graph, Error> {
        self.graphs.push(launches.to_vec());
        Ok(Graph(self.graphs.len() - 1))
    }

    fn replay(&mut self, graph: Graph) -> Result<(), Error> {
        let launches = std::mem::take(&mut self.graphs[graph.0]);
        let outcome = launches.iter().try_for_each(|launch| self.launch(launch));
        self.graphs[graph.0] = launches;
        outcome
    }

    fn wait(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
