//! `Walker2d-v5`: two legs in a plane that should walk forwards without falling.
//!
//! Observation: the joints' positions without the torso's x (z, angle, then thigh, leg and foot of
//! each side), then all nine velocities, clipped to ±10. Action: the six joints' torques, ±1.
//! Reward: the speed along x, 1 for being healthy, less 0.001 times the squared action. It ends
//! when it is no longer healthy: torso outside 0.8 m to 2 m or tilted by more than 1 rad.

use super::{
    arithmetic::inside,
    simulation::{Move, PICTURE, Task, View, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::{borrow::Cow, ops::Range};

/// Gymnasium's models of it: in that of version 4 the right foot has the friction of its legs.
const FILES: [&str; 2] = ["walker2d_v5.xml", FILE_OF_V4];
pub(super) const FILE_OF_V4: &str = "walker2d.xml";

/// Options of Gymnasium's `Walker2d-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct Walker2d {
    /// The model: Gymnasium's `walker2d_v5.xml` or, of version 4, `walker2d.xml`.
    pub xml_file: &'static str,
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
    /// The healthy range of the torso's height, bounds excluded.
    pub healthy_z_range: Range<f64>,
    /// The healthy range of the torso's angle, bounds excluded.
    pub healthy_angle_range: Range<f64>,
    /// Largest disturbance of each number of the start state.
    pub reset_noise_scale: f64,
    /// Whether x is omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
}

impl Default for Walker2d {
    fn default() -> Self {
        Self {
            xml_file: FILES[0],
            frame_skip: 4,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 1e-3,
            healthy_reward: 1.0,
            rewards_last_step: false,
            terminate_when_unhealthy: true,
            healthy_z_range: 0.8..2.0,
            healthy_angle_range: -1.0..1.0,
            reset_noise_scale: 5e-3,
            exclude_current_positions_from_observation: true,
        }
    }
}

impl Options for Walker2d {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight, healthy_reward,
            terminate_when_unhealthy, healthy_z_range, healthy_angle_range,
            exclude_current_positions_from_observation
        ];
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        let file = &mut self.xml_file;
        options.push(("xml_file", Slot::OneOf(file, &FILES)));
        options
    }
}

impl Task for Walker2d {
    const ID: &'static str = "Walker2d-v5";
    const TIME_STEP: f64 = 0.002;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 6];

    fn model(&self) -> Cow<'static, str> {
        let model = include_str!("models/walker2d.xml");
        if self.xml_file != FILE_OF_V4 {
            return model.into();
        }
        let right_foot = r#"<geom name="foot_geom""#;
        let slippery = format!(r#"{right_foot} friction="0.9 0.1 0.1""#);
        model.replacen(right_foot, &slippery, 1).into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        18 - usize::from(self.exclude_current_positions_from_observation)
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
        let is_healthy = inside(&self.healthy_z_range, made.after.positions[1])
            && inside(&self.healthy_angle_range, made.after.positions[2]);
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
