//! The integration tests: one binary, one file for each subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod architecture;
mod baselines;
mod command_line;
mod engines;
mod environments;
mod evaluation;
mod former_runs;
mod gpu;
mod parity;
mod resume;
mod sweep;
mod training;
mod validation;
mod weights;
mod workbench;
