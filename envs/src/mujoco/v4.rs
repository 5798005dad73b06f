//! The environments' version 4, the closest to older versions with published scores.
//!
//! Three things differ from version 5: a step into an unhealthy state that ends the episode still
//! gets the reward for being healthy, `Walker2d`'s right foot has the friction of its legs, and
//! `Ant` neither observes contact forces nor has their cost in its reward unless
//! `use_contact_forces` says so. `HalfCheetah-v4` differs in nothing but its id. There are fewer
//! options: `frame_skip` is fixed.

use super::{
    ant::Ant,
    drawing::Camera,
    half_cheetah::HalfCheetah,
    hopper::Hopper,
    library::Field,
    simulation::{Move, PICTURE, Task, View},
    walker2d::{FILE_OF_V4, Walker2d},
};
use crate::{
    options::{Options, Slot, slots},
    random::NumpyRng,
};
use std::borrow::Cow;

/// A task with a version 4.
pub trait HasV4: Task {
    /// Gymnasium's id of version 4.
    const V4_ID: &'static str;

    /// The options of version 4.
    fn v4() -> Self;

    /// The options of version 4 that can be set.
    fn v4_options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = self.options();
        options.retain(|(name, _)| !["frame_skip", "xml_file"].contains(name));
        options
    }
}

/// Version 4 of a task, with the options of its version 5.
#[derive(Clone, Debug, PartialEq)]
pub struct V4<T>(pub T);

impl<T: HasV4> Default for V4<T> {
    fn default() -> Self {
        Self(T::v4())
    }
}

impl<T: HasV4> Options for V4<T> {
    const PICTURE: &'static [&'static str] = PICTURE.split_at(PICTURE.len() - 1).0;

    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        self.0.v4_options()
    }
}

impl HasV4 for Hopper {
    const V4_ID: &'static str = "Hopper-v4";

    fn v4() -> Self {
        Self {
            rewards_last_step: true,
            ..Self::default()
        }
    }
}

impl HasV4 for HalfCheetah {
    const V4_ID: &'static str = "HalfCheetah-v4";

    fn v4() -> Self {
        Self::default()
    }
}

impl HasV4 for Walker2d {
    const V4_ID: &'static str = "Walker2d-v4";

    fn v4() -> Self {
        Self {
            xml_file: FILE_OF_V4,
            rewards_last_step: true,
            ..Self::default()
        }
    }
}

impl HasV4 for Ant {
    const V4_ID: &'static str = "Ant-v4";

    fn v4() -> Self {
        Self {
            use_contact_forces: Some(false),
            rewards_last_step: true,
            ..Self::default()
        }
    }

    fn v4_options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        let mut options = slots![self:
            ctrl_cost_weight,
            contact_cost_weight,
            healthy_reward,
            terminate_when_unhealthy,
            healthy_z_range,
            contact_force_range,
            exclude_current_positions_from_observation,
        ];
        options.push((
            "reset_noise_scale",
            Slot::Noise(&mut self.reset_noise_scale),
        ));
        options.push(("xml_file", Slot::Only("ant.xml")));
        if let Some(uses) = &mut self.use_contact_forces {
            options.push(("use_contact_forces", Slot::Flag(uses)));
        }
        options
    }
}

impl<T: HasV4> Task for V4<T> {
    const ID: &'static str = T::V4_ID;
    const TIME_STEP: f64 = T::TIME_STEP;
    const ACTION_BOUNDS: &'static [f32] = T::ACTION_BOUNDS;
    const POINTS: &'static [(&'static str, [f64; 3])] = T::POINTS;
    const FIELDS: &'static [Field] = T::FIELDS;
    const CAMERA: Camera = T::CAMERA;

    fn model(&self) -> Cow<'static, str> {
        self.0.model()
    }

    fn frame_skip(&self) -> usize {
        self.0.frame_skip()
    }

    fn observation_width(&self) -> usize {
        self.0.observation_width()
    }

    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]) {
        self.0.start(rng, positions, velocities);
    }

    fn x(&self, seen: View) -> f64 {
        self.0.x(seen)
    }

    fn observe(&self, seen: View, observation: &mut [f64]) {
        self.0.observe(seen, observation);
    }

    fn judge(&self, made: &Move) -> (f64, bool) {
        self.0.judge(made)
    }
}
