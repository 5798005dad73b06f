//! What runs kernels: a GPU, or the emulator.
//!
//! A step is a list of [`Launch`]es, plain data made once. Either backend runs the same list, so
//! what tests execute on the CPU is what a GPU executes.

use super::parameters::Plain;
use std::fmt::Debug;

/// An address in the memory of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address(pub(crate) u64);

impl Address {
    /// The null address.
    pub(crate) const NULL: Self = Self(0);

    /// `count` numbers of 4 bytes after this address.
    pub(crate) fn words(self, count: usize) -> Self {
        Self(self.0 + 4 * count as u64)
    }
}

/// One kernel over one grid.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel's name in `kernels.cu`.
    pub(crate) kernel: &'static str,
    /// Blocks in x, y and z.
    pub(crate) grid: [u32; 3],
    /// Threads of a block.
    pub(crate) threads: u32,
    /// Dynamic shared memory of a block.
    pub(crate) dynamic_bytes: u32,
    /// The kernel's one parameter, in words so that it is aligned.
    pub(crate) parameters: Vec<u64>,
    /// Bytes of it.
    pub(crate) bytes: usize,
    /// The least work that it must do.
    pub(crate) work: LaunchWork,
}

/// The least work of a kernel: a lower bound of its time on any device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaunchWork {
    /// Bytes read and written in global memory, each once.
    pub bytes: f64,
    /// Multiplications and additions.
    pub operations: f64,
}

impl LaunchWork {
    /// This many numbers of 4 bytes, and operations.
    pub(crate) fn of(numbers: usize, operations: usize) -> Self {
        Self {
            bytes: 4.0 * numbers as f64,
            operations: operations as f64,
        }
    }
}

/// Each byte of new memory: floats of it are NaN, so what is read before it is written shows.
pub(crate) const POISON: u8 = 0xff;

/// Threads of most blocks, as `device.h` has it.
pub(crate) const THREADS: u32 = 128;
/// Threads of the blocks that add up all parameters, as `adamw.cu` has it.
pub(crate) const WIDE: u32 = 256;
/// Warps of a block of [`THREADS`].
pub(crate) const WARPS: usize = 4;

impl Launch {
    /// `kernel` with these parameters over `grid`.
    pub(crate) fn new(
        kernel: &'static str,
        grid: [usize; 3],
        threads: u32,
        parameters: &impl Plain,
    ) -> Self {
        let mut bytes = Vec::new();
        parameters.write(&mut bytes);
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        Self {
            kernel,
            grid: grid.map(|blocks| blocks as u32),
            threads,
            dynamic_bytes: 0,
            parameters: words.collect(),
            bytes: bytes.len(),
            work: LaunchWork::default(),
        }
    }

    /// The same, of a kernel with this much dynamic shared memory.
    #[must_use]
    pub(crate) fn with_dynamic_memory(self, bytes: u32) -> Self {
        Self {
            dynamic_bytes: bytes,
            ..self
        }
    }

    /// The same, with this least work.
    #[must_use]
    pub(crate) fn doing(self, work: LaunchWork) -> Self {
        Self { work, ..self }
    }
}

/// A list of launches that a backend keeps ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph(pub(crate) usize);

/// A device with memory and kernels. All work happens in the order of the calls; only `download`
/// waits for it.
///
/// Memory is counted in words of 4 bytes. It belongs to the backend and is freed with it.
pub trait Backend: Debug + Send {
    /// Its name, for display.
    fn name(&self) -> String;

    /// `words` words, each byte 0xff.
    fn allocate(&mut self, words: usize) -> Result<Address, Error>;

    /// Bytes that can still be allocated, if that is known.
    fn free_bytes(&self) -> Result<Option<u64>, Error>;

    /// Copies to a place inside an allocation.
    fn upload(&mut self, to: Address, words: &[u32]) -> Result<(), Error>;

    /// Copies from a place inside an allocation, after all earlier calls.
    fn download(&mut self, from: Address, words: &mut [u32]) -> Result<(), Error>;

    /// Runs a kernel.
    fn launch(&mut self, launch: &Launch) -> Result<(), Error>;

    /// Makes a graph of launches, without running them.
    fn capture(&mut self, launches: &[Launch]) -> Result<Graph, Error>;

    /// Runs a graph once.
    fn replay(&mut self, graph: Graph) -> Result<(), Error>;

    /// Waits for all earlier calls.
    fn wait(&mut self) -> Result<(), Error>;
}

/// Why a GPU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No driver library.
    #[error("no NVIDIA driver was found (libcuda)")]
    NoDriver,
    /// The library that programs are linked to where there is no driver.
    #[error("libcuda is a stub of a CUDA toolkit, not NVIDIA's driver")]
    Stub,
    /// A driver that cannot load these kernels.
    #[error("the NVIDIA driver supports CUDA {found}, this program needs {needed}")]
    OldDriver {
        /// Its version.
        found: String,
        /// The first that works.
        needed: String,
    },
    /// A device that does not exist.
    #[error("there is no CUDA device {ordinal}; found: {count}")]
    NoDevice {
        /// The requested one.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// A device that lacks instructions.
    #[error("{name} has compute capability {}.{}, this program needs 8.0", found.0, found.1)]
    OldDevice {
        /// Its name.
        name: String,
        /// Its compute capability.
        found: (i32, i32),
    },
    /// A model, batch and dataset that do not fit.
    #[error("{doing}: out of device memory{}", amounts(*needed, *free))]
    Memory {
        /// What was being done.
        doing: &'static str,
        /// Bytes needed, if that is known.
        needed: Option<u64>,
        /// Bytes free, if that is known.
        free: Option<u64>,
    },
    /// A model that has no kernels here.
    #[error("this model has no kernels for a GPU")]
    Model,
    /// An error of the driver.
    #[error("{doing}: {reason}")]
    Driver {
        /// What was being done.
        doing: &'static str,
        /// The driver's message.
        reason: String,
    },
    /// An error of a kernel that ran before the call that reports it.
    #[error("{doing}: a kernel failed: {reason}")]
    Fault {
        /// What was being done.
        doing: &'static str,
        /// The driver's message.
        reason: String,
    },
    /// A kernel that does not run, or in which the emulator found an error.
    #[error("kernel {kernel}: {reason}")]
    Kernel {
        /// The kernel.
        kernel: String,
        /// The error.
        reason: String,
    },
    /// A library of emulated kernels that cannot be loaded.
    #[error("no emulated kernels in {path}: {reason}")]
    Emulator {
        /// The loader's message.
        reason: String,
        /// The file.
        path: String,
    },
    /// A batch of another size than the device was prepared for.
    #[error("a batch of {found} windows, the device was prepared for {expected}")]
    Batch {
        /// The size of the batch.
        found: usize,
        /// The size that the device was prepared for.
        expected: usize,
    },
    /// An address outside every allocation.
    #[error("{words} words at {address:#x} are in no allocation")]
    Place {
        /// The address.
        address: u64,
        /// The number of words.
        words: usize,
    },
}

/// What a model that only acts needs its memory for; otherwise it is for steps.
pub(crate) const PREPARING_TO_ACT: &str = "preparing to act";

/// `, 3 MiB needed, 2 MiB free`: what is known of it.
fn amounts(needed: Option<u64>, free: Option<u64>) -> String {
    let needed = needed.map(|bytes| format!(", {} MiB needed", bytes.div_ceil(1 << 20)));
    let free = free.map(|bytes| format!(", {} MiB free", bytes >> 20));
    needed.into_iter().chain(free).collect()
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoDriver => "install NVIDIA's driver, or compute on the CPU: --device cpu",
            Self::Stub => {
                "remove the toolkit's folder 'stubs' from LD_LIBRARY_PATH, or compute on the CPU: \
                    --device cpu"
            }
            Self::OldDriver { .. } => "update NVIDIA's driver, or compute on the CPU: --device cpu",
            Self::NoDevice { .. } => "`rtg devices` lists the devices found; or use --device cpu",
            Self::OldDevice { .. } => {
                "choose another device with --device cuda:N, or compute on the CPU: --device cpu"
            }
            Self::Memory { doing, .. } if *doing == PREPARING_TO_ACT => {
                "act in fewer environments at once with --rows, or on the CPU: --device cpu"
            }
            Self::Memory { .. } => {
                "use a smaller optimiser.batch_size and a larger optimiser.accumulation for the \
                    same step, or a smaller dataset"
            }
            Self::Model => "compute on the CPU: --device cpu",
            Self::Driver { .. } => "`rtg devices` shows the driver; --device cpu works without it",
            Self::Fault { .. } => {
                "RTG_CUDA_SYNC=1 names the kernel, slowly; --device cpu works without the driver"
            }
            Self::Emulator { .. } => "build it with kernels/src/device/emulator/build.sh",
            Self::Kernel { .. } => "--device cpu works without kernels for a GPU",
            Self::Batch { .. } | Self::Place { .. } => return None,
        })
    }
}
