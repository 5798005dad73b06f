//! `InvertedDoublePendulum-v5`: a pole on a pole on a cart, to keep upright.
//!
//! Observation: the cart's position, sines and then cosines of the two joints' angles, the three
//! velocities clipped to ±10, the force of the rail's ends on the cart, clipped to ±10. Action: the
//! force on the cart, ±1. Reward: 10 for each step but the last, less the squared distance of the
//! tip from its upright place (0.01 along x, 1 along z, where 2 m is aimed at), less 0.001 and
//! 0.005 times the joints' squared velocities. It ends when the tip is not above 1 m.

use super::{
    drawing::Camera,
    library::Field,
    simulation::{Move, PICTURE, Task, View, add_normal, add_uniform},
};
use crate::{
    classic_control::pow2,
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// Options of Gymnasium's `InvertedDoublePendulum-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct InvertedDoublePendulum {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Reward of a step that does not end it.
    pub healthy_reward: f64,
    /// Largest disturbance of each position, and standard deviation of each velocity, at the start.
    pub reset_noise_scale: f64,
}

impl Default for InvertedDoublePendulum {
    fn default() -> Self {
        Self {
            frame_skip: 5,
            healthy_reward: 10.0,
            reset_noise_scale: 0.1,
        }
    }
}

impl Options for InvertedDoublePendulum {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![self: frame_skip, healthy_reward];
        options.push(("xml_file", Slot::Only("inverted_double_pendulum.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for InvertedDoublePendulum {
    const ID: &'static str = "InvertedDoublePendulum-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[1.0];
    /// The tip: the end of the upper pole.
    const POINTS: &'static [(&'static str, [f64; 3])] = &[("pole2", [0.0, 0.0, 0.6])];
    const FIELDS: &'static [Field] = &[Field::ConstraintForces];
    const CAMERA: Camera = Camera {
        follows: false,
        ..Camera::beside(0.5, 3.2)
    };

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/inverted_double_pendulum.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        9
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_normal(rng, self.reset_noise_scale, velocities);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        observation[0] = seen.positions[0];
        for (i, angle) in seen.positions[1..].iter().enumerate() {
            observation[1 + i] = angle.sin();
            observation[3 + i] = angle.cos();
        }
        let forces = &seen.field(Field::ConstraintForces)[..1];
        let limited = seen.velocities.iter().chain(forces);
        for (number, value) in observation[5..].iter_mut().zip(limited) {
            *number = value.clamp(-10.0, 10.0);
        }
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let [x, _, z] = made.after.points[0];
        let distance = 0.01 * pow2(x) + pow2(z - 2.0);
        let speeds = &made.after.velocities[1..];
        let speed = 1e-3 * pow2(speeds[0]) + 5e-3 * pow2(speeds[1]);
        let terminated = z <= 1.0;
        let alive = if terminated { 0.0 } else { self.healthy_reward };
        (alive - distance - speed, terminated)
    }
}
