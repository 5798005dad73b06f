//! The integration tests: one binary, one file for each subject.

mod architecture;
mod engines;
mod parity;
