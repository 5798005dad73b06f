//! `Pendulum-v1`: swing a pendulum up with too weak a motor and hold it there.
//!
//! State: the angle in rad, 0 upright and not wrapped, and the angular velocity in rad/s.
//! Observation: cosine and sine of the angle, angular velocity (±8). Action: the torque in N m,
//! clipped to ±2. Reward: `-(θ² + 0.1 θ̇² + 0.001 u²)` of the state *before* the step, the angle
//! wrapped to ±π, the torque clipped. An episode never terminates. Start: angle uniform in ±π,
//! velocity uniform in ±1. Rod of 1 m and 1 kg, gravity `g`: 10 m/s².

#![expect(
    clippy::inline_always,
    reason = "loops over columns must end up in the function that is compiled for the CPU's \
        features"
)]

use super::{
    pow2::{pow2, pow2_guess},
    sine::{Angles, sin_cos},
    widest::{Vectors, Work},
};
use crate::{
    BoxSpace, Frame, Space,
    options::{Options, Slot, slots},
    random::NumpyRng,
    render::{Canvas, colour},
    vector::{Column, InColumns, LANES},
    world::{Dynamics, float32},
};
use std::{f64::consts::PI, hint::black_box};

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f64 = 2.0;
const SECS_PER_STEP: f64 = 0.05;

/// Angle and angular velocity, and the angle's sine and cosine, which two steps need.
#[derive(Clone, Debug)]
pub struct Pendulum {
    /// Gravity in m/s².
    pub g: f64,
    state: [f64; 2],
    sin: f64,
    cos: f32,
}

impl Default for Pendulum {
    fn default() -> Self {
        Self {
            g: 10.0,
            state: [0.0; 2],
            sin: 0.0,
            cos: 1.0,
        }
    }
}

impl Options for Pendulum {
    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        slots![self: g]
    }
}

/// The torque, and what is computed from it alone, are float32, like the action.
#[inline(always)]
fn torque(action: f64) -> f32 {
    (action as f32).clamp(-MAX_TORQUE as f32, MAX_TORQUE as f32)
}

/// Adds up the squares of angle, velocity and torque.
#[inline(always)]
fn cost(angle: f64, velocity: f64, torque: f32) -> f64 {
    angle + 0.1 * velocity + f64::from(0.001 * torque)
}

/// The next angle and velocity; `pull` is the acceleration by gravity of a horizontal rod.
#[inline(always)]
fn moved([theta, theta_dot]: [f64; 2], sin: f64, pull: f64, torque: f32) -> [f64; 2] {
    let acceleration = pull * sin + f64::from(3.0 * torque);
    let theta_dot = (theta_dot + acceleration * SECS_PER_STEP).clamp(-MAX_SPEED, MAX_SPEED);
    [theta + theta_dot * SECS_PER_STEP, theta_dot]
}

/// The angle in `-PI .. PI`, as Python's `%` returns it: through `fmod`, which is slow and called
/// only beyond two turns too many or too few.
#[inline]
fn wrapped(angle_rad: f64) -> f64 {
    let (angle, is_certain) = wrapped_guess(angle_rad);
    if is_certain {
        angle
    } else {
        (angle_rad + PI).rem_euclid(TURN) - PI
    }
}

const TURN: f64 = 2.0 * PI;

/// [`wrapped`], and whether it is.
#[inline(always)]
fn wrapped_guess(angle_rad: f64) -> (f64, bool) {
    let raised = angle_rad + PI;
    let is = |condition| f64::from(u8::from(condition));
    let above = is(raised >= TURN) + is(raised >= 2.0 * TURN);
    let turns = above - is(raised < 0.0) - is(raised < -TURN);
    let (is_low, is_high) = (raised < -2.0 * TURN, raised >= 3.0 * TURN);
    ((raised - turns * TURN) - PI, !(is_low | is_high))
}

/// NumPy's `x ** 2` of a float32, which is the C library's `powf`. glibc's rounds the exact square,
/// but where that is within 0.002 units in the last place of the middle between two float32 numbers
/// (for every number up to 2); it is called only near there.
#[inline]
fn single_pow2(x: f32) -> f32 {
    let (square, is_certain) = single_pow2_guess(x);
    if is_certain {
        square
    } else {
        x.powf(black_box(2.0))
    }
}

/// [`single_pow2`], and whether it is.
#[inline(always)]
fn single_pow2_guess(x: f32) -> (f32, bool) {
    /// The bits of a float64 that a float32 does not have, and their middle.
    const BITS: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    let square = f64::from(x) * f64::from(x);
    let from_middle = (square.to_bits() & BITS).abs_diff(MIDDLE);
    let (is_far, is_large) = (from_middle > MIDDLE / 100, square > 1e-30);
    (square as f32, is_far & is_large)
}

impl Pendulum {
    #[inline]
    fn put(&mut self, theta: f64, theta_dot: f64) {
        self.state = [theta, theta_dot];
        (self.sin, self.cos) = sin_cos(theta);
    }

    /// The acceleration by gravity of a horizontal rod, in rad/s².
    #[inline]
    fn pull(&self) -> f64 {
        3.0 * self.g / 2.0
    }

    fn cost(&self, torque: f32) -> f64 {
        let [theta, theta_dot] = self.state;
        cost(pow2(wrapped(theta)), pow2(theta_dot), single_pow2(torque))
    }
}

/// Pendulums side by side.
#[derive(Default)]
pub(crate) struct Block {
    /// The same for all.
    pull: f64,
    action: Column,
    theta: Column,
    theta_dot: Column,
    sin: Column,
    cost: Column,
    cost_is_certain: Column<bool>,
    next: Angles,
}

impl Block {
    #[inline(always)]
    fn advance(&mut self) {
        // Copies, which the compiler knows not to overlap.
        let (thetas, speeds, sines, actions) = (self.theta, self.theta_dot, self.sin, self.action);
        let (mut next, mut next_speeds) = ([0.0; LANES], [0.0; LANES]);
        let (mut costs, mut certain) = ([0.0; LANES], [false; LANES]);
        for lane in 0..LANES {
            let (theta, theta_dot) = (thetas[lane], speeds[lane]);
            let torque = torque(actions[lane]);
            let (angle, is_wrapped) = wrapped_guess(theta);
            let (angle, is_angle) = pow2_guess(angle);
            let (velocity, is_velocity) = pow2_guess(theta_dot);
            let (effort, is_effort) = single_pow2_guess(torque);
            costs[lane] = cost(angle, velocity, effort);
            certain[lane] = is_wrapped & is_angle & is_velocity & is_effort;
            [next[lane], next_speeds[lane]] =
                moved([theta, theta_dot], sines[lane], self.pull, torque);
        }
        (self.cost, self.cost_is_certain) = (costs, certain);
        (self.next.rad, self.theta_dot) = (next, next_speeds);
        self.next.place();
    }
}

/// Up to where the angles are.
struct Advance<'a>(&'a mut [Block]);

impl Work for Advance<'_> {
    #[inline(always)]
    fn run(self) {
        for block in self.0 {
            block.advance();
        }
    }
}

/// From there on.
struct Observe<'a>(&'a mut [Block]);

impl Work for Observe<'_> {
    #[inline(always)]
    fn run(self) {
        for block in self.0 {
            block.next.compute();
        }
    }
}

fn advance_with(vectors: Vectors, blocks: &mut [Block]) {
    vectors.run(Advance(blocks));
    for block in &mut *blocks {
        block.next.look_up();
    }
    vectors.run(Observe(blocks));
}

impl InColumns for Pendulum {
    type Block = Block;

    #[inline]
    fn enter(&self, action: &[f64], block: &mut Block, lane: usize) {
        block.pull = self.pull();
        block.action[lane] = action[0];
        [block.theta[lane], block.theta_dot[lane]] = self.state;
        block.sin[lane] = self.sin;
    }

    fn advance_blocks(blocks: &mut [Block]) {
        advance_with(Vectors::widest(), blocks);
    }

    #[inline]
    fn leave(&mut self, action: &[f64], block: &Block, lane: usize) -> (f64, bool) {
        let cost = if block.cost_is_certain[lane] {
            block.cost[lane]
        } else {
            self.cost(torque(action[0]))
        };
        self.state = [block.next.rad[lane], block.theta_dot[lane]];
        (self.sin, self.cos) = block.next.sin_cos(lane);
        (-cost, false)
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
        let torque = torque(action[0]);
        let cost = self.cost(torque);
        let [theta, theta_dot] = moved(self.state, self.sin, self.pull(), torque);
        self.put(theta, theta_dot);
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
    fn fast_paths_give_the_bits_of_the_c_library() {
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
