//! Everything between the attention of two layers in one launch: the twin of `Positionwise` in
//! `positionwise.cu`.

use crate::decision_transformer::shape::Shape;
use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::{Numbers, parameters};
use crate::dropout::cuda::Drop;
use crate::layer_norm::cuda::Norm;
use crate::linear::cuda::{Rows, Storage};

/// The only width that the kernel is made for.
const WIDTH: usize = 128;
/// Rows of a block, as `positionwise.cu` has it.
const STRIP: usize = 48;

parameters! {
    /// See `positionwise.cu`.
    Layer {
        weight: Address,
        bias: Address,
    }
}

impl Layer {
    /// No layer.
    pub(crate) const NONE: Self = Self {
        weight: Address::NULL,
        bias: Address::NULL,
    };
}

parameters! {
    /// See `positionwise.cu`.
    Positionwise {
        attended: Address,
        residual: Address,
        token_rows: Rows,
        projection: Layer,
        up: Layer,
        down: Layer,
        projection_drop: Drop,
        mlp_drop: Drop,
        norm: Norm,
        input: Address,
        hidden: Address,
        to: Address,
        next: Norm,
        qkv: Layer,
        q: Numbers,
        kv: Numbers,
        query_rows: Rows,
        q_stride: i32,
        kv_stride: i32,
        rows: i32,
        activation: i32,
    }
}

/// Whether the kernel computes a model of this shape whose factors are stored like this.
pub(crate) fn fits(shape: &Shape, storage: Storage) -> bool {
    storage == Storage::Halves && shape.width == WIDTH
}

impl Positionwise {
    /// One of no rows.
    pub(crate) const NONE: Self = Self {
        attended: Address::NULL,
        residual: Address::NULL,
        token_rows: Rows::ALL,
        projection: Layer::NONE,
        up: Layer::NONE,
        down: Layer::NONE,
        projection_drop: Drop::NONE,
        mlp_drop: Drop::NONE,
        norm: Norm::NONE,
        input: Address::NULL,
        hidden: Address::NULL,
        to: Address::NULL,
        next: Norm::NONE,
        qkv: Layer::NONE,
        q: Numbers {
            at: Address::NULL,
            are_halves: 0,
        },
        kv: Numbers {
            at: Address::NULL,
            are_halves: 0,
        },
        query_rows: Rows::ALL,
        q_stride: 0,
        kv_stride: 0,
        rows: 0,
        activation: 0,
    };

    pub(crate) fn launch(&self) -> Launch {
        let rows = self.rows as usize;
        let next = self.next.rows as usize;
        // Squares of 128 x 128 of the weights that all rows are multiplied with.
        let squares = 9 * rows + 3 * next;
        let halves = Storage::Halves;
        let input = if self.input == Address::NULL { 0 } else { 4 };
        // Attention's output, normed and hidden rows are halves; the stream, which is read once and
        // written twice, is not; queries, keys and values may be.
        let words = halves.words(6 * rows + next) + (3 + input) * rows + self.kv.words(3 * next);
        let weights = halves.words(12 * WIDTH * WIDTH);
        let work = LaunchWork::of(WIDTH * words + weights, 2 * WIDTH * WIDTH * squares);
        Launch::new(
            "positionwise_bf16",
            [rows.div_ceil(STRIP), 1, 1],
            THREADS,
            self,
        )
        .doing(work)
    }
}
