//! The gather on a GPU: the struct of `gather.cu`, and its launch.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::parameters;

parameters! {
    /// See `gather.cu`.
    Gather {
        observations: Address,
        actions: Address,
        labels: Address,
        returns_to_go: Address,
        ends: Address,
        timesteps: Address,
        starts: Address,
        clock: Address,
        to_observations: Address,
        to_actions: Address,
        to_returns_to_go: Address,
        to_timesteps: Address,
        lengths: Address,
        first_steps: Address,
        windows: i32,
        context: i32,
        observation: i32,
        action: i32,
        limit: u32,
        left: i32,
    }
}

impl Gather {
    pub(crate) fn launch(&self) -> Launch {
        let steps = self.windows as usize * self.context as usize;
        let row = (self.observation + self.action + 2) as usize;
        let work = LaunchWork::of(2 * steps * row, 0);
        Launch::new("gather", [self.windows as usize, 1, 1], THREADS, self).doing(work)
    }
}
