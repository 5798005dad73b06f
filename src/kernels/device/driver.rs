//! The backend on a GPU, through NVIDIA's driver, which is loaded on demand.
//!
//! Kernels are committed PTX, which the driver compiles for its device at load. One stream does
//! everything, so the order of calls is the order of work, and no event is needed.
#![expect(unsafe_code, reason = "calls the CUDA driver")]

use super::backend::{Address, Backend, Error, Graph, Launch};
use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{CudaContext, CudaGraph, CudaSlice, CudaStream, DevicePtr, DriverError};
use cudarc::driver::{result, sys};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// The output of `ptx/build.py`; it runs on every device from compute capability 8.0 on.
const PTX: &str = include_str!("ptx/compute_80.ptx");
/// The least compute capability: bfloat16 and TF32 on tensor cores.
const CAPABILITY: (i32, i32) = (8, 0);
/// The driver API version (1000 major + 10 minor) whose PTX version the kernels have.
const DRIVER: i32 = 13_000;

/// A GPU that responds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// Its number: `cuda:N`.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (i32, i32),
    /// Bytes of its memory.
    pub memory: u64,
    /// The CUDA version of its driver.
    pub driver: String,
}

/// The GPUs of this machine.
///
/// # Errors
/// No driver, one that is too old, or one that does not respond.
pub fn devices() -> Result<Vec<CudaDevice>, Error> {
    let version = driver_version()?;
    let count = CudaContext::device_count().map_err(failed("counting devices"))?;
    let describe = |ordinal: usize| {
        let device = result::device::get(ordinal as i32)?;
        let of = |attribute| {
            // SAFETY: the device was just returned by the driver.
            unsafe { result::device::get_attribute(device, attribute) }
        };
        Ok(CudaDevice {
            ordinal,
            name: result::device::get_name(device)?,
            compute_capability: (
                of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            // SAFETY: as above.
            memory: unsafe { result::device::total_mem(device) }? as u64,
            driver: text(version),
        })
    };
    (0..count as usize)
        .map(|ordinal| describe(ordinal).map_err(failed("querying a device")))
        .collect()
}

/// GPU `ordinal`, if these kernels can run there.
///
/// # Errors
/// As [`devices`]; no such GPU, or one without the instructions.
pub(super) fn device(ordinal: usize) -> Result<CudaDevice, Error> {
    let devices = devices()?;
    let device = devices.get(ordinal).ok_or(Error::NoDevice {
        ordinal,
        count: devices.len(),
    })?;
    if device.compute_capability < CAPABILITY {
        return Err(Error::OldDevice {
            name: device.name.clone(),
            found: device.compute_capability,
        });
    }
    Ok(device.clone())
}

/// The driver's version, at least [`DRIVER`].
fn driver_version() -> Result<i32, Error> {
    // SAFETY: loads the driver's library and nothing else.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver);
    }
    let mut version = 0;
    // SAFETY: the driver writes one number to a valid address.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(failed("querying the driver's version"))?;
    if version < DRIVER {
        return Err(Error::OldDriver {
            found: text(version),
            needed: text(DRIVER),
        });
    }
    result::init().map_err(failed("starting the driver"))?;
    Ok(version)
}

fn text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn failed(doing: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Driver {
        doing,
        reason: error.to_string(),
    }
}

/// A GPU with the kernels loaded.
pub struct Cuda {
    name: String,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    module: sys::CUmodule,
    functions: HashMap<&'static str, sys::CUfunction>,
    allocations: BTreeMap<u64, CudaSlice<u32>>,
    graphs: Vec<CudaGraph>,
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
        let device = device(ordinal)?;
        let context = CudaContext::new(ordinal).map_err(failed("opening the device"))?;
        // SAFETY: every allocation is used in the one stream below, so there is nothing to wait for
        // between streams.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let source = CString::new(PTX).map_err(|error| Error::Driver {
            doing: "reading the kernels",
            reason: error.to_string(),
        })?;
        // SAFETY: the image is PTX that ends in a zero.
        let module = unsafe { result::module::load_data(source.as_ptr().cast()) }
            .map_err(failed("loading the kernels"))?;
        Ok(Self {
            name: device.name,
            context,
            stream,
            module,
            functions: HashMap::new(),
            allocations: BTreeMap::new(),
            graphs: Vec::new(),
        })
    }

    fn function(&mut self, kernel: &'static str) -> Result<sys::CUfunction, Error> {
        if let Some(function) = self.functions.get(kernel) {
            return Ok(*function);
        }
        let name = CString::new(kernel).map_err(|error| Error::Kernel {
            kernel: kernel.to_owned(),
            reason: error.to_string(),
        })?;
        // SAFETY: the module is loaded and outlives this.
        let function = unsafe { result::module::get_function(self.module, name) }
            .map_err(failed("finding a kernel"))?;
        // Drivers load a kernel when it first runs, which a capture must not be. SAFETY: the
        // function was just returned by the driver.
        unsafe { sys::cuFuncLoad(function) }
            .result()
            .map_err(failed("loading a kernel"))?;
        self.functions.insert(kernel, function);
        Ok(function)
    }

    /// The device address of `words` words inside an allocation.
    fn place(&self, at: Address, words: usize) -> Result<u64, Error> {
        let below = self.allocations.range(..=at.0).next_back();
        let fits = |(start, memory): (&u64, &CudaSlice<u32>)| {
            (at.0 - start) / 4 + words as u64 <= memory.len() as u64
        };
        if below.is_some_and(fits) {
            return Ok(at.0);
        }
        Err(Error::Place {
            address: at.0,
            words,
        })
    }

    fn make_current(&self) -> Result<(), Error> {
        self.context
            .bind_to_thread()
            .map_err(failed("choosing the device"))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Running kernels use the memory and the module, so those are freed after them.
        let _ = self.stream.synchronize();
        self.graphs.clear();
        self.allocations.clear();
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: nothing runs any more, and no function of the module is used after this.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

impl Backend for Cuda {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&mut self, words: usize) -> Result<Address, Error> {
        let doing = "allocating device memory";
        let memory = self.stream.alloc_zeros::<u32>(words.max(1));
        let memory = memory.map_err(failed(doing))?;
        let address = memory.device_ptr(&self.stream).0;
        self.allocations.insert(address, memory);
        Ok(Address(address))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        let (free, _) = self
            .context
            .mem_get_info()
            .map_err(failed("querying free memory"))?;
        Ok(Some(free as u64))
    }

    fn upload(&mut self, to: Address, words: &[u32]) -> Result<(), Error> {
        self.make_current()?;
        let to = self.place(to, words.len())?;
        // SAFETY: the place is inside an allocation. Memory of a process that is not pinned has
        // been read when this returns, so `words` may be dropped.
        unsafe { result::memcpy_htod_async(to, words, self.stream.cu_stream()) }
            .map_err(failed("copying to the device"))
    }

    fn download(&mut self, from: Address, words: &mut [u32]) -> Result<(), Error> {
        self.make_current()?;
        let from = self.place(from, words.len())?;
        // SAFETY: the place is inside an allocation, and `words` outlives the copy, which is waited
        // for.
        unsafe { result::memcpy_dtoh_async(words, from, self.stream.cu_stream()) }
            .map_err(failed("copying from the device"))?;
        self.wait()
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), Error> {
        self.make_current()?;
        let function = self.function(launch.kernel)?;
        let [x, y, z] = launch.grid;
        let mut parameters = [launch.parameters.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: each kernel takes one struct, whose bytes are there; the driver copies them
        // before it returns. The addresses in them are allocations of this device, which outlive
        // the work.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.threads, 1, 1),
                0,
                self.stream.cu_stream(),
                &mut parameters,
            )
        }
        .map_err(|error| Error::Kernel {
            kernel: launch.kernel.to_owned(),
            reason: error.to_string(),
        })
    }

    fn capture(&mut self, launches: &[Launch]) -> Result<Graph, Error> {
        // Kernels are looked up first: loading one cannot be part of a graph.
        for launch in launches {
            self.function(launch.kernel)?;
        }
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream
            .begin_capture(mode)
            .map_err(failed("beginning a graph"))?;
        let outcome = launches.iter().try_for_each(|launch| self.launch(launch));
        // A capture that began must end, even after an error inside it.
        let graph = self
            .stream
            .end_capture(sys::CUgraphInstantiate_flags(0))
            .map_err(failed("ending a graph"));
        outcome?;
        let graph = graph?.ok_or_else(|| Error::Driver {
            doing: "ending a graph",
            reason: "the driver returned none".to_owned(),
        })?;
        self.graphs.push(graph);
        Ok(Graph(self.graphs.len() - 1))
    }

    fn replay(&mut self, graph: Graph) -> Result<(), Error> {
        self.graphs[graph.0]
            .launch()
            .map_err(failed("running a graph"))
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.stream
            .synchronize()
            .map_err(failed("waiting for the device"))
    }
}
