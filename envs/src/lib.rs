//! Control environments in Rust that give Gymnasium's numbers.
//!
//! A start state by seed and every step after it equal those of Gymnasium 1.x bit for bit: the same
//! random numbers ([`random`]), the same order of floating point operations, the same places where
//! Python's float becomes a float32. What is learned or measured here therefore holds there.
//!
//! | module | what it holds |
//! |---|---|
//! | this page | the contract: [`Env`], [`Step`] |
//! | [`mod@spec`], [`space`] | what an environment says about itself: its [`Spec`] and its [`Space`]s |
//! | [`registry`] | one table of all environments: [`make`], [`make_vec`], [`ids`], [`spec()`](registry::spec) |
//! | [`config`] | which environment is meant, options and wrappers included, as one line of text |
//! | [`options`] | the options of Gymnasium's constructors |
//! | [`mod@world`] | an environment made of a world's own physics |
//! | [`classic_control`] | five worlds, from `CartPole` to `Pendulum`: one file each |
//! | [`mod@key_to_door`] | a grid world of our own: credit over many steps |
//! | [`mod@stitching_maze`], [`maze`] | a point in a maze, of our own: joining pieces of ways |
//! | [`mujoco`] | ten worlds, from `Ant` to `Walker2d`, for whoever has that library |
//! | [`time_limit`] | the wrapper that truncates |
//! | [`delayed_reward`] | the wrapper that pays at the end |
//! | [`wrappers`] | Gymnasium's wrappers of actions and rewards |
//! | [`vector`] | [`VecEnv`]: many copies, stepped as contiguous rows |
//! | [`random`] | `NumPy`'s default generator |
//! | [`render`] | RGB frames |
//! | [`check`] | one checker of the contract for every environment, yours too |
#![cfg_attr(
    feature = "gymnasium-rs",
    doc = "| [`gymnasium_rs`] | adapters to and from the crate of that name |"
)]
//!
//! ```
//! let mut env = rtg_envs::make("CartPole-v1")?;
//! let mut observation = [0.0; 4];
//! env.reset(Some(42), &mut observation);
//! assert_eq!(observation[0], f64::from(0.027_395_605_f32));
//! let step = env.step(&[1.0], &mut observation);
//! assert_eq!((step.reward, step.terminated), (1.0, false));
//! # Ok::<(), rtg_envs::Error>(())
//! ```

pub mod check;
pub mod classic_control;
pub mod config;
pub mod delayed_reward;
pub mod error;
#[cfg(feature = "gymnasium-rs")]
pub mod gymnasium_rs;
pub mod key_to_door;
pub mod maze;
pub mod mujoco;
mod names;
pub mod options;
pub mod random;
pub mod registry;
pub mod render;
pub mod space;
pub mod spec;
pub mod stitching_maze;
pub mod time_limit;
pub mod vector;
pub mod world;
pub mod wrappers;

pub use config::EnvConfig;
pub use delayed_reward::DelayedReward;
pub use error::Error;
pub use registry::{ids, make, make_vec, spec};
pub use render::Frame;
pub use space::{BoxSpace, Dtype, Space};
pub use spec::{ReferenceReturns, Spec};
pub use time_limit::TimeLimit;
pub use vector::{Autoreset, VecEnv};

/// What one step gave, besides the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The reward of this step.
    pub reward: f64,
    /// The world has ended: no reward can follow. Never set by a time limit.
    pub terminated: bool,
    /// The episode is cut off though the world goes on, as by a time limit. May come together with
    /// `terminated`.
    pub truncated: bool,
}

impl Step {
    /// Whether the episode is over, for either reason.
    pub fn is_last(self) -> bool {
        self.terminated || self.truncated
    }
}

/// An environment: one world that is reset and stepped.
///
/// Observations and actions are rows of `f64` as wide as the space says ([`Space::width`]).
/// Observations are rounded to the space's own number type, so they go into a dataset and come back
/// without loss; actions are rounded to theirs before use. A discrete action is one number that
/// holds the choice; outside of its range it counts as the nearest choice. A slice of a wrong width
/// is the caller's bug and panics.
///
/// A new environment stands at the start state of seed 0.
pub trait Env: Send {
    /// The description: id, spaces, time limit.
    fn spec(&self) -> &Spec;

    /// Starts an episode and writes its first observation. `Some(seed)` restarts the generator and
    /// gives the start state that Gymnasium gives for that seed, bit for bit; `None` goes on with
    /// the generator as Gymnasium does.
    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]);

    /// Goes one step and writes the observation after it. After the last step of an episode the
    /// caller resets.
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step;

    /// Writes the observation of the present state, without any step.
    fn observe(&self, observation: &mut [f64]);

    /// The whole physical state; empty where the world does not show it. A time limit's count of
    /// steps is not part of it.
    fn state(&self) -> Vec<f64>;

    /// Puts the world into a state that [`Env::state`] gave. An error leaves it where it was.
    fn set_state(&mut self, state: &[f64]) -> Result<(), Error>;

    /// A picture of the present state, if the world can draw one.
    fn render(&self) -> Option<Frame>;

    /// How often the simulation has become unstable since the environment was made: an infinite or
    /// huge acceleration, after which the world stands at its own start again, as under Gymnasium.
    fn instabilities(&self) -> u64 {
        0
    }

    /// Steps in a second of the world's own time, as Gymnasium's `render_fps` says: for films.
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
