//! The embedding on a GPU: the structs of `embedding.cu`, and their launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::parameters;

parameters! {
    /// See `embedding.cu`.
    Embed {
        input: Address,
        weight: Address,
        bias: Address,
        timesteps: Address,
        lengths: Address,
        table: Address,
        to: Address,
        inputs: i32,
        kind: i32,
        steps: i32,
        context: i32,
        width: i32,
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
const STEPS: usize = 8;

impl Embed {
    pub(crate) fn launch(&self) -> Launch {
        let blocks = (self.steps as usize).div_ceil(STEPS);
        let [steps, inputs, width] = [self.steps, self.inputs, self.width].map(|n| n as usize);
        let work = LaunchWork::of(steps * (inputs + width), 2 * steps * inputs * width);
        Launch::new("embed", [blocks, 1, 1], THREADS, self).doing(work)
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
