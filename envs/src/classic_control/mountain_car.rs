//! `MountainCar-v0`: drive an underpowered car up a hill.
//!
//! The car's engine is weaker than gravity on the slope, so it must swing back and forth to gain
//! energy. Source: A. W. Moore, "Efficient memory-based learning for robot control" (1990).
//!
//! | observation, state | bounds |
//! |---|---|
//! | 0: position along the track | -1.2 .. 0.6 (a wall at the left end stops the car) |
//! | 1: velocity, distance a step | ±0.07 |
//!
//! Actions: 0 accelerates left, 1 coasts, 2 accelerates right. Reward: -1 for every step. The
//! episode ends at position 0.5 or beyond with a velocity of at least `goal_velocity`, 0. Start:
//! position uniform in -0.6 .. -0.4, at rest.

use super::hill::{self, MAX_SPEED, POSITIONS, observation_space};
use crate::{
    Frame, Space,
    options::{Options, Slot, slots},
    random::NumpyRng,
    world::{Dynamics, choice, float32},
};

const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;
const GOAL: f64 = 0.5;

/// Position and velocity.
#[derive(Clone, Debug, Default)]
pub struct MountainCar {
    /// The smallest velocity at which the goal counts as reached.
    pub goal_velocity: f64,
    state: [f64; 2],
}

impl Options for MountainCar {
    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        slots![self: goal_velocity]
    }
}

impl Dynamics for MountainCar {
    const ID: &'static str = "MountainCar-v0";

    fn spaces() -> (Space, Space) {
        (observation_space(), Space::Discrete { n: 3, start: 0 })
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = [rng.uniform(-0.6, -0.4), 0.0];
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let [position, velocity] = self.state;
        let direction = choice(action[0], 3) as f64 - 1.0;
        let velocity = velocity + (direction * FORCE + (3.0 * position).cos() * -GRAVITY);
        let mut velocity = velocity.clamp(-MAX_SPEED, MAX_SPEED);
        let position = (position + velocity).clamp(POSITIONS.0, POSITIONS.1);
        if position <= POSITIONS.0 && velocity < 0.0 {
            velocity = 0.0;
        }
        self.state = [position, velocity];
        (-1.0, position >= GOAL && velocity >= self.goal_velocity)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        observation.copy_from_slice(&self.state.map(float32));
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    fn restore(&mut self, state: &[f64]) {
        self.state.copy_from_slice(state);
    }

    fn draw(&self) -> Frame {
        hill::draw(self.state[0], GOAL)
    }
}
