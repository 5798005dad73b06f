//! The step on a device: the model's own kernels and the whole step, compared with the naive model
//! and the CPU engine.

mod acting;
mod embedding;
mod gather;
mod launches;
mod model;
mod positionwise;
mod steps;
