//! Tests of the crate from outside.

mod golden;
mod mujoco;
mod recording;
mod reference_returns;
