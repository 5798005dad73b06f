//! The integration tests: one binary, one file for each subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod architecture;
mod baseline_parity;
mod baselines;
mod command_line;
mod compare;
mod documentation;
mod engines;
mod environments;
mod evaluation;
mod fixture;
mod former_runs;
mod gpu;
mod offline;
mod online;
mod parity;
mod resume;
mod sac_parity;
mod sweep;
mod training;
mod validation;
mod weights;
mod workbench;
