//! `Hopper-v5`: one leg that should hop forwards without falling.
//!
//! Observation: the joints' positions without the torso's x (z, angle, thigh, leg, foot), then all
//! six velocities, clipped to ±10. Action: torques of thigh, leg and foot, ±1. Reward: the speed
//! along x, 1 for being healthy, less 0.001 times the squared action. It ends when it is no longer
//! healthy: torso below 0.7 m, tilted by more than 0.2 rad, or any number beyond ±100.

use super::{
    arithmetic::inside,
    simulation::{Move, PICTURE, Task, View, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::{borrow::Cow, ops::Range};

/// Options of Gymnasium's `Hopper-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct Hopper {
    /// Time steps of 2 ms in one step.
    pub frame_skip: usize,
    /// Weight of the speed along x in the reward.
    pub forward_reward_weight: f64,
    /// Weight of the squared action in the reward.
    pub ctrl_cost_weight: f64,
    /// Reward of a step after which it is healthy.
    pub healthy_reward: f64,
    /// Whether a step that ends it is rewarded as if it were healthy: so up to version 4.
    pub rewards_last_step: bool,
    /// Whether it ends when it is not healthy.
    pub terminate_when_unhealthy: bool,
    /// The healthy range of all numbers of the state except x and z, bounds excluded.
    pub healthy_state_range: Range<f64>,
    /// The healthy range of the torso's height, bounds excluded.
    pub healthy_z_range: Range<f64>,
    /// The healthy range of the torso's angle, bounds excluded.
    pub healthy_angle_range: Range<f64>,
    /// Largest disturbance of each number of the start state.
    pub reset_noise_scale: f64,
    /// Whether x is omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for Hopper {
    fn default() -> Self {
        Self {
            frame_skip: 4,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 1e-3,
            healthy_reward: 1.0,
            rewards_last_step: false,
            terminate_when_unhealthy: true,
            healthy_state_range: -100.0..100.0,
            healthy_z_range: 0.7..f64::INFINITY,
            healthy_angle_range: -0.2..0.2,
            reset_noise_scale: 5e-3,
            exclude_current_positions_from_observation: true,
        }
    }
}

impl Hopper {
    fn is_healthy(&self, seen: View) -> bool {
        let mut others = seen.positions[2..].iter().chain(seen.velocities);
        others.all(|&number| inside(&self.healthy_state_range, number))
            && inside(&self.healthy_z_range, seen.positions[1])
            && inside(&self.healthy_angle_range, seen.positions[2])
    }
}

impl Options for Hopper {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight, healthy_reward,
            terminate_when_unhealthy, healthy_state_range, healthy_z_range, healthy_angle_range,
            exclude_current_positions_from_observation
        ];
        options.push(("xml_file", Slot::Only("hopper.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for Hopper {
    const ID: &'static str = "Hopper-v5";
    const TIME_STEP: f64 = 0.002;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 3];

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/hopper.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        12 - usize::from(self.exclude_current_positions_from_observation)
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_uniform(rng, self.reset_noise_scale, velocities);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        let skipped = usize::from(self.exclude_current_positions_from_observation);
        write_joints(seen, skipped, |speed| speed.clamp(-10.0, 10.0), observation);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let is_healthy = self.is_healthy(made.after);
        let forward = self.forward_reward_weight * made.x_velocity();
        let terminated = !is_healthy && self.terminate_when_unhealthy;
        let alive = if is_healthy || (terminated && self.rewards_last_step) {
            self.healthy_reward
        } else {
            0.0
        };
        let cost = self.ctrl_cost_weight as f32 * made.effort();
        (forward + alive - f64::from(cost), terminated)
    }
}
