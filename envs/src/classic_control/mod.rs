//! The five classic control environments, one file each.
//!
//! A file contains the physics: a type with [`Dynamics`](crate::world::Dynamics). The order of
//! operations is Gymnasium's, without fused multiply-add, so that every bit is the same.

use crate::world::World;

pub(crate) mod acrobot;
pub(crate) mod cartpole;
mod hill;
pub(crate) mod mountain_car;
pub(crate) mod mountain_car_continuous;
pub(crate) mod pendulum;
mod pow2;
mod sine;
mod widest;

/// `CartPole-v1`.
pub type CartPole = World<cartpole::CartPole>;
/// `MountainCar-v0`.
pub type MountainCar = World<mountain_car::MountainCar>;
/// `MountainCarContinuous-v0`.
pub type MountainCarContinuous = World<mountain_car_continuous::MountainCarContinuous>;
/// `Acrobot-v1`.
pub type Acrobot = World<acrobot::Acrobot>;
/// `Pendulum-v1`.
pub type Pendulum = World<pendulum::Pendulum>;

pub(crate) use pow2::pow2;
