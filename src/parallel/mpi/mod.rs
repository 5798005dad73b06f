//! Ranks that an MPI launcher started (`mpiexec`, `mpirun`, `srun`).
//!
//! The library is loaded on demand, so one program works with every MPI and none is needed to build
//! it. It must be the launcher's own: see [`LibraryChoice`]. Of MPI 3.1 ten functions and one type,
//! `MPI_BYTE`, are used; `interface.rs` has the three existing binary interfaces.
#![expect(unsafe_code, reason = "calls a C library")]

mod choice;
mod interface;

use std::sync::{Mutex, PoisonError};

pub use self::choice::LibraryChoice;
use self::interface::{Calls, load};
use super::{Communicator, Error, World};

/// Bytes of one call at most: MPI 3.1 counts in `int`.
const MOST_BYTES: usize = 1 << 30;

/// The process's connection to all ranks, `MPI_COMM_WORLD`.
#[derive(Debug)]
struct Mpi {
    calls: Box<dyn Calls>,
    rank: usize,
    size: usize,
    /// MPI was initialised for calls from any thread, one at a time.
    turn: Mutex<()>,
}

/// Connects to the ranks that the launcher started. Call it once in a process.
///
/// # Errors
/// No library, one that cannot be used, or one that is not the launcher's.
pub fn connect(choice: &LibraryChoice) -> Result<World, Error> {
    let (calls, path) = choice.open(load)?;
    calls.start().map_err(|reason| Error::Unusable {
        reason,
        path: path.clone(),
    })?;
    let (rank, size) = calls.place();
    let launched = choice::launched();
    if size == 1 && launched > 1 {
        return Err(Error::OtherLauncher { launched, path });
    }
    Ok(World::new(Mpi {
        calls,
        rank,
        size,
        turn: Mutex::default(),
    }))
}

impl Communicator for Mpi {
    fn name(&self) -> String {
        self.calls.version()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) {
        assert_eq!(all.len(), self.size * mine.len(), "a slice for each rank");
        assert!(mine.len() <= MOST_BYTES, "too many bytes for one call");
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.calls.all_gather(mine, all);
    }

    fn all_to_all(&self, mine: &[u8], received: &mut [u8]) {
        assert_eq!(mine.len(), received.len(), "as much of each rank");
        assert!(
            mine.len().is_multiple_of(self.size),
            "a slice for each rank"
        );
        let slice = mine.len() / self.size;
        assert!(slice <= MOST_BYTES, "too many bytes for one call");
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.calls.all_to_all(mine, received, slice);
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for bytes in bytes.chunks_mut(MOST_BYTES) {
            self.calls.broadcast(bytes);
        }
    }

    fn finish(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.calls.finish();
    }

    fn abort(&self, code: u8) -> ! {
        self.calls.abort(code.into());
        std::process::exit(code.into())
    }
}
