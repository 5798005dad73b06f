//! Attention on a GPU: the twin of `Attention` in `attention.cu`, and its launches.

use crate::device::backend::{Address, Launch, LaunchWork, THREADS};
use crate::device::parameters::{Numbers, parameters};
use crate::dropout::cuda::Drop;

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

/// Rows of a block, as `attention.cu` has it.
const SIDE: usize = 32;

impl Attention {
    /// `products`: how many products of the triangle of queries and keys; `words` of a window are
    /// read or written.
    fn launch(
        &self,
        kernel: &'static str,
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
        Launch::new(kernel, [blocks, 1, 1], THREADS, self).doing(work)
    }

    /// Tiles of its queries and of its keys.
    fn tiles(&self) -> [usize; 2] {
        [self.queries, self.keys].map(|rows| (rows as usize).div_ceil(SIDE))
    }

    /// Numbers of a window's queries and of its keys.
    fn numbers(&self) -> [usize; 2] {
        [self.queries, self.keys].map(|rows| rows as usize * self.width as usize)
    }

    /// `out` and `logs`.
    pub(crate) fn forward(&self, windows: usize) -> Launch {
        let [queries, keys] = self.numbers();
        let words = queries + 2 * keys + self.out.words(queries);
        self.launch("attention", self.tiles()[0], windows, 2, words)
    }

    /// `dq` and `dkv`.
    pub(crate) fn backward(&self, windows: usize) -> Launch {
        let [queries, keys] = self.numbers();
        let read = 2 * queries + 2 * keys + self.out.words(queries);
        let written = self.dq.words(queries) + self.dkv.words(2 * keys);
        let tiles = self.tiles().iter().sum();
        self.launch("attention_backward", tiles, windows, 7, read + written)
    }
}
