//! Many runs from one plan: a base and a grid become a plan for each run.
//!
//! A sweep is a folder. Everything in it except the runs can be regenerated from its plan:
//!
//! ```text
//! runs.txt            the name of each run; its line is the run's index, and only lines are added
//! plans/NAME.toml     the differences from the recipe, a file for each run
//! runs/NAME/          the run directories
//! logs/NAME.log       the output of a run's last start by `rtg sweep`
//! one.sh INDEX        executes one run, whatever its state
//! array.sbatch        a Slurm array job of these
//! ```
//!
//! What is done for a run depends on its state: nothing where it has its result, a resume where it
//! has begun, a start otherwise. So any number of workers, schedulers and machines that share the
//! folder may be stopped and started again.

mod error;
mod folder;
mod grid;
mod pace;
mod slurm;
mod workers;

pub use error::Error;
pub use folder::{Folder, RunState};
pub use grid::{PlannedRun, SweepPlan};
pub use slurm::submit;
pub use workers::{Active, Event, Workers};
