//! `Reacher-v5`: an arm of two links whose tip should reach a target. It never terminates.
//!
//! Observation: cosines and sines of the two joints' angles, the target's x and y, the two joints'
//! velocities, the vector from the target to the tip (x and y). Action: the two joints' torques,
//! ±1. Reward: minus the distance between tip and target, minus the squared action. The target
//! stays where an episode starts, anywhere within 0.2 m.

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

/// Options of Gymnasium's `Reacher-v5`; the default values are Gymnasium's.
#[derive(Clone, Debug, PartialEq)]
pub struct Reacher {
    /// Time steps of 10 ms in one step.
    pub frame_skip: usize,
    /// Weight of the distance in the reward.
    pub reward_dist_weight: f64,
    /// Weight of the squared action in the reward.
    pub reward_control_weight: f64,
}

impl Default for Reacher {
    fn default() -> Self {
        Self {
            frame_skip: 2,
            reward_dist_weight: 1.0,
            reward_control_weight: 1.0,
        }
    }
}

impl Options for Reacher {
    const PICTURE: &'static [&'static str] = PICTURE;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![self: frame_skip, reward_dist_weight, reward_control_weight];
        options.push(("xml_file", Slot::Only("reacher.xml")));
        options
    }
}

impl Task for Reacher {
    const ID: &'static str = "Reacher-v5";
    const TIME_STEP: f64 = 0.01;
    const ACTION_BOUNDS: &'static [f32] = &[1.0; 2];
    const POINTS: &'static [(&'static str, [f64; 3])] =
        &[("fingertip", [0.0; 3]), ("target", [0.0; 3])];
    const CAMERA: Camera = Camera::above(0.0, 0.0, 1.0);

    fn model(&self) -> Cow<'static, str> {
        include_str!("models/reacher.xml").into()
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn observation_width(&self) -> usize {
        10
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        add_uniform(rng, 0.1, positions);
        let target = loop {
            let target = [rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)];
            if length(&target) < 0.2 {
                break target;
            }
        };
        positions[2..].copy_from_slice(&target);
        add_uniform(rng, 0.005, velocities);
        velocities[2..].fill(0.0);
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        let angles = &seen.positions[..2];
        for (i, angle) in angles.iter().enumerate() {
            observation[i] = angle.cos();
            observation[2 + i] = angle.sin();
        }
        observation[4..6].copy_from_slice(&seen.positions[2..]);
        observation[6..8].copy_from_slice(&seen.velocities[..2]);
        observation[8..].copy_from_slice(&difference(seen.points[0], seen.points[1])[..2]);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        let [tip, target] = [made.after.points[0], made.after.points[1]];
        let near = -length(&difference(tip, target)) * self.reward_dist_weight;
        let cost = -made.effort() * self.reward_control_weight as f32;
        (near + f64::from(cost), false)
    }
}
