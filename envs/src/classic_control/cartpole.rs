//! `CartPole-v1`: balance a pole on a cart.
//!
//! A pole stands on a hinge on a cart, which runs on a track without friction and is pushed to the
//! left or to the right with a fixed force. Source: A. G. Barto, R. S. Sutton, C. W. Anderson,
//! "Neuronlike adaptive elements that can solve difficult learning control problems" (1983).
//!
//! | observation, state | unit | bounds of the space |
//! |---|---|---|
//! | 0: cart position | m | 4.8 (the episode ends beyond 2.4) |
//! | 1: cart velocity | m/s | none |
//! | 2: pole angle, 0 upright | rad | 24 degrees (the episode ends beyond 12) |
//! | 3: pole angular velocity | rad/s | none |
//!
//! Actions: 0 pushes left, 1 pushes right. Reward: 1 for every step, the one that ends the episode
//! included; 0 for steps after it. With `sutton_barto_reward` it is 0 for every step and -1 for the
//! one that ends the episode and for steps after it. Start: all four uniform in ±0.05. Integration:
//! explicit Euler.

#![expect(
    clippy::inline_always,
    reason = "loops over columns must end up in the function that is compiled for the CPU's \
        features"
)]

use super::{
    sine::SmallAngles,
    widest::{Vectors, Work},
};
use crate::{
    BoxSpace, Frame, Space,
    options::{Options, Slot, slots},
    random::NumpyRng,
    render::{Canvas, colour},
    vector::{Column, InColumns, LANES},
    world::{Dynamics, choice, float32},
};
use std::f64::consts::PI;

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + 1.0;
const HALF_LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * HALF_LENGTH;
const FORCE: f64 = 10.0;
const SECS_PER_STEP: f64 = 0.02;
const ANGLE_LIMIT_RAD: f64 = 12.0 * 2.0 * PI / 360.0;
const POSITION_LIMIT: f64 = 2.4;

/// The state, and whether the episode's end has been rewarded.
#[derive(Clone, Debug, Default)]
pub struct CartPole {
    /// Whether only the fall counts, with -1: the reward of Barto, Sutton and Anderson.
    pub sutton_barto_reward: bool,
    state: [f64; 4],
    has_fallen: bool,
}

impl Options for CartPole {
    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        slots![self: sutton_barto_reward]
    }
}

impl CartPole {
    fn is_outside(&self) -> bool {
        self.state[0].abs() > POSITION_LIMIT || self.state[2].abs() > ANGLE_LIMIT_RAD
    }

    /// Sets a new state; returns the reward and whether the episode has terminated.
    #[inline]
    fn put(&mut self, state: [f64; 4]) -> (f64, bool) {
        self.state = state;
        let terminated = self.is_outside();
        let reward = match (self.sutton_barto_reward, terminated) {
            (true, true) => -1.0,
            (true, false) => 0.0,
            (false, true) if self.has_fallen => 0.0,
            (false, _) => 1.0,
        };
        self.has_fallen |= terminated;
        (reward, terminated)
    }
}

fn force(action: f64) -> f64 {
    if choice(action, 2) == 1 {
        FORCE
    } else {
        -FORCE
    }
}

/// The next state.
#[inline(always)]
fn moved([x, x_dot, theta, theta_dot]: [f64; 4], force: f64, sin: f64, cos: f64) -> [f64; 4] {
    let push = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS;
    let theta_acc = (GRAVITY * sin - cos * push)
        / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS));
    let x_acc = push - POLE_MASS_LENGTH * theta_acc * cos / TOTAL_MASS;
    [
        x + SECS_PER_STEP * x_dot,
        x_dot + SECS_PER_STEP * x_acc,
        theta + SECS_PER_STEP * theta_dot,
        theta_dot + SECS_PER_STEP * theta_acc,
    ]
}

/// Several carts in columns.
#[derive(Default)]
pub(crate) struct Block {
    force: Column,
    x: Column,
    x_dot: Column,
    theta: SmallAngles,
    theta_dot: Column,
}

impl Block {
    #[inline(always)]
    fn advance(&mut self) {
        // Copies, which the compiler knows not to overlap.
        let (forces, sines, cosines) = (self.force, self.theta.sines, self.theta.cosines);
        let (mut x, mut x_dot) = (self.x, self.x_dot);
        let (mut theta, mut theta_dot) = (self.theta.rad, self.theta_dot);
        for lane in 0..LANES {
            let state = [x[lane], x_dot[lane], theta[lane], theta_dot[lane]];
            [x[lane], x_dot[lane], theta[lane], theta_dot[lane]] =
                moved(state, forces[lane], sines[lane], cosines[lane]);
        }
        (self.x, self.x_dot) = (x, x_dot);
        (self.theta.rad, self.theta_dot) = (theta, theta_dot);
    }
}

/// Sines and cosines.
struct Look<'a>(&'a mut [Block]);

impl Work for Look<'_> {
    #[inline(always)]
    fn run(self) {
        for block in self.0 {
            block.theta.compute();
        }
    }
}

/// The accelerations that follow from them.
struct Advance<'a>(&'a mut [Block]);

impl Work for Advance<'_> {
    #[inline(always)]
    fn run(self) {
        for block in self.0 {
            block.advance();
        }
    }
}

impl InColumns for CartPole {
    type Block = Block;

    #[inline]
    fn enter(&self, action: &[f64], block: &mut Block, lane: usize) {
        block.force[lane] = force(action[0]);
        let state = [
            &mut block.x,
            &mut block.x_dot,
            &mut block.theta.rad,
            &mut block.theta_dot,
        ];
        for (column, number) in state.into_iter().zip(self.state) {
            column[lane] = number;
        }
    }

    fn advance_blocks(blocks: &mut [Block]) {
        let vectors = Vectors::widest();
        vectors.run(Look(blocks));
        for block in &mut *blocks {
            block.theta.settle();
        }
        vectors.run(Advance(blocks));
    }

    #[inline]
    fn leave(&mut self, _action: &[f64], block: &Block, lane: usize) -> (f64, bool) {
        let Block {
            x,
            x_dot,
            theta,
            theta_dot,
            ..
        } = block;
        self.put([x[lane], x_dot[lane], theta.rad[lane], theta_dot[lane]])
    }
}

impl Dynamics for CartPole {
    const ID: &'static str = "CartPole-v1";
    const STEPS_PER_SECOND: f64 = 50.0;

    fn spaces() -> (Space, Space) {
        let high = [
            POSITION_LIMIT * 2.0,
            f64::INFINITY,
            ANGLE_LIMIT_RAD * 2.0,
            f64::INFINITY,
        ];
        (
            Space::Box(BoxSpace::float32(&high.map(|bound| -bound), &high)),
            Space::Discrete { n: 2, start: 0 },
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = std::array::from_fn(|_| rng.uniform(-0.05, 0.05));
        self.has_fallen = false;
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let (sin, cos) = self.state[2].sin_cos();
        self.put(moved(self.state, force(action[0]), sin, cos))
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
        self.has_fallen = self.is_outside();
    }

    fn draw(&self) -> Frame {
        const PIXELS_PER_METRE: f64 = 600.0 / (2.0 * POSITION_LIMIT);
        let [x, _, theta, _] = self.state;
        let mut canvas = Canvas::new(600, 400);
        let (cart_x, hinge_y) = (300.0 + x * PIXELS_PER_METRE, 285.0);
        let pole = 2.0 * HALF_LENGTH * PIXELS_PER_METRE * 1.2;
        canvas.line(&[(0.0, 320.0), (600.0, 320.0)], 3.0, colour::LINE);
        canvas.rounded_rectangle((cart_x, 300.0), (80.0, 36.0), 7.0, colour::BODY);
        canvas.circle((cart_x - 22.0, 318.0), 8.0, colour::DARK);
        canvas.circle((cart_x + 22.0, 318.0), 8.0, colour::DARK);
        let tip = (cart_x + pole * theta.sin(), hinge_y - pole * theta.cos());
        canvas.line(&[(cart_x, hinge_y), tip], 11.0, colour::ACCENT);
        canvas.circle((cart_x, hinge_y), 5.0, colour::PAPER);
        canvas.into_frame()
    }
}
