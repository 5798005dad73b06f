//! A GPU as a [`Backend`].
#![expect(unsafe_code, reason = "calls the CUDA driver")]

use super::devices::device;
use super::interface::{
    DYNAMIC_BYTES, ERROR_LOG, Handle, Interface, NON_BLOCKING, THREAD_LOCAL, load,
};
use crate::device::backend::{Address, Backend, Error, Graph, Launch, POISON};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// The output of `ptx/build.py`; it runs on every device from compute capability 8.0 on.
const PTX: &str = include_str!("../ptx/compute_80.ptx");

/// Environment variable: with 1, every launch is waited for, so that a fault names its kernel.
const SYNCHRONOUS_VARIABLE: &str = "RTG_CUDA_SYNC";

/// What a [`Graph`] stands for.
enum Replay {
    /// A graph that is ready to run.
    Executable(Handle),
    /// Launches that are waited for one by one.
    Launches(Vec<Launch>),
}

/// A GPU with the kernels loaded.
pub struct Cuda {
    driver: &'static Interface,
    name: String,
    device: c_int,
    context: Handle,
    stream: Handle,
    module: Handle,
    functions: HashMap<&'static str, Handle>,
    /// Address and bytes.
    allocations: BTreeMap<u64, usize>,
    graphs: Vec<Replay>,
    /// Where copies that could not be waited for may still arrive.
    unfinished: Vec<Vec<u32>>,
    synchronous: bool,
}

// SAFETY: the handles are used by one owner at a time (`&mut self`), which makes the context
// current first; the driver lets any thread do so.
unsafe impl Send for Cuda {}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Cuda {
    /// Takes device `ordinal`.
    pub fn open(ordinal: usize) -> Result<Self, Error> {
        Self::on(load()?, ordinal)
    }

    pub(super) fn on(driver: &'static Interface, ordinal: usize) -> Result<Self, Error> {
        let (handle, described) = device(driver, ordinal)?;
        let mut context = null_mut();
        // SAFETY: the handle is the driver's, which writes one address.
        let status = unsafe { (driver.retain_context)(&raw mut context, handle) };
        driver.check_memory("opening the device", status, None)?;
        // From here on `drop` gives back what was taken.
        let mut cuda = Self {
            driver,
            name: described.name,
            device: handle,
            context,
            stream: null_mut(),
            module: null_mut(),
            functions: HashMap::new(),
            allocations: BTreeMap::new(),
            graphs: Vec::new(),
            unfinished: Vec::new(),
            synchronous: std::env::var_os(SYNCHRONOUS_VARIABLE).is_some_and(|value| value == "1"),
        };
        cuda.make_current()?;
        // SAFETY: the driver writes one address.
        let status = unsafe { (driver.create_stream)(&raw mut cuda.stream, NON_BLOCKING) };
        driver.check("making a stream", status)?;
        cuda.load_kernels()?;
        Ok(cuda)
    }

    /// Compiles the kernels for this device; the error has the compiler's messages.
    fn load_kernels(&mut self) -> Result<(), Error> {
        let doing = "loading the kernels";
        let source = CString::new(PTX).map_err(|error| Error::Driver {
            doing,
            reason: error.to_string(),
        })?;
        let mut log = vec![0_u8; 8192];
        let values = [
            log.as_mut_ptr().cast::<c_void>(),
            std::ptr::without_provenance_mut(log.len()),
        ];
        // SAFETY: the image is PTX that ends in a zero; the options are an address and a number of
        // bytes there.
        let status = unsafe {
            (self.driver.load_module)(
                &raw mut self.module,
                source.as_ptr().cast(),
                ERROR_LOG.len() as c_uint,
                ERROR_LOG.as_ptr(),
                values.as_ptr(),
            )
        };
        let Err(error) = self.driver.check_memory(doing, status, None) else {
            return Ok(());
        };
        self.module = null_mut();
        let log = CStr::from_bytes_until_nul(&log).unwrap_or_default();
        let log = log.to_string_lossy();
        Err(match error {
            Error::Driver { doing, reason } if !log.is_empty() => Error::Driver {
                doing,
                reason: format!("{reason}: {}", log.trim()),
            },
            other => other,
        })
    }

    /// The kernel of a launch, ready to run.
    fn function(&mut self, launch: &Launch) -> Result<Handle, Error> {
        let kernel = launch.kernel;
        if let Some(function) = self.functions.get(kernel) {
            return Ok(*function);
        }
        let name = CString::new(kernel).map_err(|error| Error::Kernel {
            kernel: kernel.to_owned(),
            reason: error.to_string(),
        })?;
        let mut function = null_mut();
        // SAFETY: the module is loaded, and the driver writes one address.
        let status =
            unsafe { (self.driver.get_function)(&raw mut function, self.module, name.as_ptr()) };
        self.check_kernel(kernel, status)?;
        // Drivers load a kernel when it first runs, which a capture must not be. SAFETY: the
        // function was just returned by the driver.
        let status = unsafe { (self.driver.load_function)(function) };
        self.check_kernel(kernel, status)?;
        if launch.dynamic_bytes > 0 {
            let bytes = launch.dynamic_bytes as c_int;
            // SAFETY: as above.
            let status = unsafe { (self.driver.set_attribute)(function, DYNAMIC_BYTES, bytes) };
            self.check_kernel(kernel, status)?;
        }
        self.functions.insert(kernel, function);
        Ok(function)
    }

    fn check_kernel(&self, kernel: &str, status: c_int) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        Err(Error::Kernel {
            kernel: kernel.to_owned(),
            reason: self.driver.reason(status),
        })
    }

    /// The device address of `words` words inside an allocation.
    fn place(&self, at: Address, words: usize) -> Result<u64, Error> {
        let below = self.allocations.range(..=at.0).next_back();
        let fits =
            |(start, bytes): (&u64, &usize)| (at.0 - start) + 4 * words as u64 <= *bytes as u64;
        if below.is_some_and(fits) {
            return Ok(at.0);
        }
        Err(Error::Place {
            address: at.0,
            words,
        })
    }

    fn make_current(&self) -> Result<(), Error> {
        // SAFETY: the context is retained until `drop`.
        let status = unsafe { (self.driver.set_context)(self.context) };
        self.driver.check("choosing the device", status)
    }

    /// Puts a launch into the stream, which may be one that is captured.
    fn enqueue(&mut self, launch: &Launch) -> Result<(), Error> {
        let function = self.function(launch)?;
        let [x, y, z] = launch.grid;
        let mut parameters = [launch.parameters.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: each kernel takes one struct, whose bytes are there; the driver copies them
        // before it returns. The addresses in them are allocations of this device, which outlive
        // the work.
        let status = unsafe {
            (self.driver.launch)(
                function,
                x,
                y,
                z,
                launch.threads,
                1,
                1,
                launch.dynamic_bytes,
                self.stream,
                parameters.as_mut_ptr(),
                null_mut(),
            )
        };
        self.check_kernel(launch.kernel, status)
    }

    /// Captures launches as a graph that can run.
    fn captured(&mut self, launches: &[Launch]) -> Result<Handle, Error> {
        let driver = self.driver;
        // Kernels are looked up first: loading one cannot be part of a graph.
        for launch in launches {
            self.function(launch)?;
        }
        // SAFETY: the stream is this device's.
        let status = unsafe { (driver.begin_capture)(self.stream, THREAD_LOCAL) };
        driver.check("beginning a graph", status)?;
        let outcome = launches.iter().try_for_each(|launch| self.enqueue(launch));
        let mut graph = null_mut();
        // A capture that began must end, even after an error inside it.
        // SAFETY: the driver writes one address.
        let status = unsafe { (driver.end_capture)(self.stream, &raw mut graph) };
        let ended = driver.check("ending a graph", status);
        let mut executable = null_mut();
        let made = outcome.and(ended).and_then(|()| {
            // SAFETY: the graph is complete, and the driver writes one address.
            let status = unsafe { (driver.instantiate)(&raw mut executable, graph, 0) };
            driver.check_memory("preparing a graph", status, None)
        });
        if !graph.is_null() {
            // SAFETY: what was prepared does not need the graph that it was made of.
            unsafe { (driver.destroy_graph)(graph) };
        }
        made.map(|()| executable)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        let driver = self.driver;
        if self.make_current().is_ok() {
            // Running kernels use the memory and the module, so those are freed after them. Nothing
            // can be done about an error any more.
            // SAFETY: each handle is this device's, was not freed before, and is not used again.
            unsafe {
                if !self.stream.is_null() {
                    (driver.synchronize)(self.stream);
                }
                for graph in self.graphs.drain(..) {
                    if let Replay::Executable(executable) = graph {
                        (driver.destroy_executable)(executable);
                    }
                }
                for address in self.allocations.keys() {
                    (driver.free)(*address);
                }
                if !self.module.is_null() {
                    (driver.unload_module)(self.module);
                }
                if !self.stream.is_null() {
                    (driver.destroy_stream)(self.stream);
                }
            }
        }
        // SAFETY: it was retained once.
        unsafe { (driver.release_context)(self.device) };
    }
}

impl Backend for Cuda {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&mut self, words: usize) -> Result<Address, Error> {
        self.make_current()?;
        let doing = "allocating device memory";
        let bytes = 4 * words.max(1);
        let mut address = 0;
        // SAFETY: the driver writes one address.
        let status = unsafe { (self.driver.allocate)(&raw mut address, bytes) };
        self.driver
            .check_memory(doing, status, Some(bytes as u64))?;
        self.allocations.insert(address, bytes);
        // SAFETY: the allocation has these bytes.
        let status = unsafe { (self.driver.fill)(address, POISON, bytes, self.stream) };
        self.driver.check(doing, status)?;
        Ok(Address(address))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.make_current()?;
        self.driver.free_bytes().map(Some)
    }

    fn upload(&mut self, to: Address, words: &[u32]) -> Result<(), Error> {
        self.make_current()?;
        let to = self.place(to, words.len())?;
        let (from, bytes) = (words.as_ptr().cast(), size_of_val(words));
        // SAFETY: the place is inside an allocation. Memory of a process that is not pinned has
        // been read when this returns, so `words` may be dropped.
        let status = unsafe { (self.driver.to_device)(to, from, bytes, self.stream) };
        self.driver.check("copying to the device", status)
    }

    fn download(&mut self, from: Address, words: &mut [u32]) -> Result<(), Error> {
        self.make_current()?;
        let from = self.place(from, words.len())?;
        // Where waiting fails, the copy may come later, and `words` is the caller's again.
        let mut arriving = vec![0; words.len()];
        let (to, bytes) = (arriving.as_mut_ptr().cast(), size_of_val(words));
        // SAFETY: the place is inside an allocation, and `arriving` outlives the copy: until it was
        // waited for, here or in `drop`.
        let status = unsafe { (self.driver.to_host)(to, from, bytes, self.stream) };
        let copied = self.driver.check("copying from the device", status);
        let outcome = copied.and_then(|()| self.wait());
        if outcome.is_ok() {
            words.copy_from_slice(&arriving);
        } else {
            self.unfinished.push(arriving);
        }
        outcome
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), Error> {
        self.make_current()?;
        self.enqueue(launch)?;
        if self.synchronous {
            // SAFETY: the stream is this device's.
            let status = unsafe { (self.driver.synchronize)(self.stream) };
            self.check_kernel(launch.kernel, status)?;
        }
        Ok(())
    }

    fn capture(&mut self, launches: &[Launch]) -> Result<Graph, Error> {
        self.make_current()?;
        let replay = if self.synchronous {
            Replay::Launches(launches.to_vec())
        } else {
            Replay::Executable(self.captured(launches)?)
        };
        self.graphs.push(replay);
        Ok(Graph(self.graphs.len() - 1))
    }

    fn replay(&mut self, graph: Graph) -> Result<(), Error> {
        self.make_current()?;
        let executable = match &self.graphs[graph.0] {
            Replay::Executable(executable) => *executable,
            Replay::Launches(launches) => {
                let launches = launches.clone();
                return launches.iter().try_for_each(|launch| self.launch(launch));
            }
        };
        // SAFETY: the graph is ready and lives until `drop`.
        let status = unsafe { (self.driver.launch_graph)(executable, self.stream) };
        self.driver.check("running a graph", status)
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.make_current()?;
        // SAFETY: the stream is this device's.
        let status = unsafe { (self.driver.synchronize)(self.stream) };
        self.driver.check("waiting for the device", status)
    }
}
