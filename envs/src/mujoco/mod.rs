//! `MuJoCo`'s environments: one file each.
//!
//! The library is loaded when the first environment is created; it is not needed to build. [`find`]
//! returns it. Any version from 3.2 to 4.x works, and with the same version the numbers are
//! Gymnasium's. Get it with `pip install mujoco`, or name its file in `RTG_MUJOCO`.
//!
//! A [`Task`] contains the options of Gymnasium's constructor and defines observation, reward and
//! termination. [`MujocoEnv`] makes it an environment. The models in `models/` state the same
//! masses, sizes and gains as Gymnasium's; `golden/model_check.py` compares them number for number.
//!
//! ```no_run
//! use rtg_envs::{Env, mujoco::{Hopper, MujocoEnv}};
//! let mut env = MujocoEnv::new(Hopper { ctrl_cost_weight: 0.0, ..Hopper::default() })?;
//! let mut observation = [0.0; 11];
//! env.reset(Some(7), &mut observation);
//! # Ok::<(), rtg_envs::Error>(())
//! ```

mod ant;
mod arithmetic;
mod drawing;
mod half_cheetah;
mod hopper;
mod humanoid;
mod inverted_double_pendulum;
mod inverted_pendulum;
mod installation;
mod library;
mod locate;
mod pusher;
mod reacher;
mod scene;
mod simulation;
mod swimmer;
mod v4;
mod walker2d;

pub use ant::Ant;
pub use drawing::Camera;
pub use half_cheetah::HalfCheetah;
pub use hopper::Hopper;
pub use humanoid::Humanoid;
pub use installation::{Found, HINT, find, find_at, is_here, skip};
pub use inverted_double_pendulum::InvertedDoublePendulum;
pub use inverted_pendulum::InvertedPendulum;
pub use library::{Field, Warnings, warnings};
pub use pusher::Pusher;
pub use reacher::Reacher;
pub use simulation::{Move, MujocoEnv, Task, View};
pub use swimmer::Swimmer;
pub use v4::{HasV4, V4};
pub use walker2d::Walker2d;

pub(crate) use simulation::spec;
