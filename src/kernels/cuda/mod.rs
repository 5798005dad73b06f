//! The GPU: the same training step as the CPU engine's, as one CUDA graph.
//!
//! Kernels are CUDA C in the folders of their ops (`<op>.cu`), each beside the Rust twin of its parameters
//! (`cuda.rs`). `kernels.cu` includes them all; `ptx/build.py` makes the committed PTX of it. Nothing of CUDA is needed
//! to build or to start the program: the driver is loaded when a run asks for it.
//!
//! ```text
//! Trainer      plan in, outcomes out; parameters and moments in the flat layout of the CPU engine
//!  Sequence    the launches of a step, as data
//!  Memory      where everything lies
//!   Backend    Cuda (driver.rs)  or  Emulated (emulated.rs): the same launches on the CPU, for tests
//! ```
//!
//! What is computed is what the CPU engine computes, with the same masks, windows and rates, in other orders of
//! addition. Every sum has one order, so a device gives the same bits again. `GPU.md` tells what each kernel costs.

pub(crate) mod backend;
mod driver;
mod emulated;
mod memory;
mod profile;
pub(crate) mod parameters;
mod sequence;
#[cfg(test)]
mod tests;
mod trainer;

pub use backend::{Backend, Error, Graph, Launch, Work};
pub use driver::{Cuda, Device, devices};
pub use emulated::{EMULATOR_VARIABLE, Emulated};
pub use profile::KernelTime;
pub use trainer::{Outcome, Plan, Setup, Trainer};

use std::path::Path;

/// Can [`open`] be expected to succeed? Asks the driver and takes nothing of the device.
pub fn check(ordinal: usize) -> Result<(), Error> {
    if std::env::var_os(EMULATOR_VARIABLE).is_none() {
        driver::device(ordinal)?;
    }
    Ok(())
}

/// Opens GPU `ordinal`; or, where [`EMULATOR_VARIABLE`] names a library of emulated kernels, the emulator.
pub fn open(ordinal: usize) -> Result<Box<dyn Backend>, Error> {
    match std::env::var_os(EMULATOR_VARIABLE) {
        Some(path) => Ok(Box::new(Emulated::load(Path::new(&path))?)),
        None => Ok(Box::new(Cuda::open(ordinal)?)),
    }
}
