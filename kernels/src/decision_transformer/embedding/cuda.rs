//! The embedding on a GPU: the structs of `embedding.cu`, and their launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::parameters;
use crate::layer_norm::cuda::Norm;
use crate::linear::cuda::{Slices, slice_depth};

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
    }
}

parameters! {
    /// See `embedding.cu`.
    KindGradient {
        input: Address,
        weight: Address,
        bias: Address,
        inputs: i32,
        slices: i32,
        slice_steps: i32,
    }
}

parameters! {
    /// See `embedding.cu`.
    EmbedBackward {
        return_to_go: KindGradient,
        observation: KindGradient,
        action: KindGradient,
        dx: Address,
        timesteps: Address,
        lengths: Address,
        table: Address,
        steps: i32,
        context: i32,
        width: i32,
        table_rows: i32,
        slice_steps: i32,
        slices: i32,
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
        let work = LaunchWork::of(numbers, 2 * steps * inputs * width);
        Launch::new("embed", [blocks, 1, 1], THREADS, self).doing(work)
    }
}

/// Inputs of a block of the backward, as in `embedding.cu`.
const INPUTS: usize = 8;

impl KindGradient {
    /// The gradient over this many steps, in `parts`.
    pub(crate) fn new(input: Address, inputs: usize, steps: usize, parts: Slices) -> Self {
        Self {
            input,
            weight: parts.weight,
            bias: parts.bias,
            inputs: inputs as i32,
            slices: parts.count as i32,
            slice_steps: slice_depth(steps, parts.count) as i32,
        }
    }

    fn blocks(&self) -> usize {
        (self.inputs as usize).div_ceil(INPUTS) * self.slices as usize
    }

    /// Numbers read and written beside the tokens' gradient.
    fn numbers(&self, steps: usize, width: usize) -> usize {
        let inputs = self.inputs as usize;
        steps * inputs + self.slices as usize * (inputs + 1) * width
    }
}

impl EmbedBackward {
    pub(crate) fn launch(&self) -> Launch {
        let kinds = [self.return_to_go, self.observation, self.action];
        let [steps, width, rows, slices] =
            [self.steps, self.width, self.table_rows, self.slices].map(|n| n as usize);
        let of_kinds: usize = kinds.iter().map(KindGradient::blocks).sum();
        let grid = [
            of_kinds + rows * slices,
            width.div_ceil(THREADS as usize),
            1,
        ];
        let beside: usize = kinds.iter().map(|kind| kind.numbers(steps, width)).sum();
        let inputs: usize = kinds.iter().map(|kind| kind.inputs as usize).sum();
        let numbers = (3 * steps + slices * rows) * width + beside;
        let work = LaunchWork::of(numbers, 2 * steps * inputs * width);
        Launch::new("embed_backward", grid, THREADS, self).doing(work)
    }
}
