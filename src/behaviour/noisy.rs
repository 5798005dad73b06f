//! Wraps a policy and adds noise to its actions.

use rtg_envs::{Space, random::NumpyRng};

use crate::policy::{Policy, Start};
use rtg_kernels::device;

/// Adds noise between 0 (none) and 1 to the actions of another policy.
///
/// With discrete actions the noise is the probability that an action is drawn at random instead.
/// With continuous ones a normal number, of a standard deviation of `noise` times the range (times
/// 1 where there is none), is added to each number and the sum is clipped to the range.
pub struct Noisy {
    policy: Box<dyn Policy>,
    noise: f64,
    action_space: Space,
    /// A generator for each row, seeded when an episode starts.
    rngs: Vec<NumpyRng>,
}

impl Noisy {
    /// Adds noise to `policy`, which acts in up to `rows` rows. A noise outside 0 to 1 counts as
    /// the nearer end.
    pub fn new(policy: Box<dyn Policy>, noise: f64, action_space: &Space, rows: usize) -> Self {
        Self {
            policy,
            noise: noise.clamp(0.0, 1.0),
            action_space: action_space.clone(),
            rngs: vec![NumpyRng::for_actions(0); rows],
        }
    }
}

impl Policy for Noisy {
    fn takes_target(&self) -> bool {
        self.policy.takes_target()
    }

    fn failure(&mut self) -> Option<device::Error> {
        self.policy.failure()
    }

    fn begin(&mut self, row: usize, start: &Start) {
        self.policy.begin(row, start);
        self.rngs[row] = NumpyRng::for_actions(start.seed);
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        self.policy.act(active, observations, last_rewards, actions);
        if self.noise > 0.0 {
            let width = self.action_space.width();
            for &row in active {
                let action = &mut actions[row * width..][..width];
                disturb(action, self.noise, &self.action_space, &mut self.rngs[row]);
            }
        }
    }
}

/// Adds noise of this strength to an action of the space.
pub(crate) fn disturb(action: &mut [f64], noise: f64, space: &Space, rng: &mut NumpyRng) {
    let Space::Box(bounds) = space else {
        if rng.random() < noise {
            space.sample(rng, action);
        }
        return;
    };
    for (number, (&low, &high)) in action.iter_mut().zip(bounds.low.iter().zip(&bounds.high)) {
        let range = high - low;
        let scale = if range.is_finite() { range } else { 1.0 };
        let disturbed = *number + noise * scale * normal(rng);
        *number = bounds.dtype.round(disturbed).clamp(low, high);
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut NumpyRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random()).cos()
}
