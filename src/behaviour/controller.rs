//! A hand-written control law as a policy.

use crate::behaviour::laws::{self, ControlLaw};
use crate::policy::{Policy, Start};

/// Follows a law of [`laws`](mod@laws).
pub struct Controller {
    law: ControlLaw,
    observation_width: usize,
    action_width: usize,
}

impl Controller {
    /// The controller of an environment, if it has one. A changed time limit does not matter; with
    /// options or wrappers it is another environment, without a controller.
    pub fn new(env_id: &str) -> Option<Self> {
        let config = rtg_envs::registry::resolve(env_id).ok()?;
        let is_known = config.kwargs.is_empty() && config.wrappers.is_empty() && !config.is_delayed;
        let law = laws::law(&config.id).filter(|_| is_known)?;
        let spec = rtg_envs::spec(env_id).ok()?;
        Some(Self {
            law,
            observation_width: spec.observation_space.width(),
            action_width: spec.action_space.width(),
        })
    }
}

impl Policy for Controller {
    fn begin(&mut self, _: usize, _: &Start) {}

    fn act(&mut self, active: &[usize], observations: &[f64], _: &[f64], actions: &mut [f64]) {
        let (seen, done) = (self.observation_width, self.action_width);
        for &row in active {
            let observation = &observations[row * seen..][..seen];
            self.law
                .act(observation, &mut actions[row * done..][..done]);
        }
    }
}
