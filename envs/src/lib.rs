//! Control environments in Rust that reproduce Gymnasium's numbers.
//!
//! A start state by seed and every step after it equal those of Gymnasium 1.x bit for bit: the same
//! random numbers ([`random`]), the same order of floating point operations, the same places where
//! Python's float becomes a float32. So what is learned or measured here also holds for Gymnasium.
//!
//! | module | contents |
//! |---|---|
//! | [`mod@env`] | the contract: [`Env`], [`Step`] |
//! | [`mod@spec`], [`space`] | the description of an environment: its [`Spec`] and its [`Space`]s |
//! | [`registry`] | one table of all environments: [`make`], [`make_vec`], [`ids`], [`spec()`](registry::spec) |
//! | [`config`] | the description of an environment, with options and wrappers, as one line of text |
//! | [`options`] | the options of Gymnasium's constructors |
//! | [`mod@world`] | an environment made from dynamics |
//! | [`classic_control`] | five environments, from `CartPole` to `Pendulum`: one file each |
//! | [`mod@key_to_door`] | a grid world: credit assignment over many steps |
//! | [`mod@stitching_maze`], [`maze`] | a point in a maze: joining pieces of trajectories |
//! | [`mujoco`] | ten environments, from `Ant` to `Walker2d`, where that library is installed |
//! | [`time_limit`] | the wrapper that truncates |
//! | [`delayed_reward`] | the wrapper that moves all reward to the last step |
//! | [`wrappers`] | Gymnasium's wrappers of actions and rewards |
//! | [`vector`] | [`VecEnv`]: many copies, stepped as contiguous rows |
//! | [`random`] | `NumPy`'s default generator |
//! | [`render`] | RGB frames |
//! | [`check`] | one checker of the contract for every environment, custom ones too |
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
pub mod env;
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
pub use env::{Env, Step};
pub use error::Error;
pub use registry::{ids, make, make_vec, spec};
pub use render::Frame;
pub use space::{BoxSpace, Dtype, Space};
pub use spec::{ReferenceReturns, Spec};
pub use time_limit::TimeLimit;
pub use vector::{Autoreset, VecEnv};
