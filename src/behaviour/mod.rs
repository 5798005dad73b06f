//! Behaviour policies that need no training: they make datasets and define 0 and 100 of a score.
//!
//! [`Random`] draws every action; a [`Controller`] follows a hand-written [law](mod@laws);
//! [`Noisy`] adds noise to any policy, [`WithActionNoise`] that with which online algorithms
//! explore. The randomness of an episode follows from its
//! [`Start`](crate::policy::Start) alone, so neither the number of rows nor their order changes an
//! episode.

mod action_noise;
mod controller;
pub mod laws;
pub mod mixture;
mod noisy;
mod random;

use crate::policy::Policy;

pub use action_noise::{ActionNoise, NoiseProcess, WithActionNoise};
pub use controller::Controller;
pub use noisy::Noisy;
pub(crate) use noisy::disturb;
pub use random::Random;

/// The hand-written controller of an environment, if it has one, acting in up to `rows` rows.
///
/// `noise` is between 0 (none, the expert of the registry's reference returns) and 1; see
/// [`Noisy`].
pub fn controller(env_id: &str, noise: f64, rows: usize) -> Option<Box<dyn Policy>> {
    let controller = Box::new(Controller::new(env_id)?);
    let space = rtg_envs::spec(env_id).ok()?.action_space;
    Some(Box::new(Noisy::new(controller, noise, &space, rows)))
}

#[cfg(test)]
mod tests;
