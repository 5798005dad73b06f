//! The contract: an environment that is reset and stepped, and the result of a step.

use crate::{Error, Frame, Spec};

/// The result of one step, besides the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The reward of this step.
    pub reward: f64,
    /// The environment has reached a terminal state: no reward can follow. Never set by a time
    /// limit.
    pub terminated: bool,
    /// The episode is cut off in a state that is not terminal, as by a time limit. May come
    /// together with `terminated`.
    pub truncated: bool,
}

impl Step {
    /// Whether the episode is over, for either reason.
    pub fn is_last(self) -> bool {
        self.terminated || self.truncated
    }
}

/// An environment, which is reset and stepped.
///
/// Observations and actions are rows of `f64` as wide as the space says
/// ([`Space::width`](crate::Space::width)). Observations are rounded to the space's own number
/// type, so they go into a dataset and back without loss; actions are rounded to theirs before use.
/// A discrete action is one number, the choice; a number outside its range counts as the nearest
/// choice. A slice of a wrong width is a bug of the caller and panics.
///
/// A new environment is at the start state of seed 0.
pub trait Env: Send {
    /// The description: id, spaces, time limit.
    fn spec(&self) -> &Spec;

    /// Starts an episode and writes its first observation. `Some(seed)` restarts the generator and
    /// sets the start state that Gymnasium sets for that seed, bit for bit; `None` continues with
    /// the generator as Gymnasium does.
    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]);

    /// Takes one step and writes the observation after it. After the last step of an episode the
    /// caller resets.
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step;

    /// Writes the observation of the current state, without a step.
    fn observe(&self, observation: &mut [f64]);

    /// The complete physical state; empty where the environment does not expose it. A time limit's
    /// count of steps is not part of it.
    fn state(&self) -> Vec<f64>;

    /// Restores a state that [`Env::state`] returned. An error leaves the state unchanged.
    fn set_state(&mut self, state: &[f64]) -> Result<(), Error>;

    /// A picture of the current state, if the environment can draw one.
    fn render(&self) -> Option<Frame>;

    /// How often the simulation has become unstable since the environment was made: an infinite or
    /// huge acceleration, after which the simulation is back at its start, as under Gymnasium.
    fn instabilities(&self) -> u64 {
        0
    }

    /// Steps in a second of simulated time, as Gymnasium's `render_fps` says: for videos.
    fn steps_per_second(&self) -> f64 {
        30.0
    }
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn spec(&self) -> &Spec {
        (**self).spec()
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        (**self).reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        (**self).step(action, observation)
    }

    fn observe(&self, observation: &mut [f64]) {
        (**self).observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        (**self).state()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        (**self).set_state(state)
    }

    fn render(&self) -> Option<Frame> {
        (**self).render()
    }

    fn instabilities(&self) -> u64 {
        (**self).instabilities()
    }

    fn steps_per_second(&self) -> f64 {
        (**self).steps_per_second()
    }
}
