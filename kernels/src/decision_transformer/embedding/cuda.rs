//! The embedding on a GPU: the structs of `embedding.cu`, and their launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::parameters;
use crate::layer_norm::cuda::Norm;

parameters! {
    /// See `embedding.cu`.
    Kind {
        input: Address,
        weight: Address,
        bias: Address,
        inputs: i32,
    }
}

parameters! {
    /// See `embedding.cu`.
    Embed {
        return_to_go: Kind,
        observation: Kind,
        action: Kind,
        timesteps: Address,
        lengths: Address,
        table: Address,
        to: Address,
        norm: Norm,
        next: Norm,
        steps: i32,
        context: i32,
        width: i32,
        is_aligned: i32,
    }
}

parameters! {
    /// See `embedding.cu`.
    Table {
        dx: Address,
        timesteps: Address,
        lengths: Address,
        to: Address,
        steps: i32,
        context: i32,
        width: i32,
        slice_steps: i32,
    }
}

/// Steps that one block adds up, and the most slices of them.
const SLICE_STEPS: usize = 4096;
const MOST_SLICES: usize = 16;

/// Slices of the table's gradient over this many steps, and the steps of each.
pub(crate) fn table_slices(steps: usize) -> (usize, usize) {
    let wanted = steps.div_ceil(SLICE_STEPS).clamp(1, MOST_SLICES);
    let each = steps.div_ceil(wanted).next_multiple_of(THREADS as usize);
    (steps.div_ceil(each).max(1), each)
}

/// Steps of a thread block, as in `embedding.cu`.
const STEPS: usize = 4;

impl Embed {
    pub(crate) fn launch(&self) -> Launch {
        let blocks = (self.steps as usize).div_ceil(STEPS);
        let [steps, width] = [self.steps, self.width].map(|n| n as usize);
        let kinds = [self.return_to_go, self.observation, self.action];
        let inputs: usize = kinds.iter().map(|kind| kind.inputs as usize).sum();
        let norms = [self.norm, self.next];
        // The norms read what the block has just written.
        let written = norms
            .iter()
            .map(|norm| norm.rows as usize * width)
            .sum::<usize>();
        let numbers = steps * (inputs + 3 * width) + written;
        let aligned = |norm: &Norm| norm.rows == 0 || norm.is_aligned();
        let embed = Self {
            is_aligned: i32::from(norms.iter().all(aligned)),
            ..*self
        };
        let work = LaunchWork::of(numbers, 2 * steps * inputs * width);
        Launch::new("embed", [blocks, 1, 1], THREADS, &embed).doing(work)
    }
}

impl Table {
    /// The launch for a table of this many rows.
    pub(crate) fn launch(&self, rows: usize) -> Launch {
        let columns = (self.width as usize).div_ceil(THREADS as usize);
        let (steps, width) = (self.steps as usize, self.width as usize);
        let slices = steps.div_ceil(self.slice_steps as usize).max(1);
        let work = LaunchWork::of((3 * steps + slices * rows) * width, 0);
        Launch::new("table_backward", [rows, columns, slices], THREADS, self).doing(work)
    }
}
