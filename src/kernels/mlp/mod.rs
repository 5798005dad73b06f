//! Small networks.
mod backward;
mod epilogue;
mod forward;
mod gradient;
mod inference;
mod layer;
mod layout;
mod narrow;
mod network;
mod pass;
mod pool;
pub mod reference;
#[cfg(test)]
mod tests;
mod weights;

pub use backward::{Gradient, Want};
pub use layout::{Activation, Layout, Norm, Place, Shape};
pub use network::Network;
pub use pass::Pass;
pub use pool::Pool;
