//! `MountainCarContinuous-v0`: the mountain car with an engine that can be throttled.
//!
//! Observation and state: position (-1.2 .. 0.6) and velocity (±0.07), as in `MountainCar-v0`.
//! Action: the throttle, clipped to ±1; the engine has 1.5 times the power. Reward: 100 at the
//! goal, less `0.1 a²` for every step, where `a` is the action *before* it is clipped. The episode
//! ends at position 0.45 or beyond with a velocity of at least `goal_velocity`, 0. Start: position
//! uniform in -0.6 .. -0.4, at rest.
//!
//! Gymnasium keeps this state as float64 after a reset and as float32 from the first step on, and
//! sums are computed in the type of the state. Here the state decides: the arithmetic is float32
//! when both numbers of the state are float32 values.

use super::hill::{self, MAX_SPEED, POSITIONS, observation_space};
use crate::{
    BoxSpace, Frame, Space,
    options::{Options, Slot, slots},
    random::NumpyRng,
    world::{Dynamics, float32, is_float32},
};

const POWER: f64 = 0.0015;
const GRAVITY: f64 = 0.0025;
const GOAL: f64 = 0.45;

/// Position and velocity.
#[derive(Clone, Debug, Default)]
pub struct MountainCarContinuous {
    /// The smallest velocity at which the goal counts as reached.
    pub goal_velocity: f64,
    state: [f64; 2],
    /// The state is stored as float32.
    is_single: bool,
}

impl Options for MountainCarContinuous {
    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        slots![self: goal_velocity]
    }
}

/// The engine's share and gravity's share of the acceleration, added in the types that Python adds
/// them in: a throttle within bounds is a float32, one that was clipped has become a Python float.
#[inline]
fn acceleration(throttle: f32, slope: f64) -> f64 {
    if throttle < -1.0 {
        -POWER - slope
    } else if throttle > 1.0 {
        POWER - slope
    } else {
        f64::from(throttle * POWER as f32 - slope as f32)
    }
}

/// The step in float64, the first after a reset.
#[inline]
fn advance_double(
    [position, velocity]: [f64; 2],
    throttle: f32,
    goal_velocity: f64,
) -> ([f64; 2], bool) {
    let slope = GRAVITY * (3.0 * position).cos();
    let mut velocity = (velocity + acceleration(throttle, slope)).clamp(-MAX_SPEED, MAX_SPEED);
    let position = (position + velocity).clamp(POSITIONS.0, POSITIONS.1);
    if position <= POSITIONS.0 && velocity < 0.0 {
        velocity = 0.0;
    }
    (
        [float32(position), float32(velocity)],
        position >= GOAL && velocity >= goal_velocity,
    )
}

/// The step in float32, all others. The cosine is that of a float32 angle, but computed in float64.
/// The comparison with the goal is in float32, unless clipping has made the velocity a Python
/// float.
#[inline]
fn advance_single(
    [position, velocity]: [f32; 2],
    throttle: f32,
    goal_velocity: f64,
) -> ([f32; 2], bool) {
    let slope = GRAVITY * f64::from(3.0 * position).cos();
    let (least, greatest, max_speed) = (POSITIONS.0 as f32, POSITIONS.1 as f32, MAX_SPEED as f32);
    let free = velocity + acceleration(throttle, slope) as f32;
    let mut velocity = free.clamp(-max_speed, max_speed);
    let position = (position + velocity).clamp(least, greatest);
    if position <= least && velocity < 0.0 {
        velocity = 0.0;
    }
    let is_fast = if free > max_speed {
        MAX_SPEED >= goal_velocity
    } else if free < -max_speed {
        -MAX_SPEED >= goal_velocity
    } else {
        velocity >= goal_velocity as f32
    };
    ([position, velocity], position >= GOAL as f32 && is_fast)
}

impl Dynamics for MountainCarContinuous {
    const ID: &'static str = "MountainCarContinuous-v0";

    fn spaces() -> (Space, Space) {
        (
            observation_space(),
            Space::Box(BoxSpace::float32(&[-1.0], &[1.0])),
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = [rng.uniform(-0.6, -0.4), 0.0];
        self.is_single = false;
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let throttle = action[0] as f32;
        let terminated;
        if self.is_single {
            let state = self.state.map(|number| number as f32);
            let (state, at_goal) = advance_single(state, throttle, self.goal_velocity);
            (self.state, terminated) = (state.map(f64::from), at_goal);
        } else {
            (self.state, terminated) = advance_double(self.state, throttle, self.goal_velocity);
            self.is_single = true;
        }
        let goal = if terminated { 100.0 } else { 0.0 };
        let effort = f64::from(throttle);
        (goal - effort * effort * 0.1, terminated)
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
        self.is_single = self.state.into_iter().all(is_float32);
    }

    fn draw(&self) -> Frame {
        hill::draw(self.state[0], GOAL)
    }
}
