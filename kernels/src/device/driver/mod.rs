//! The backend on a GPU, through NVIDIA's driver, which is loaded on demand.
//!
//! Kernels are committed PTX, which the driver compiles for its device at load. One stream does
//! everything, so the order of calls is the order of work, and no event is needed.

mod cuda;
mod devices;
mod interface;
#[cfg(test)]
pub(super) mod tests;

pub use cuda::Cuda;
pub(super) use devices::check;
pub use devices::{CudaDevice, devices};
