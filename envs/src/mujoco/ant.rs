//! `Ant-v5`: a ball on four legs that should walk along x.
//!
//! Observation: the torso's height and orientation (a quaternion), the eight joints' angles, all 14
//! velocities, then torque and force of the contacts on each of the 13 bodies, clipped to ±1.
//! Action: the eight joints' torques, ±1. Reward: the torso's speed along x, 1 for being healthy,
//! less 0.5 times the squared action and 0.0005 times the squared contact forces. It ends when it
//! is no longer healthy: torso outside 0.2 m to 1 m, or any number not finite.

use super::{
    arithmetic::sum,
    drawing::Camera,
    library::Field,
    simulation::{Move, PICTURE, Task, View, add_normal, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::{borrow::Cow, ops::RangeInclusive};

/// The bodies' names, in the model's order; the lower legs have none.
const BODIES: [&str; 14] = [
    "world",
    "torso",
    "front_left_leg",
    "aux_1",
    "",
    "front_right_leg",
    "aux_2",
    "",
    "back_leg",
    "aux_3",
    "",
    "right_back_leg",
    "aux_4",
    "",
];

/// Options of Gymnasium's `Ant-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the options of Gymnasium's constructor"
)]
pub struct Ant {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Weight of the speed along x in the reward.
    pub forward_reward_weight: f64,
    /// Weight of the squared action in the reward.
    pub ctrl_cost_weight: f64,
    /// Weight of the squared contact forces in the reward.
    pub contact_cost_weight: f64,
    /// Reward of a step after which it is healthy.
    pub healthy_reward: f64,
    /// Whether a step that ends it is rewarded as if it were healthy: so up to version 4.
    pub rewards_last_step: bool,
    /// The number of the body whose speed counts, in the model's order; 0 is MuJoCo's world body, 1
    /// the torso. A number that no body has counts as the torso's.
    pub main_body: usize,
    /// Whether it ends when it is not healthy.
    pub terminate_when_unhealthy: bool,
    /// The healthy range of the torso's height, bounds included.
    pub healthy_z_range: RangeInclusive<f64>,
    /// The range to which contact forces and torques are clipped.
    pub contact_force_range: RangeInclusive<f64>,
    /// Largest disturbance of each position, and standard deviation of each velocity, at the start.
    pub reset_noise_scale: f64,
    /// Whether x and y are omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
    /// Whether the contact forces are in the observation.
    pub include_cfrc_ext_in_observation: bool,
    /// In version 4 only: whether contact forces are in the observation, those on the world body
    /// first, and in the reward. None: as in version 5.
    pub use_contact_forces: Option<bool>,
}

impl Default for Ant {
    fn default() -> Self {
        Self {
            frame_skip: 5,
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.5,
            contact_cost_weight: 5e-4,
            healthy_reward: 1.0,
            rewards_last_step: false,
            main_body: 1,
            terminate_when_unhealthy: true,
            healthy_z_range: 0.2..=1.0,
            contact_force_range: -1.0..=1.0,
            reset_noise_scale: 0.1,
            exclude_current_positions_from_observation: true,
            include_cfrc_ext_in_observation: true,
            use_contact_forces: None,
        }
    }
}

impl Ant {
    fn is_healthy(&self, seen: View) -> bool {
        let mut numbers = seen.positions.iter().chain(seen.velocities);
        numbers.all(|number| number.is_finite())
            && self.healthy_z_range.contains(&seen.positions[2])
    }

    /// The contact forces that are in the observation.
    fn shown<'a>(&self, seen: View<'a>) -> &'a [f64] {
        let forces = seen.field(Field::ExternalForces);
        match (
            self.use_contact_forces,
            self.include_cfrc_ext_in_observation,
        ) {
            (Some(true), _) => forces,
            (None, true) => &forces[6..],
            (Some(false), _) | (None, false) => &[],
        }
    }

    /// A contact force within the range.
    fn limited(&self, force: f64) -> f64 {
        force
            .max(*self.contact_force_range.start())
            .min(*self.contact_force_range.end())
    }
}

impl Options for Ant {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight, contact_cost_weight,
            healthy_reward, terminate_when_unhealthy, healthy_z_range, contact_force_range,
            exclude_current_positions_from_observation, include_cfrc_ext_in_observation
        ];
        options.push(("xml_file", Slot::Only("ant.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        let body = &mut self.main_body;
        options.push(("main_body", Slot::Named(body, &BODIES)));
        options
    }
}

impl Task for Ant {
    const ID: &'static str = "Ant-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 8];
    const FIELDS: &'static [Field] = &[Field::BodyPositions, Field::ExternalForces];
    const CAMERA: Camera = Camera {
        azimuth_deg: 65.0,
        elevation_deg: -20.0,
        ..Camera::beside(0.4, 3.6)
    };

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/ant.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        let bodies = match (
            self.use_contact_forces,
            self.include_cfrc_ext_in_observation,
        ) {
            (Some(true), _) => BODIES.len(),
            (None, true) => BODIES.len() - 1,
            (Some(false), _) | (None, false) => 0,
        };
        29 - 2 * usize::from(self.exclude_current_positions_from_observation) + 6 * bodies
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_normal(rng, self.reset_noise_scale, velocities);
    }

    fn x(&self, seen: View) -> f64 {
        let bodies = seen.field(Field::BodyPositions);
        bodies[if 3 * self.main_body < bodies.len() {
            3 * self.main_body
        } else {
            3
        }]
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        let skipped = 2 * usize::from(self.exclude_current_positions_from_observation);
        let (joints, forces) = observation.split_at_mut(29 - skipped);
        write_joints(seen, skipped, |speed| speed, joints);
        for (number, &force) in forces.iter_mut().zip(self.shown(seen)) {
            *number = self.limited(force);
        }
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let is_healthy = self.is_healthy(made.after);
        let forward = made.x_velocity() * self.forward_reward_weight;
        let terminated = !is_healthy && self.terminate_when_unhealthy;
        let alive = if is_healthy || (terminated && self.rewards_last_step) {
            self.healthy_reward
        } else {
            0.0
        };
        let control = self.ctrl_cost_weight as f32 * made.effort();
        let mut cost = f64::from(control);
        if self.use_contact_forces != Some(false) {
            let forces = made.after.field(Field::ExternalForces);
            let pressure = sum(forces.len(), |i| self.limited(forces[i]).powi(2));
            cost += self.contact_cost_weight * pressure;
        }
        (forward + alive - cost, terminated)
    }
}
