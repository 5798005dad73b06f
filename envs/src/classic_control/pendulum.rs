//! `Pendulum-v1`: swing a pendulum up with too weak a motor and hold it there.
//!
//! State: the angle in rad, 0 upright and not wrapped, and the angular velocity in rad/s.
//! Observation: cosine and sine of the angle, angular velocity (±8). Action: the torque in N m,
//! clipped to ±2. Reward: `-(θ² + 0.1 θ̇² + 0.001 u²)` of the state *before* the step, the angle
//! wrapped to ±π, the torque clipped. The world never ends. Start: angle uniform in ±π, velocity
//! uniform in ±1. Rod of 1 m and 1 kg, gravity 10 m/s².

use super::{Dynamics, float32, pow2, sine::sin_cos};
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

/// Angle and angular velocity, and the angle's sine and cosine, which two steps need.
#[derive(Clone, Debug, Default)]
pub struct Pendulum {
    state: [f64; 2],
    sin: f64,
    cos: f32,
}

/// The angle in `-PI .. PI`, as Python's `%` gives it: through `fmod`, which takes long and is asked
/// only beyond one turn too many or too few.
#[inline]
fn wrapped(angle_rad: f64) -> f64 {
    const TURN: f64 = 2.0 * PI;
    let raised = angle_rad + PI;
    if !(-TURN..2.0 * TURN).contains(&raised) {
        return raised.rem_euclid(TURN) - PI;
    }
    let turns = f64::from(u8::from(raised >= TURN)) - f64::from(u8::from(raised < 0.0));
    (raised - turns * TURN) - PI
}

/// NumPy's `x ** 2` of a float32, which is the C library's `powf`. glibc's rounds the exact square,
/// but where that is within 0.002 units in the last place of the middle between two float32 numbers
/// (for every number up to 2); it is asked only near there.
#[inline]
fn single_pow2(x: f32) -> f32 {
    /// The bits of a float64 that a float32 has not, and their middle.
    const BITS: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    let square = f64::from(x) * f64::from(x);
    let from_middle = (square.to_bits() & BITS).abs_diff(MIDDLE);
    if from_middle > MIDDLE / 100 && square > 1e-30 {
        square as f32
    } else {
        x.powf(black_box(2.0))
    }
}

impl Pendulum {
    #[inline]
    fn put(&mut self, theta: f64, theta_dot: f64) {
        let (sin, cos) = sin_cos(theta);
        *self = Self {
            state: [theta, theta_dot],
            sin,
            cos,
        };
    }
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
        let theta = rng.uniform(-PI, PI);
        self.put(theta, rng.uniform(-1.0, 1.0));
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let [theta, theta_dot] = self.state;
        // The torque and what is made of it alone stay float32, as the action is.
        let torque = (action[0] as f32).clamp(-MAX_TORQUE as f32, MAX_TORQUE as f32);
        let effort = f64::from(0.001 * single_pow2(torque));
        let cost = pow2(wrapped(theta)) + 0.1 * pow2(theta_dot) + effort;
        let acceleration = 3.0 * GRAVITY / 2.0 * self.sin + f64::from(3.0 * torque);
        let theta_dot = (theta_dot + acceleration * SECS_PER_STEP).clamp(-MAX_SPEED, MAX_SPEED);
        self.put(theta + theta_dot * SECS_PER_STEP, theta_dot);
        (-cost, false)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        observation.copy_from_slice(&[
            f64::from(self.cos),
            float32(self.sin),
            float32(self.state[1]),
        ]);
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    fn restore(&mut self, state: &[f64]) {
        self.put(state[0], state[1]);
    }

    fn draw(&self) -> Frame {
        const ROD: f64 = 150.0;
        let (sin, cos) = (self.sin, f64::from(self.cos));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ways_give_the_same_bits_as_the_c_library() {
        let mut rng = NumpyRng::from_seed(0);
        for _ in 0..1_000_000 {
            let angle = rng.uniform(-20.0, 20.0);
            let expected = (angle + PI).rem_euclid(2.0 * PI) - PI;
            assert_eq!(wrapped(angle).to_bits(), expected.to_bits(), "{angle}");
            let torque = rng.uniform(-2.0, 2.0) as f32;
            let expected = torque.powf(black_box(2.0));
            assert_eq!(
                single_pow2(torque).to_bits(),
                expected.to_bits(),
                "{torque}"
            );
        }
        for torque in [0.0, -0.0, 2.0, 1e-30, f32::NAN] {
            assert_eq!(
                single_pow2(torque).to_bits(),
                torque.powf(black_box(2.0)).to_bits()
            );
        }
        for turns in -3..4 {
            let angle = f64::from(turns) * PI;
            for angle in [angle.next_down(), angle, angle.next_up()] {
                let expected = (angle + PI).rem_euclid(2.0 * PI) - PI;
                assert_eq!(wrapped(angle).to_bits(), expected.to_bits(), "{angle}");
            }
        }
    }
}
