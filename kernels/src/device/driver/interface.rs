//! The functions of NVIDIA's driver, found in its library at run time.
//!
//! The library is `libcuda.so.1`, which only a driver installs. `libcuda.so` may also be a stub of
//! a CUDA toolkit, for programs that are linked where there is no driver, so it comes second.
//!
//! Source: NVIDIA, CUDA Driver API 12.4; the symbols are those that `cuda.h` maps its names to.
#![expect(unsafe_code, reason = "loads a library and reads what it returns")]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};
use std::mem::ManuallyDrop;
use std::ptr::null;
use std::sync::OnceLock;

use libloading::Library;

use crate::device::backend::Error;

/// What every function returns; 0 is success.
pub(super) type Status = c_int;
/// A context, stream, module, function or graph.
pub(super) type Handle = *mut c_void;

/// `CUDA_ERROR_OUT_OF_MEMORY`.
const OUT_OF_MEMORY: Status = 2;
/// `CUDA_ERROR_STUB_LIBRARY`.
const STUB_LIBRARY: Status = 34;
/// What a kernel did before the call that reports it: `CUDA_ERROR_ILLEGAL_ADDRESS`, an assertion,
/// and those from `CUDA_ERROR_HARDWARE_STACK_ERROR` to `CUDA_ERROR_LAUNCH_FAILED`.
const FAULTS: [Status; 8] = [700, 710, 714, 715, 716, 717, 718, 719];
/// `CU_STREAM_NON_BLOCKING`.
pub(super) const NON_BLOCKING: c_uint = 1;
/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`.
pub(super) const THREAD_LOCAL: c_int = 1;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
pub(super) const CAPABILITY: [c_int; 2] = [75, 76];
/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
pub(super) const DYNAMIC_BYTES: c_int = 8;
/// `CU_JIT_ERROR_LOG_BUFFER` and `CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES`.
pub(super) const ERROR_LOG: [c_int; 2] = [5, 6];

/// The first driver API version (1000 major + 10 minor) with all these functions and with the
/// version of the kernels' PTX, 8.4.
const DRIVER: c_int = 12_040;

/// The names under which a driver may be installed, the surest first.
const NAMES: [&str; 2] = if cfg!(windows) {
    ["nvcuda.dll", "nvcuda64.dll"]
} else {
    ["libcuda.so.1", "libcuda.so"]
};

macro_rules! functions {
    ($($name:ident = $symbol:literal($($kind:ty),*);)*) => {
        /// The driver's functions.
        pub(super) struct Interface {
            /// The driver's version, as [`DRIVER`].
            version: c_int,
            $(pub(super) $name: unsafe extern "C" fn($($kind),*) -> Status,)*
        }

        impl Interface {
            fn of(library: &Library, version: c_int) -> Result<Self, Error> {
                Ok(Self { version, $($name: symbol(library, $symbol)?,)* })
            }
        }
    };
}

functions! {
    init = c"cuInit"(c_uint);
    error_name = c"cuGetErrorName"(Status, *mut *const c_char);
    error_text = c"cuGetErrorString"(Status, *mut *const c_char);
    device_count = c"cuDeviceGetCount"(*mut c_int);
    device = c"cuDeviceGet"(*mut c_int, c_int);
    device_name = c"cuDeviceGetName"(*mut c_char, c_int, c_int);
    device_attribute = c"cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
    device_memory = c"cuDeviceTotalMem_v2"(*mut usize, c_int);
    retain_context = c"cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
    release_context = c"cuDevicePrimaryCtxRelease_v2"(c_int);
    set_context = c"cuCtxSetCurrent"(Handle);
    create_stream = c"cuStreamCreate"(*mut Handle, c_uint);
    destroy_stream = c"cuStreamDestroy_v2"(Handle);
    synchronize = c"cuStreamSynchronize"(Handle);
    memory_info = c"cuMemGetInfo_v2"(*mut usize, *mut usize);
    allocate = c"cuMemAlloc_v2"(*mut u64, usize);
    free = c"cuMemFree_v2"(u64);
    fill = c"cuMemsetD8Async"(u64, c_uchar, usize, Handle);
    to_device = c"cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Handle);
    to_host = c"cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Handle);
    load_module = c"cuModuleLoadDataEx"(
        *mut Handle, *const c_void, c_uint, *const c_int, *const *mut c_void
    );
    unload_module = c"cuModuleUnload"(Handle);
    get_function = c"cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    load_function = c"cuFuncLoad"(Handle);
    set_attribute = c"cuFuncSetAttribute"(Handle, c_int, c_int);
    launch = c"cuLaunchKernel"(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle,
        *mut *mut c_void, *mut *mut c_void
    );
    begin_capture = c"cuStreamBeginCapture_v2"(Handle, c_int);
    end_capture = c"cuStreamEndCapture"(Handle, *mut Handle);
    instantiate = c"cuGraphInstantiateWithFlags"(*mut Handle, Handle, c_ulonglong);
    launch_graph = c"cuGraphLaunch"(Handle, Handle);
    destroy_graph = c"cuGraphDestroy"(Handle);
    destroy_executable = c"cuGraphExecDestroy"(Handle);
}

/// The driver, which stays loaded once it has been found.
///
/// # Errors
/// No driver, a stub, one that is too old, or one that does not start.
pub(super) fn load() -> Result<&'static Interface, Error> {
    static LOADED: OnceLock<Interface> = OnceLock::new();
    if let Some(found) = LOADED.get() {
        return Ok(found);
    }
    let interface = open()?;
    Ok(LOADED.get_or_init(|| interface))
}

fn open() -> Result<Interface, Error> {
    // SAFETY: the initialisers of the driver's library have no preconditions.
    let open = |name: &&str| unsafe { Library::new(*name) }.ok();
    let library = NAMES.iter().find_map(open).ok_or(Error::NoDriver)?;
    Interface::start(&ManuallyDrop::new(library))
}

/// The function `name`.
fn symbol<T: Copy>(library: &Library, name: &CStr) -> Result<T, Error> {
    // SAFETY: the table above has the types of the documentation.
    let symbol = unsafe { library.get::<T>(name.to_bytes_with_nul()) };
    symbol.map(|symbol| *symbol).map_err(|error| Error::Driver {
        doing: "looking up the driver's functions",
        reason: error.to_string(),
    })
}

fn text(version: c_int) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

impl Interface {
    /// Starts the driver in this library, which must stay loaded.
    pub(super) fn start(library: &Library) -> Result<Self, Error> {
        // Older drivers do not have all functions, but they have this one.
        let version_of: unsafe extern "C" fn(*mut c_int) -> Status =
            symbol(library, c"cuDriverGetVersion")?;
        let mut version = 0;
        // SAFETY: the driver writes one number to a valid address.
        let status = unsafe { version_of(&raw mut version) };
        if status == STUB_LIBRARY {
            return Err(Error::Stub);
        }
        if status == 0 && version < DRIVER {
            return Err(Error::OldDriver {
                found: text(version),
                needed: text(DRIVER),
            });
        }
        let interface = Self::of(library, version)?;
        interface.check("querying the driver's version", status)?;
        // SAFETY: the only flags that are allowed.
        interface.check("starting the driver", unsafe { (interface.init)(0) })?;
        Ok(interface)
    }

    /// The newest CUDA version that the driver supports.
    pub(super) fn version(&self) -> String {
        text(self.version)
    }

    /// An error that says what was being done, unless `status` is success.
    pub(super) fn check(&self, doing: &'static str, status: Status) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        let reason = self.reason(status);
        Err(if FAULTS.contains(&status) {
            Error::Fault { doing, reason }
        } else {
            Error::Driver { doing, reason }
        })
    }

    /// As [`Interface::check`], for what may need more memory than the device of the current
    /// context has; `needed` in bytes, if that is known.
    pub(super) fn check_memory(
        &self,
        doing: &'static str,
        status: Status,
        needed: Option<u64>,
    ) -> Result<(), Error> {
        if status != OUT_OF_MEMORY {
            return self.check(doing, status);
        }
        let free = self.free_bytes().ok();
        Err(Error::Memory {
            doing,
            needed,
            free,
        })
    }

    /// Bytes that can still be allocated on the device of the current context.
    pub(super) fn free_bytes(&self) -> Result<u64, Error> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the driver writes two numbers to valid addresses.
        let status = unsafe { (self.memory_info)(&raw mut free, &raw mut total) };
        self.check("querying free memory", status)?;
        Ok(free as u64)
    }

    /// Name and text of an error.
    pub(super) fn reason(&self, status: Status) -> String {
        let [name, text] = [self.error_name, self.error_text].map(|of| {
            let mut text = null();
            // SAFETY: the driver writes the address of a text of its own, or null.
            let found = unsafe { of(status, &raw mut text) };
            if found != 0 || text.is_null() {
                return None;
            }
            // SAFETY: it is one of the driver's constants.
            Some(unsafe { CStr::from_ptr(text) }.to_string_lossy())
        });
        match (name, text) {
            (Some(name), Some(text)) => format!("{text} ({name})"),
            _ => format!("error {status}"),
        }
    }
}
