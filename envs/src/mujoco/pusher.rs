//! `Pusher-v5`: an arm of seven joints that should push a puck to a goal. It never terminates.
//!
//! Observation: the arm's seven angles and their velocities, then the positions of fork, puck and
//! goal. Action: the seven joints' torques, ±2. Reward: minus half the distance from fork to puck,
//! minus that from puck to goal, minus 0.1 times the squared action.

use super::{
    arithmetic::{difference, length},
    drawing::Camera,
    simulation::{Move, PICTURE, Task, View, add_uniform},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// Options of Gymnasium's `Pusher-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct Pusher {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Weight of the distance between fork and puck in the reward.
    pub reward_near_weight: f64,
    /// Weight of the distance between puck and goal in the reward.
    pub reward_dist_weight: f64,
    /// Weight of the squared action in the reward.
    pub reward_control_weight: f64,
}

impl Default for Pusher {
    fn default() -> Self {
        Self {
            frame_skip: 5,
            reward_near_weight: 0.5,
            reward_dist_weight: 1.0,
            reward_control_weight: 0.1,
        }
    }
}

impl Options for Pusher {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options =
            slots![self: frame_skip, reward_near_weight, reward_dist_weight, reward_control_weight];
        options.push(("xml_file", Slot::Only("pusher_v5.xml")));
        options
    }
}

impl Task for Pusher {
    const ID: &'static str = "Pusher-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[2.0; 7];
    const POINTS: &'static [(&'static str, [f64; 3])] = &[
        ("tips_arm", [0.0; 3]),
        ("object", [0.0; 3]),
        ("goal", [0.0; 3]),
    ];
    const CAMERA: Camera = Camera::above(0.2, -0.25, 2.2);

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/pusher.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        23
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        let puck = loop {
            let puck = [rng.uniform(-0.3, 0.0), rng.uniform(-0.2, 0.2)];
            if length(&puck) > 0.17 {
                break puck;
            }
        };
        positions[7..9].copy_from_slice(&puck);
        positions[9..].fill(0.0);
        add_uniform(rng, 0.005, velocities);
        velocities[7..].fill(0.0);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        observation[..7].copy_from_slice(&seen.positions[..7]);
        observation[7..14].copy_from_slice(&seen.velocities[..7]);
        observation[14..].copy_from_slice(seen.points.as_flattened());
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let [fork, puck, goal] = [0, 1, 2].map(|i| made.after.points[i]);
        let near = -length(&difference(puck, fork)) * self.reward_near_weight;
        let distance = -length(&difference(puck, goal)) * self.reward_dist_weight;
        let cost = -made.effort() * self.reward_control_weight as f32;
        (distance + f64::from(cost) + near, false)
    }
}
