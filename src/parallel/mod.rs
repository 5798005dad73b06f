//! Several processes that compute one run, each a *rank*, and how its work is divided.
//!
//! All ranks have the whole state of the run and do the same steps. A batch is divided into
//! *parts*; a rank computes the gradients of its parts only, and [`Division::sum`] returns the same
//! sum on every rank, added up in the order of the parts. So the bits of a run follow from the
//! number of parts, and never from the number of ranks, the library that connects them or the order
//! of messages:
//!
//! ```text
//! 1 rank x 4 parts = 2 ranks x 2 parts = 4 ranks x 1 part
//! ```
//!
//! [`Communicator`] is how ranks exchange bytes; [`mpi`] is the one for clusters. No library
//! function adds numbers, because the standard does not fix the order.

mod cores;
mod division;
mod error;
pub mod mpi;
#[cfg(test)]
pub(crate) mod threads;
mod world;

use std::fmt::Debug;

pub use self::cores::cores;
pub use self::division::Division;
pub use self::error::Error;
pub use self::world::World;

/// How ranks exchange bytes. Every call but [`Communicator::abort`] is made by all ranks, in
/// the same order, with arrays of the same lengths; it returns when this rank's part is done.
pub trait Communicator: Debug + Send + Sync {
    /// The name of the connection, for display.
    fn name(&self) -> String;

    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// `all` becomes the `mine` of every rank, in the order of the ranks.
    fn all_gather(&self, mine: &[u8], all: &mut [u8]);

    /// Divides `mine` into a slice for each rank; `received` becomes the slices for this rank, in
    /// the order of the ranks.
    fn all_to_all(&self, mine: &[u8], received: &mut [u8]);

    /// `bytes` becomes that of rank 0.
    fn broadcast(&self, bytes: &mut [u8]);

    /// Ends the communication; every rank calls it last.
    fn finish(&self);

    /// Ends the processes of all ranks, on any machine, with this exit code.
    fn abort(&self, code: u8) -> !;
}

/// A single process.
#[derive(Debug)]
struct Alone;

impl Communicator for Alone {
    fn name(&self) -> String {
        "nothing".to_owned()
    }

    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) {
        all.copy_from_slice(mine);
    }

    fn all_to_all(&self, mine: &[u8], received: &mut [u8]) {
        received.copy_from_slice(mine);
    }

    fn broadcast(&self, _: &mut [u8]) {}

    fn finish(&self) {}

    fn abort(&self, code: u8) -> ! {
        std::process::exit(code.into())
    }
}
