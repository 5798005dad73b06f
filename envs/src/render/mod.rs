//! RGB frames, drawn in software.

mod canvas;
mod frame;

pub(crate) use canvas::{Canvas, colour};
pub use frame::Frame;
