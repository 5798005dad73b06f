//! The environments' version 4, which scores published with older versions are closest to.
//!
//! Three things differ from version 5: a step into an unhealthy state that ends the episode still
//! earns the reward for being healthy, `Walker2d`'s right foot has the friction of its legs, and
//! `Ant` neither sees contact forces nor pays for them.
//! `HalfCheetah-v4` differs in nothing but its id.

use super::{
    ant::Ant,
    drawing::Camera,
    half_cheetah::HalfCheetah,
    hopper::Hopper,
    library::Field,
    simulation::{Move, Task, View},
    walker2d::Walker2d,
};
use crate::random::NumpyRng;
use std::borrow::Cow;

/// A task that had a version 4.
pub trait HasV4: Task {
    /// Gymnasium's id of version 4.
    const V4_ID: &'static str;

    /// The options of version 4.
    fn v4() -> Self;

    /// The model of version 4.
    fn v4_model() -> Cow<'static, str> {
        Self::model()
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
            rewards_last_step: true,
            ..Self::default()
        }
    }

    fn v4_model() -> Cow<'static, str> {
        let right_foot = r#"<geom name="foot_geom""#;
        let slippery = format!(r#"{right_foot} friction="0.9 0.1 0.1""#);
        Self::model().replacen(right_foot, &slippery, 1).into()
    }
}

impl HasV4 for Ant {
    const V4_ID: &'static str = "Ant-v4";

    fn v4() -> Self {
        Self {
            contact_cost_weight: 0.0,
            include_cfrc_ext_in_observation: false,
            rewards_last_step: true,
            ..Self::default()
        }
    }
}

impl<T: HasV4> Task for V4<T> {
    const ID: &'static str = T::V4_ID;
    const TIME_STEP: f64 = T::TIME_STEP;
    const ACTION_BOUNDS: &'static [f32] = T::ACTION_BOUNDS;
    const POINTS: &'static [(&'static str, [f64; 3])] = T::POINTS;
    const FIELDS: &'static [Field] = T::FIELDS;
    const CAMERA: Camera = T::CAMERA;

    fn model() -> Cow<'static, str> {
        T::v4_model()
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
