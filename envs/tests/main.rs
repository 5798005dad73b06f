//! Tests of the crate from outside.

mod examples;
mod golden;
mod mujoco;
mod recording;
mod reference_returns;
