//! `HalfCheetah-v5`: a planar runner that should run forwards. It never terminates.
//!
//! Observation: the joints' positions without the torso's x (z, angle, then thigh, shin and foot at
//! the back and at the front), then all nine velocities. Action: the six joints' torques, ±1.
//! Reward: the speed along x less 0.1 times the squared action.

use super::{
    drawing::Camera,
    simulation::{Move, PICTURE, Task, View, add_normal, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// Options of Gymnasium's `HalfCheetah-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfCheetah {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Weight of the speed along x in the reward.
    pub forward_reward_weight: f64,
    /// Weight of the squared action in the reward.
    pub ctrl_cost_weight: f64,
    /// Largest disturbance of each position, and standard deviation of each velocity, at the start.
    pub reset_noise_scale: f64,
    /// Whether x is omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for HalfCheetah {
    fn default() -> Self {
        Self {
            frame_skip: 5,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.1,
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
        }
    }
}

impl Options for HalfCheetah {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight,
            exclude_current_positions_from_observation
        ];
        options.push(("xml_file", Slot::Only("half_cheetah.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for HalfCheetah {
    const ID: &'static str = "HalfCheetah-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 6];
    const CAMERA: Camera = Camera::beside(0.6, 3.4);

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/half_cheetah.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        18 - usize::from(self.exclude_current_positions_from_observation)
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_normal(rng, self.reset_noise_scale, velocities);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        let skipped = usize::from(self.exclude_current_positions_from_observation);
        write_joints(seen, skipped, |speed| speed, observation);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let forward = self.forward_reward_weight * made.x_velocity();
        let cost = self.ctrl_cost_weight as f32 * made.effort();
        (forward - f64::from(cost), false)
    }
}
