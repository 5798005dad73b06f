//! `Swimmer-v5`: three links in a viscous fluid that should swim along x. It never terminates.
//!
//! Observation: the first link's angle, the two joints' angles, then the velocities of x, y and the
//! three angles. Action: the two joints' torques, ±1. Reward: the speed along x less 0.0001 times
//! the squared action.

use super::{
    drawing::Camera,
    simulation::{Move, PICTURE, Task, View, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// Options of Gymnasium's `Swimmer-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct Swimmer {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Weight of the speed along x in the reward.
    pub forward_reward_weight: f64,
    /// Weight of the squared action in the reward.
    pub ctrl_cost_weight: f64,
    /// Largest disturbance of each number of the start state.
    pub reset_noise_scale: f64,
    /// Whether x and y are omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for Swimmer {
    fn default() -> Self {
        Self {
            frame_skip: 4,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 1e-4,
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
        }
    }
}

impl Swimmer {
    fn skipped(&self) -> usize {
        2 * usize::from(self.exclude_current_positions_from_observation)
    }
}

impl Options for Swimmer {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight,
            exclude_current_positions_from_observation
        ];
        options.push(("xml_file", Slot::Only("swimmer.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for Swimmer {
    const ID: &'static str = "Swimmer-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 2];
    const CAMERA: Camera = Camera {
        follows: true,
        ..Camera::above(0.0, 0.0, 8.0)
    };

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/swimmer.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        10 - self.skipped()
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_uniform(rng, self.reset_noise_scale, velocities);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        write_joints(seen, self.skipped(), |speed| speed, observation);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let forward = self.forward_reward_weight * made.x_velocity();
        let cost = self.ctrl_cost_weight as f32 * made.effort();
        (forward - f64::from(cost), false)
    }
}
