//! Attention on a GPU: the twin of `Attention` in `attention.cu`, and its launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::{Numbers, parameters};
use crate::dropout::cuda::Drop;
use crate::linear::cuda::Storage;

parameters! {
    /// See `attention.cu`.
    Attention {
        q: Address,
        kv: Address,
        out: Numbers,
        logs: Address,
        dout: Address,
        dq: Numbers,
        dkv: Numbers,
        lengths: Address,
        drop: Drop,
        queries: i32,
        keys: i32,
        width: i32,
        heads: i32,
        q_stride: i32,
        kv_stride: i32,
        visible_stride: i32,
        visible_offset: i32,
    }
}

/// How a head's rows are divided among blocks.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Rows of a block.
    rows: usize,
    /// The kernels of the forward and of the backward pass, and their dynamic shared memory.
    kernels: [(&'static str, u32); 2],
}

/// As `attention.cu` has it.
const FLOATS: Form = Form {
    rows: 32,
    kernels: [("attention", 0), ("attention_backward", 0)],
};
/// As `halves.cu` has it.
const HALVES: Form = Form {
    rows: 64,
    kernels: [
        ("attention_bf16", 52 << 10),
        ("attention_backward_bf16", 70 << 10),
    ],
};

/// How queries, keys, values and the output's gradient are stored: those of heads of whole tiles as
/// the other factors are.
pub(crate) fn storage(factors: Storage, head_width: usize) -> Storage {
    if head_width.is_multiple_of(16) && head_width <= 128 {
        factors
    } else {
        Storage::Floats
    }
}

impl Attention {
    fn form(storage: Storage) -> Form {
        match storage {
            Storage::Floats => FLOATS,
            Storage::Halves => HALVES,
        }
    }

    /// `products`: how many products of the triangle of queries and keys; `words` of a window are
    /// read or written.
    fn launch(
        &self,
        (kernel, dynamic_bytes): (&'static str, u32),
        tiles: usize,
        windows: usize,
        products: usize,
        words: usize,
    ) -> Launch {
        let blocks = tiles * windows * self.heads as usize;
        let [queries, keys, width] =
            [self.queries, self.keys, self.width].map(|size| size as usize);
        let seen = queries * keys / 2;
        let work = LaunchWork::of(windows * words, windows * products * 2 * seen * width);
        Launch::new(kernel, [blocks, 1, 1], THREADS, self)
            .with_dynamic_memory(dynamic_bytes)
            .doing(work)
    }

    /// Tiles of its queries and of its keys.
    fn tiles(&self, form: Form) -> [usize; 2] {
        [self.queries, self.keys].map(|rows| (rows as usize).div_ceil(form.rows))
    }

    /// Numbers of a window's queries and of its keys.
    fn numbers(&self) -> [usize; 2] {
        [self.queries, self.keys].map(|rows| rows as usize * self.width as usize)
    }

    /// `out` and `logs`, of factors that are stored like this.
    pub(crate) fn forward(&self, storage: Storage, windows: usize) -> Launch {
        let form = Self::form(storage);
        let [queries, keys] = self.numbers();
        let words = storage.words(queries + 2 * keys) + self.out.words(queries);
        self.launch(form.kernels[0], self.tiles(form)[0], windows, 2, words)
    }

    /// `dq` and `dkv`.
    pub(crate) fn backward(&self, storage: Storage, windows: usize) -> Launch {
        let form = Self::form(storage);
        let [queries, keys] = self.numbers();
        let read = storage.words(2 * queries + 2 * keys) + self.out.words(queries);
        let written = self.dq.words(queries) + self.dkv.words(2 * keys);
        let tiles = self.tiles(form).iter().sum();
        self.launch(form.kernels[1], tiles, windows, 7, read + written)
    }
}
