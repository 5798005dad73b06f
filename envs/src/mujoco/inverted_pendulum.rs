//! `InvertedPendulum-v5`: a pole on a cart, to keep upright.
//!
//! Observation: the cart's position, the pole's angle, both velocities. Action: the force on the
//! cart, ±3. Reward: 1 for each step but the last. It ends when the pole leans by more than 0.2
//! rad.

use super::{
    drawing::Camera,
    simulation::{Move, PICTURE, Task, View, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// Options of Gymnasium's `InvertedPendulum-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct InvertedPendulum {
    /// Time steps of 20 ms in one step.
    pub frame_skip: usize,
    /// Largest disturbance of each number of the start state.
    pub reset_noise_scale: f64,
}

impl Default for InvertedPendulum {
    fn default() -> Self {
        Self {
            frame_skip: 2,
            reset_noise_scale: 0.01,
        }
    }
}

impl Options for InvertedPendulum {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![self: frame_skip];
        options.push(("xml_file", Slot::Only("inverted_pendulum.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for InvertedPendulum {
    const ID: &'static str = "InvertedPendulum-v5";
    const TIME_STEP: f64 = 0.02;
    const ACTION_BOUNDS: &'static [f32] = &[3.0];
    const CAMERA: Camera = Camera {
        follows: false,
        ..Camera::beside(0.3, 2.6)
    };

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/inverted_pendulum.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        4
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_uniform(rng, self.reset_noise_scale, velocities);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        write_joints(seen, 0, |speed| speed, observation);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let View {
            positions,
            velocities,
            ..
        } = made.after;
        let is_finite = positions.iter().chain(velocities).all(|x| x.is_finite());
        let terminated = !is_finite || positions[1].abs() > 0.2;
        (f64::from(u8::from(!terminated)), terminated)
    }
}
