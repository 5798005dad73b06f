//! Head and loss on a GPU: the twin of the struct in `loss.cu`, and its launch.

use super::{Denominator, Head, Objective};
use crate::device::backend::{Address, Launch, LaunchWork, THREADS, WARPS};
use crate::device::parameters::parameters;
use crate::layer_norm::cuda::Norm;

parameters! {
    /// See `loss.cu`.
    HeadAndLoss {
        norm: Norm,
        x: Address,
        weight: Address,
        bias: Address,
        actions: Address,
        lengths: Address,
        predictions: Address,
        dz: Address,
        losses: Address,
        steps: i32,
        windows: i32,
        context: i32,
        width: i32,
        action: i32,
        is_tanh: i32,
        is_cross_entropy: i32,
        counts_all: i32,
        scale: f32,
    }
}

/// More blocks would leave more losses to add up.
const MOST_BLOCKS: usize = 512;

/// Blocks over this many steps, each of which writes a part of the loss.
pub(crate) fn blocks(steps: usize) -> usize {
    steps.div_ceil(WARPS).min(MOST_BLOCKS)
}

impl HeadAndLoss {
    /// The same with this head and this loss.
    pub(crate) fn of(self, head: Head, objective: Objective, denominator: Denominator) -> Self {
        let scale = match head {
            Head::Tanh { scale } => Some(scale),
            Head::Logits => None,
        };
        Self {
            is_tanh: i32::from(scale.is_some()),
            scale: scale.unwrap_or(1.0),
            is_cross_entropy: i32::from(objective == Objective::CrossEntropy),
            counts_all: i32::from(denominator == Denominator::All),
            ..self
        }
    }

    pub(crate) fn launch(&self) -> Launch {
        let blocks = blocks(self.steps as usize);
        let [steps, width, action] = [self.steps, self.width, self.action].map(|n| n as usize);
        // The normed rows are read where they have just been written.
        let normed = 2 * self.norm.rows as usize * width;
        let numbers = normed.max(steps * width) + 3 * steps * action;
        let work = LaunchWork::of(numbers, 2 * steps * width * action);
        Launch::new("head_and_loss", [blocks, 1, 1], THREADS, self).doing(work)
    }
}
