//! The GPUs of this machine.
#![expect(unsafe_code, reason = "calls the CUDA driver")]

use std::ffi::{CStr, c_char, c_int};

use super::interface::{CAPABILITY, Interface, load};
use crate::device::backend::Error;

/// The least compute capability: bfloat16 and TF32 on tensor cores.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

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
    let driver = load()?;
    (0..count(driver)?)
        .map(|ordinal| describe(driver, ordinal).map(|(_, device)| device))
        .collect()
}

/// Whether GPU `ordinal` exists and these kernels can run there.
///
/// # Errors
/// As [`devices`]; no such GPU, or one without the instructions.
pub(in crate::device) fn check(ordinal: usize) -> Result<(), Error> {
    device(load()?, ordinal).map(|_| ())
}

fn count(driver: &Interface) -> Result<usize, Error> {
    let mut count = 0;
    // SAFETY: the driver writes one number to a valid address.
    let status = unsafe { (driver.device_count)(&raw mut count) };
    driver.check("counting devices", status)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The driver's handle of a GPU, and what there is to say of it.
fn describe(driver: &Interface, ordinal: usize) -> Result<(c_int, CudaDevice), Error> {
    let doing = "querying a device";
    let mut handle = 0;
    // SAFETY: the driver writes one number to a valid address.
    let status = unsafe { (driver.device)(&raw mut handle, ordinal as c_int) };
    driver.check(doing, status)?;
    let mut name: [c_char; 128] = [0; 128];
    // SAFETY: the driver writes at most this many bytes, with a zero at their end.
    let status = unsafe { (driver.device_name)(name.as_mut_ptr(), name.len() as c_int, handle) };
    driver.check(doing, status)?;
    // SAFETY: as above; where nothing was written there are zeros.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    let mut capability = [0; 2];
    for (number, attribute) in capability.iter_mut().zip(CAPABILITY) {
        // SAFETY: the driver writes one number to a valid address.
        let status = unsafe { (driver.device_attribute)(number, attribute, handle) };
        driver.check(doing, status)?;
    }
    let mut memory = 0;
    // SAFETY: as above.
    let status = unsafe { (driver.device_memory)(&raw mut memory, handle) };
    driver.check(doing, status)?;
    let device = CudaDevice {
        ordinal,
        name: name.to_string_lossy().into_owned(),
        compute_capability: capability.into(),
        memory: memory as u64,
        driver: driver.version(),
    };
    Ok((handle, device))
}

/// The driver's handle of GPU `ordinal` and its description, if these kernels can run there.
///
/// # Errors
/// As [`check`].
pub(super) fn device(driver: &Interface, ordinal: usize) -> Result<(c_int, CudaDevice), Error> {
    let count = count(driver)?;
    if ordinal >= count {
        return Err(Error::NoDevice { ordinal, count });
    }
    let (handle, device) = describe(driver, ordinal)?;
    if device.compute_capability < LEAST_CAPABILITY {
        return Err(Error::OldDevice {
            name: device.name,
            found: device.compute_capability,
        });
    }
    Ok((handle, device))
}
