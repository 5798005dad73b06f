//! `Pendulum-v1`: swing a pendulum up with too weak a motor and hold it there.
//!
//! State: the angle in rad, 0 upright and not wrapped, and the angular velocity in rad/s.
//! Observation: cosine and sine of the angle, angular velocity (±8). Action: the torque in N m,
//! clipped to ±2. Reward: `-(θ² + 0.1 θ̇² + 0.001 u²)` of the state *before* the step, the angle
//! wrapped to ±π, the torque clipped. The world never ends. Start: angle uniform in ±π, velocity
//! uniform in ±1. Rod of 1 m and 1 kg, gravity 10 m/s².

use super::{Dynamics, float32, pow2};
use crate::{
    BoxSpace, Frame, Space,
    random::NumpyRng,
    render::{Canvas, colour},
};
use std::{f64::consts::PI, hint::black_box};

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f64 = 2.0;
const GRAVITY: f64 = 10.0;
const SECS_PER_STEP: f64 = 0.05;

/// Angle and angular velocity.
#[derive(Clone, Debug, Default)]
pub struct Pendulum {
    state: [f64; 2],
}

fn wrapped(angle_rad: f64) -> f64 {
    (angle_rad + PI).rem_euclid(2.0 * PI) - PI
}

impl Dynamics for Pendulum {
    const ID: &'static str = "Pendulum-v1";

    fn spaces() -> (Space, Space) {
        let high = [1.0, 1.0, MAX_SPEED];
        let observations = BoxSpace::float32(&high.map(|bound| -bound), &high);
        (
            Space::Box(observations),
            Space::Box(BoxSpace::float32(&[-MAX_TORQUE], &[MAX_TORQUE])),
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = [rng.uniform(-PI, PI), rng.uniform(-1.0, 1.0)];
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let [theta, theta_dot] = self.state;
        // The torque and what is made of it alone stay float32, as the action is.
        let torque = (action[0] as f32).clamp(-MAX_TORQUE as f32, MAX_TORQUE as f32);
        let effort = f64::from(0.001 * torque.powf(black_box(2.0)));
        let cost = pow2(wrapped(theta)) + 0.1 * pow2(theta_dot) + effort;
        let acceleration = 3.0 * GRAVITY / 2.0 * theta.sin() + f64::from(3.0 * torque);
        let theta_dot = (theta_dot + acceleration * SECS_PER_STEP).clamp(-MAX_SPEED, MAX_SPEED);
        self.state = [theta + theta_dot * SECS_PER_STEP, theta_dot];
        (-cost, false)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        let [theta, theta_dot] = self.state;
        let (sin, cos) = theta.sin_cos();
        observation.copy_from_slice(&[cos, sin, theta_dot].map(float32));
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    fn restore(&mut self, state: &[f64]) {
        self.state.copy_from_slice(state);
    }

    fn draw(&self) -> Frame {
        const ROD: f64 = 150.0;
        let (sin, cos) = self.state[0].sin_cos();
        let mut canvas = Canvas::new(500, 500);
        canvas.ring((250.0, 250.0), ROD, 2.0, colour::GROUND);
        canvas.line(
            &[(250.0, 250.0), (250.0 - ROD * sin, 250.0 - ROD * cos)],
            34.0,
            colour::ACCENT,
        );
        canvas.circle((250.0, 250.0), 8.0, colour::DARK);
        canvas.into_frame()
    }
}
