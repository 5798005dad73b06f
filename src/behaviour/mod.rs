//! Behaviour policies that need no training: they make datasets and mark the two ends of a score.
//!
//! [`Random`] draws every action; a [`Controller`] follows a hand-written [law](mod@laws) with as
//! much noise as wanted. What is random in an episode follows from its
//! [`Start`](crate::policy::Start) alone, so neither the number of rows nor their order changes an
//! episode.

mod controller;
pub mod laws;
mod random;

use crate::policy::Policy;

pub use controller::Controller;
pub use random::Random;

/// The hand-written controller of an environment, if it has one, acting in up to `rows` rows.
///
/// `noise` lies in 0 (none, the expert of the registry's reference returns) to 1; see
/// [`Controller`].
pub fn controller(env_id: &str, noise: f64, rows: usize) -> Option<Box<dyn Policy>> {
    Some(Box::new(Controller::new(env_id, noise, rows)?))
}

#[cfg(test)]
mod tests;
