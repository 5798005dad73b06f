//! `Acrobot-v1`: swing a two-link pendulum above a bar with a motor in its elbow.
//!
//! State: the angle of the first link (0 hangs down), that of the second relative to the first, and
//! their velocities (±4π, ±9π rad/s). Observation: cosine and sine of both angles, both velocities.
//! Actions: torque -1, 0, +1 N m on the elbow. Reward: -1 for every step, 0 for the one that ends
//! the episode, when the tip is a link's length above the hinge: `-cos θ₁ - cos(θ₁ + θ₂) > 1`.
//! Start: all four uniform in ±0.1, rounded to float32. Both links: 1 m, 1 kg, centre of mass in
//! the middle, moment of inertia 1. Integration: Runge-Kutta of order 4 over 0.2 s. Source: R. S.
//! Sutton, A. G. Barto, "Reinforcement learning: an introduction", with the dynamics of the book.

use super::pow2;
use crate::{
    BoxSpace, Frame, Space,
    options::Options,
    random::NumpyRng,
    render::{Canvas, colour},
    world::{Dynamics, choice, float32, is_float32},
};
use std::f64::consts::{FRAC_PI_2, PI};

const GRAVITY: f64 = 9.8;
const SECS_PER_STEP: f64 = 0.2;
const MAX_SPEEDS: [f64; 2] = [4.0 * PI, 9.0 * PI];

/// Both angles and both velocities.
#[derive(Clone, Debug, Default)]
pub struct Acrobot {
    state: [f64; 4],
    /// The state is stored as float32: a start state.
    is_single: bool,
}

/// Time derivative of the state. The factors are Gymnasium's products of masses and lengths, each
/// of them exact in binary or the product that Python computes first.
fn derivative([theta1, theta2, velocity1, velocity2]: [f64; 4], torque: f64) -> [f64; 4] {
    let (sin2, cos2) = theta2.sin_cos();
    let d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0;
    let d2 = (0.25 + 0.5 * cos2) + 1.0;
    let phi2 = 0.5 * GRAVITY * (theta1 + theta2 - FRAC_PI_2).cos();
    let phi1 = -0.5 * pow2(velocity2) * sin2 - velocity2 * velocity1 * sin2
        + 1.5 * GRAVITY * (theta1 - FRAC_PI_2).cos()
        + phi2;
    let acceleration2 = (torque + d2 / d1 * phi1 - 0.5 * pow2(velocity1) * sin2 - phi2)
        / (0.25 + 1.0 - pow2(d2) / d1);
    let acceleration1 = -(d2 * acceleration2 + phi1) / d1;
    [velocity1, velocity2, acceleration1, acceleration2]
}

/// One step of the classic Runge-Kutta method.
fn runge_kutta(y: [f64; 4], torque: f64) -> [f64; 4] {
    const HALF: f64 = SECS_PER_STEP / 2.0;
    let ahead =
        |secs: f64, k: [f64; 4]| derivative(std::array::from_fn(|i| y[i] + secs * k[i]), torque);
    let k1 = derivative(y, torque);
    let k2 = ahead(HALF, k1);
    let k3 = ahead(HALF, k2);
    let k4 = ahead(SECS_PER_STEP, k3);
    std::array::from_fn(|i| {
        y[i] + SECS_PER_STEP / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])
    })
}

/// The angle within ±π. Gymnasium subtracts whole turns one by one, and so does this function, to
/// get the same last bit, unless there are too many turns.
fn wrapped(mut angle_rad: f64) -> f64 {
    if angle_rad.abs() > 1e4 {
        return (angle_rad + PI).rem_euclid(2.0 * PI) - PI;
    }
    while angle_rad > PI {
        angle_rad -= 2.0 * PI;
    }
    while angle_rad < -PI {
        angle_rad += 2.0 * PI;
    }
    angle_rad
}

/// `NumPy`'s cosine and sine of a small float32, which is a separate polynomial with fused
/// multiply-adds (on every processor that has them). It differs from the rounded float64 one in the
/// last bit for one number in a thousand. Only start states are observed through it.
fn single_sin_cos(angle_rad: f64) -> (f64, f64) {
    let x = angle_rad as f32;
    let square = x * x;
    let horner = |coefficients: &[f32]| {
        coefficients
            .iter()
            .copied()
            .reduce(|sum, c| sum.mul_add(square, c))
    };
    let cos = horner(&[2.437_226_6e-5, -1.388_652e-3, 4.166_662e-2, -0.5, 1.0]);
    let sin = horner(&[
        2.840_409_7e-6,
        -1.985_649_1e-4,
        8.333_397e-3,
        -0.166_666_67,
        0.0,
    ]);
    (
        f64::from(sin.map_or(0.0, |sum| sum.mul_add(x, x))),
        f64::from(cos.unwrap_or(1.0)),
    )
}

/// Gymnasium's constructor has no options.
impl Options for Acrobot {}

impl Dynamics for Acrobot {
    const ID: &'static str = "Acrobot-v1";
    const STEPS_PER_SECOND: f64 = 15.0;

    fn spaces() -> (Space, Space) {
        let high = [1.0, 1.0, 1.0, 1.0, MAX_SPEEDS[0], MAX_SPEEDS[1]];
        (
            Space::Box(BoxSpace::float32(&high.map(|bound| -bound), &high)),
            Space::Discrete { n: 3, start: 0 },
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        *self = Self {
            state: std::array::from_fn(|_| float32(rng.uniform(-0.1, 0.1))),
            is_single: true,
        };
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let torque = choice(action[0], 3) as f64 - 1.0;
        let [theta1, theta2, velocity1, velocity2] = runge_kutta(self.state, torque);
        let (theta1, theta2) = (wrapped(theta1), wrapped(theta2));
        let velocity1 = velocity1.clamp(-MAX_SPEEDS[0], MAX_SPEEDS[0]);
        let velocity2 = velocity2.clamp(-MAX_SPEEDS[1], MAX_SPEEDS[1]);
        *self = Self {
            state: [theta1, theta2, velocity1, velocity2],
            is_single: false,
        };
        let terminated = -theta1.cos() - (theta2 + theta1).cos() > 1.0;
        (if terminated { 0.0 } else { -1.0 }, terminated)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        let [theta1, theta2, velocity1, velocity2] = self.state;
        let sin_cos = if self.is_single {
            single_sin_cos
        } else {
            f64::sin_cos
        };
        let ((sin1, cos1), (sin2, cos2)) = (sin_cos(theta1), sin_cos(theta2));
        observation.copy_from_slice(&[cos1, sin1, cos2, sin2, velocity1, velocity2].map(float32));
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    fn restore(&mut self, state: &[f64]) {
        self.state.copy_from_slice(state);
        self.is_single = self.state.into_iter().all(is_float32)
            && self.state.into_iter().all(|x| x.abs() <= 0.125);
    }

    fn draw(&self) -> Frame {
        const LINK: f64 = 105.0;
        let [theta1, theta2, _, _] = self.state;
        let hinge = (250.0, 250.0);
        let elbow = (hinge.0 + LINK * theta1.sin(), hinge.1 + LINK * theta1.cos());
        let tip = (
            elbow.0 + LINK * (theta1 + theta2).sin(),
            elbow.1 + LINK * (theta1 + theta2).cos(),
        );
        let mut canvas = Canvas::new(500, 500);
        canvas.line(
            &[(0.0, hinge.1 - LINK), (500.0, hinge.1 - LINK)],
            3.0,
            colour::LINE,
        );
        canvas.line(&[hinge, elbow], 24.0, colour::BODY);
        canvas.line(&[elbow, tip], 20.0, colour::ACCENT);
        canvas.circle(hinge, 6.0, colour::PAPER);
        canvas.circle(elbow, 6.0, colour::PAPER);
        canvas.into_frame()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Env, classic_control::Acrobot};

    #[test]
    fn unreachable_states_do_no_harm() {
        let mut observation = [0.0; 6];
        let mut env = Acrobot::default();
        env.set_state(&[1e300, -1e300, 1e300, 0.0]).unwrap();
        env.step(&[2.0], &mut observation);
        assert!(env.render().is_some());
    }
}
