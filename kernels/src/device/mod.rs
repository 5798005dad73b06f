//! Devices: where a kernel is launched, and how its parameters and numbers are passed.
//!
//! Kernels are CUDA C in the folders of their ops (`<op>.cu`), each next to the Rust twin of its
//! parameters (`cuda.rs`). `../kernels.cu` includes them all; `ptx/build.py` makes the committed
//! PTX of it. Nothing of CUDA is needed to build or to start the program: the driver is loaded when
//! a run needs it.
//!
//! A [`Backend`] is a GPU ([`Cuda`]) or the emulator ([`Emulated`]), which runs the same launches
//! on the CPU, for tests. `GPU.md` lists the cost of each kernel.

pub(crate) mod backend;
mod driver;
mod emulated;
pub(crate) mod parameters;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod transfer;

pub use backend::{Backend, Error, Graph, Launch, LaunchWork};
pub use driver::{Cuda, CudaDevice, devices};
pub use emulated::{EMULATOR_VARIABLE, Emulated};

use std::path::Path;

/// Whether [`open`] can be expected to succeed. Queries the driver without allocating on the
/// device.
pub fn check(ordinal: usize) -> Result<(), Error> {
    if std::env::var_os(EMULATOR_VARIABLE).is_none() {
        driver::check(ordinal)?;
    }
    Ok(())
}

/// Opens GPU `ordinal`; or, where [`EMULATOR_VARIABLE`] names a library of emulated kernels, the
/// emulator.
pub fn open(ordinal: usize) -> Result<Box<dyn Backend>, Error> {
    match std::env::var_os(EMULATOR_VARIABLE) {
        Some(path) => Ok(Box::new(Emulated::load(Path::new(&path))?)),
        None => Ok(Box::new(Cuda::open(ordinal)?)),
    }
}
