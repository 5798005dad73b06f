#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;
pub mod format;
mod json;
mod file;
mod reader;
mod functions;
mod product;
mod norm;
mod preprocessing;
mod network;
mod policy;
#[cfg(test)]
mod testing;

pub use self::error::Error;
pub use self::policy::{Actions, Policy};
