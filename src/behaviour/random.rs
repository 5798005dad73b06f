//! Random actions.

use rtg_envs::{Space, random::NumpyRng};

use crate::policy::{Policy, Start};

/// Draws every action from the whole action space (uniformly where it has bounds). Its mean return
/// is the 0 of a score.
pub struct Random {
    action_space: Space,
    /// A generator for each row, seeded when an episode starts.
    rngs: Vec<NumpyRng>,
}

impl Random {
    /// A random policy for up to `rows` rows.
    pub fn new(action_space: &Space, rows: usize) -> Self {
        Self {
            action_space: action_space.clone(),
            rngs: vec![NumpyRng::for_actions(0); rows],
        }
    }
}

impl Policy for Random {
    fn begin(&mut self, row: usize, start: &Start) {
        self.rngs[row] = NumpyRng::for_actions(start.seed);
    }

    fn act(&mut self, active: &[usize], _: &[f64], _: &[f64], actions: &mut [f64]) {
        let width = self.action_space.width();
        for &row in active {
            self.action_space
                .sample(&mut self.rngs[row], &mut actions[row * width..][..width]);
        }
    }
}
