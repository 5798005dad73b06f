//! Many runs from one plan: a base and a grid become a plan for each run.
//!
//! A sweep is a folder. Everything in it can be made again from its plan, except the runs:
//!
//! ```text
//! runs.txt            the name of each run; its line is the run's index, and only lines are added
//! plans/NAME.toml     what differs from the recipe, a file for each run
//! runs/NAME/          the run directories
//! logs/NAME.log       what a run said on its last start by `rtg sweep`
//! one.sh INDEX        does one run, whatever its state is
//! array.sbatch        a Slurm array job of such
//! ```
//!
//! A run is done in the state in which it is found: nothing where it has its result, a resume where
//! it has begun, a start otherwise. So any number of workers, schedulers and machines that share the
//! folder may be stopped and called again.

mod error;
mod folder;
mod grid;
mod pace;
mod slurm;
mod workers;

pub use error::Error;
pub use folder::{Folder, State};
pub use grid::{PlannedRun, SweepPlan};
pub use slurm::submit;
pub use workers::{Active, Event, Workers};
