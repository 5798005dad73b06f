//! The integration tests: one binary, one file for each subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod act;
mod architecture;
mod baseline_parity;
mod baselines;
mod beside;
mod command_line;
mod compare;
mod discrete_online;
mod discrete_parity;
mod documentation;
mod dt_acting;
mod engines;
mod environments;
mod evaluation;
mod examples;
mod export;
mod family;
mod fixture;
mod former_runs;
mod from_run;
mod gpu;
mod gpu_driver;
mod hostile;
mod labels;
mod language;
mod off_policy;
mod offline;
mod offline_parity;
mod online;
mod online_dt;
mod parity;
#[cfg(unix)]
mod restless;
mod resume;
mod sac_parity;
#[cfg(unix)]
mod signals;
mod sweep;
mod training;
mod validation;
mod weights;
mod workbench;
