//! Layer normalisation on a GPU: the twins of the structs in `layer_norm.cu`, and their launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS, WARPS};
use crate::device::parameters::{Numbers, parameters};
use crate::dropout::cuda::Drop;
use crate::linear::cuda::Rows;

parameters! {
    /// See `layer_norm.cu`.
    Norm {
        x: Address,
        gain: Address,
        bias: Address,
        y: Numbers,
        statistics: Address,
        drop: Drop,
        rows: i32,
        width: i32,
    }
}

parameters! {
    /// See `layer_norm.cu`.
    NormBackward {
        x: Address,
        gain: Address,
        statistics: Address,
        dy: Address,
        beside: Address,
        dx: Address,
        dropped: Numbers,
        dgain: Address,
        dbias: Address,
        drop: Drop,
        token_rows: Rows,
        beside_observations: i32,
        rows: i32,
        width: i32,
        block_rows: i32,
    }
}

/// Fewer rows are not worth a separate block; more blocks cost more to add up.
const LEAST_ROWS: usize = 16;
const MOST_BLOCKS: usize = 512;
/// Channels of a block of the backward, as `layer_norm.cu` has it.
const SPAN: usize = 512;

/// Whether four numbers of a row can be read at once.
fn are_aligned(width: i32, addresses: &[Address]) -> bool {
    width % 4 == 0 && addresses.iter().all(|at| at.0.is_multiple_of(16))
}

/// Rows of a block of the backward, and how many blocks that makes.
pub(crate) fn blocks(rows: usize) -> (usize, usize) {
    let block_rows = rows.div_ceil(MOST_BLOCKS).max(LEAST_ROWS);
    (block_rows, rows.div_ceil(block_rows))
}

impl Norm {
    /// A norm of no rows.
    pub(crate) const NONE: Self = Self {
        x: Address::NULL,
        gain: Address::NULL,
        bias: Address::NULL,
        y: Numbers {
            at: Address::NULL,
            are_halves: 0,
        },
        statistics: Address::NULL,
        drop: Drop::NONE,
        rows: 0,
        width: 0,
    };

    /// Whether it can read four numbers at once.
    fn is_aligned(&self) -> bool {
        are_aligned(self.width, &[self.x, self.gain, self.bias, self.y.at])
    }

    /// Its least work.
    pub(crate) fn work(&self) -> LaunchWork {
        let numbers = self.rows as usize * self.width as usize;
        LaunchWork::of(numbers + self.y.words(numbers), 0)
    }

    pub(crate) fn launch(&self) -> Launch {
        let blocks = (self.rows as usize).div_ceil(WARPS);
        let kernel = if self.is_aligned() {
            "layer_norm"
        } else {
            "layer_norm_any"
        };
        Launch::new(kernel, [blocks, 1, 1], THREADS, self).doing(self.work())
    }
}

impl NormBackward {
    pub(crate) fn launch(&self) -> Launch {
        let (_, blocks) = blocks(self.rows as usize);
        let numbers = self.rows as usize * self.width as usize;
        let matrices = 3 + usize::from(self.beside != Address::NULL);
        let dropped = if self.dropped.at == Address::NULL {
            0
        } else {
            self.dropped.words(numbers)
        };
        let work = LaunchWork::of(matrices * numbers + dropped, 0);
        let addresses = [
            self.x,
            self.gain,
            self.dy,
            self.beside,
            self.dx,
            self.dropped.at,
        ];
        let kernel = if are_aligned(self.width, &addresses) {
            "layer_norm_backward"
        } else {
            "layer_norm_any_backward"
        };
        let grid = [blocks, (self.width as usize).div_ceil(SPAN), 1];
        Launch::new(kernel, grid, THREADS, self).doing(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_more_numbers_than_an_i32_counts_is_right() {
        let (rows, width) = (1 << 20, 1 << 12);
        let norm = Norm {
            x: Address::NULL,
            gain: Address::NULL,
            bias: Address::NULL,
            y: Numbers::floats(Address::NULL),
            statistics: Address::NULL,
            drop: Drop::NONE,
            rows,
            width,
        };
        let numbers = 2.0 * f64::from(rows) * f64::from(width);
        let bytes = norm.launch().work.bytes;
        assert!((bytes - 4.0 * numbers).abs() < 1.0, "{bytes}");
    }
}
