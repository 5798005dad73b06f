//! `--mpi`: a command that several processes run together.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::complain;
use crate::error::Error;
use crate::parallel::World;
use crate::parallel::mpi::{self, LibraryChoice};

/// The value for an automatic choice of the library.
const AUTO: &str = "auto";

/// Whether a command runs under MPI, and with which library.
#[derive(Args)]
pub(super) struct Ranks {
    /// Divide the work among the processes of an MPI launcher (mpiexec, mpirun, srun). LIBRARY is
    /// the launcher's MPI library, a file or its folder [default: auto: the variable `RTG_MPI`,
    /// else next to the launcher on PATH, else the system's].
    #[arg(
        long,
        value_name = "LIBRARY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = AUTO
    )]
    mpi: Option<PathBuf>,
}

impl Ranks {
    /// Runs the work on every rank. An error of one rank is printed once and ends all of them.
    pub(super) fn run(&self, work: impl FnOnce(&World) -> Result<(), Error>) -> Result<(), Error> {
        let Some(library) = &self.mpi else {
            return work(&World::alone());
        };
        let variable = std::env::var_os("RTG_MPI").map(PathBuf::from);
        let given = [Some(library.clone()), variable];
        let named = given.into_iter().flatten();
        let mut named = named.filter(|path| path.as_os_str() != AUTO);
        let choice = named
            .next()
            .map_or(LibraryChoice::Launcher, LibraryChoice::Named);
        let shared = Shared(mpi::connect(&choice)?);
        let result = work(&shared.0);
        if let Err(error) = &result
            && shared.0.size() > 1
        {
            shared.give_up(error);
        }
        shared.0.finish();
        std::mem::forget(shared);
        result
    }
}

/// The ranks of a running command: the end of one rank ends all, because the others would wait for
/// it forever.
struct Shared(World);

impl Shared {
    /// Prints the error and ends all ranks. Often all of them fail in the same way, so a rank first
    /// waits long enough to be ended by an earlier one, and the error is printed once.
    fn give_up(&self, error: &Error) -> ! {
        const TURN: Duration = Duration::from_secs(2);
        const PASSED_ON: Duration = Duration::from_millis(250);
        std::thread::sleep(TURN * self.0.rank().min(10) as u32);
        let rank = self.0.rank();
        complain(error, (rank > 0).then_some(rank));
        // The launcher forwards printed text, unless it has to end all ranks first.
        std::thread::sleep(PASSED_ON);
        self.0.abort(error.exit_code())
    }
}

impl Drop for Shared {
    /// Only reached after a panic.
    fn drop(&mut self) {
        self.0.abort(1);
    }
}
