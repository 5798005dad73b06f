//! `Humanoid-v5`: a person that should walk along x without falling.
//!
//! Observation: the torso's height and orientation (a quaternion), the 17 joints' angles, all 23
//! velocities, then of each of the 13 bodies its inertia (ten numbers) and its velocity (six), the
//! 17 joints' torques, and of each body torque and force of its contacts (six). Action: the joints'
//! torques, ±0.4. Reward: 1.25 times the speed of the centre of mass along x, 5 for being healthy,
//! less 0.1 times the squared action, less 5e-7 times the squared contact forces, at most 10. It
//! ends when it is no longer healthy: torso outside 1 m to 2 m.

use super::{
    arithmetic::{inside, sum, sum_of_squares},
    drawing::Camera,
    library::Field,
    simulation::{Move, PICTURE, Task, View, add_uniform, write_joints},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::{borrow::Cow, ops::Range};

/// Bodies including the world body, and numbers of an inertia.
const BODIES: usize = 14;
const INERTIA: usize = 10;

/// Options of Gymnasium's `Humanoid-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the options of Gymnasium's constructor"
)]
pub struct Humanoid {
    /// Time steps of 3 ms in one step.
    pub frame_skip: usize,
    /// Weight of the speed along x in the reward.
    pub forward_reward_weight: f64,
    /// Weight of the squared action in the reward.
    pub ctrl_cost_weight: f64,
    /// Weight of the squared contact forces in the reward.
    pub contact_cost_weight: f64,
    /// The range to which that cost is clipped.
    pub contact_cost_range: Range<f64>,
    /// Reward of a step after which it is healthy.
    pub healthy_reward: f64,
    /// Whether it ends when it is not healthy.
    pub terminate_when_unhealthy: bool,
    /// The healthy range of the torso's height, bounds excluded.
    pub healthy_z_range: Range<f64>,
    /// Largest disturbance of each number of the start state.
    pub reset_noise_scale: f64,
    /// Whether x and y are omitted from the observation.
    pub exclude_current_positions_from_observation: bool,
    /// Whether the bodies' inertias are in the observation.
    pub include_cinert_in_observation: bool,
    /// Whether the bodies' velocities are in the observation.
    pub include_cvel_in_observation: bool,
    /// Whether the joints' torques are in the observation.
    pub include_qfrc_actuator_in_observation: bool,
    /// Whether the contact forces are in the observation.
    pub include_cfrc_ext_in_observation: bool,
}

impl Default for Humanoid {
    fn default() -> Self {
        Self {
            frame_skip: 5,
            forward_reward_weight: 1.25,
            ctrl_cost_weight: 0.1,
            contact_cost_weight: 5e-7,
            contact_cost_range: f64::NEG_INFINITY..10.0,
            healthy_reward: 5.0,
            terminate_when_unhealthy: true,
            healthy_z_range: 1.0..2.0,
            reset_noise_scale: 0.01,
            exclude_current_positions_from_observation: true,
            include_cinert_in_observation: true,
            include_cvel_in_observation: true,
            include_qfrc_actuator_in_observation: true,
            include_cfrc_ext_in_observation: true,
        }
    }
}

impl Humanoid {
    /// The fields of an observation, without the world body's numbers (the root joint's for
    /// torques).
    fn shown(&self) -> impl Iterator<Item = (Field, usize, usize)> {
        let bodies = |width| (width, width * BODIES);
        [
            (
                self.include_cinert_in_observation,
                Field::Inertias,
                bodies(INERTIA),
            ),
            (
                self.include_cvel_in_observation,
                Field::Velocities,
                bodies(6),
            ),
            (
                self.include_qfrc_actuator_in_observation,
                Field::ActuatorForces,
                (6, 23),
            ),
            (
                self.include_cfrc_ext_in_observation,
                Field::ExternalForces,
                bodies(6),
            ),
        ]
        .into_iter()
        .filter_map(|(is_shown, field, (first, end))| is_shown.then_some((field, first, end)))
    }
}

impl Options for Humanoid {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![
            self: frame_skip, forward_reward_weight, ctrl_cost_weight, contact_cost_weight,
            contact_cost_range, healthy_reward, terminate_when_unhealthy, healthy_z_range,
            exclude_current_positions_from_observation, include_cinert_in_observation,
            include_cvel_in_observation, include_qfrc_actuator_in_observation,
            include_cfrc_ext_in_observation
        ];
        options.push(("xml_file", Slot::Only("humanoid.xml")));
        let noise = &mut self.reset_noise_scale;
        options.push(("reset_noise_scale", Slot::Noise(noise)));
        options
    }
}

impl Task for Humanoid {
    const ID: &'static str = "Humanoid-v5";
    const TIME_STEP: f64 = 0.003;
    const ACTION_BOUNDS: &'static [f32] = &[0.4; 17];
    const FIELDS: &'static [Field] = &[
        Field::Control,
        Field::MassCentres,
        Field::Inertias,
        Field::Velocities,
        Field::ActuatorForces,
        Field::ExternalForces,
    ];
    const CAMERA: Camera = Camera {
        azimuth_deg: 65.0,
        elevation_deg: -20.0,
        ..Camera::beside(0.9, 3.0)
    };

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/humanoid.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        let fields: usize = self.shown().map(|(_, first, end)| end - first).sum();
        47 - 2 * usize::from(self.exclude_current_positions_from_observation) + fields
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, positions);
        add_uniform(rng, self.reset_noise_scale, velocities);
    }

    /// The centre of mass.
    fn x(&self, seen: View) -> f64 {
        let (inertias, centres) = (seen.field(Field::Inertias), seen.field(Field::MassCentres));
        // A body's mass is the last number of its inertia.
        let mass = |body: usize| inertias[INERTIA * body + INERTIA - 1];
        let moment = (0..BODIES).fold(0.0, |sum, body| sum + mass(body) * centres[3 * body]);
        moment / sum(BODIES, mass)
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        let skipped = 2 * usize::from(self.exclude_current_positions_from_observation);
        let (joints, mut rest) = observation.split_at_mut(47 - skipped);
        write_joints(seen, skipped, |speed| speed, joints);
        for (field, first, end) in self.shown() {
            let numbers = &seen.field(field)[first..end];
            let (place, others) = rest.split_at_mut(numbers.len());
            place.copy_from_slice(numbers);
            rest = others;
        }
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let is_healthy = inside(&self.healthy_z_range, made.after.positions[2]);
        let forward = self.forward_reward_weight * made.x_velocity();
        let alive = if is_healthy { self.healthy_reward } else { 0.0 };
        let control = self.ctrl_cost_weight * sum_of_squares(made.after.field(Field::Control));
        let pressure = sum_of_squares(made.after.field(Field::ExternalForces));
        let contact = (self.contact_cost_weight * pressure)
            .max(self.contact_cost_range.start)
            .min(self.contact_cost_range.end);
        let cost = control + contact;
        let terminated = !is_healthy && self.terminate_when_unhealthy;
        (forward + alive - cost, terminated)
    }
}
