//! A hand-written law, disturbed by noise.

use rtg_envs::{Space, random::NumpyRng};

use crate::behaviour::laws::{self, Law};
use crate::policy::{Policy, Start};

/// Follows a law of [`laws`](mod@laws), with noise between 0 and 1.
///
/// With discrete actions the noise is the probability that an action is drawn at random instead.
/// With continuous ones a normal number, of a standard deviation of `noise` times the range, is
/// added and the sum is clipped to the range.
pub struct Controller {
    law: Law,
    noise: f64,
    action_space: Space,
    observation_width: usize,
    /// A generator for each row, seeded when an episode starts.
    rngs: Vec<NumpyRng>,
}

impl Controller {
    /// The controller of an environment, if it has one, for up to `rows` rows. A noise outside of 0
    /// to 1 counts as the nearer end.
    pub fn new(env_id: &str, noise: f64, rows: usize) -> Option<Self> {
        let (law, spec) = (laws::law(env_id)?, rtg_envs::spec(env_id).ok()?);
        Some(Self {
            law,
            noise: noise.clamp(0.0, 1.0),
            observation_width: spec.observation_space.width(),
            action_space: spec.action_space,
            rngs: vec![NumpyRng::for_actions(0); rows],
        })
    }
}

impl Policy for Controller {
    fn begin(&mut self, row: usize, start: &Start) {
        self.rngs[row] = NumpyRng::for_actions(start.seed);
    }

    fn act(&mut self, active: &[usize], observations: &[f64], _: &[f64], actions: &mut [f64]) {
        let width = self.observation_width;
        for &row in active {
            let action = &mut actions[row..=row];
            action[0] = (self.law)(&observations[row * width..][..width]);
            if self.noise > 0.0 {
                disturb(action, self.noise, &self.action_space, &mut self.rngs[row]);
            }
        }
    }
}

fn disturb(action: &mut [f64], noise: f64, space: &Space, rng: &mut NumpyRng) {
    if let Space::Box(bounds) = space {
        let (low, high) = (bounds.low[0], bounds.high[0]);
        let disturbed = action[0] + noise * (high - low) * normal(rng);
        action[0] = bounds.dtype.round(disturbed).clamp(low, high);
    } else if rng.random() < noise {
        space.sample(rng, action);
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut NumpyRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random()).cos()
}
