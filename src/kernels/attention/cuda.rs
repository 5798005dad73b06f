//! Attention on a GPU: the twin of `Attention` in `attention.cu`, and its launches.

use crate::kernels::cuda::backend::{Address, Launch, THREADS};
use crate::kernels::cuda::parameters::parameters;
use crate::kernels::dropout::cuda::Drop;

parameters! {
    /// See `attention.cu`.
    Attention {
        q: Address,
        kv: Address,
        out: Address,
        logs: Address,
        deltas: Address,
        dout: Address,
        dq: Address,
        dkv: Address,
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
    fn launch(&self, kernel: &'static str, rows: i32, windows: usize) -> Launch {
        let blocks = (rows as usize).div_ceil(SIDE) * windows * self.heads as usize;
        Launch::new(kernel, [blocks, 1, 1], THREADS, self)
    }

    /// `out` and `logs`.
    pub(crate) fn forward(&self, windows: usize) -> Launch {
        self.launch("attention", self.queries, windows)
    }

    /// `dq` and `deltas`, then `dkv`.
    pub(crate) fn backward(&self, windows: usize) -> [Launch; 2] {
        [
            self.launch("attention_queries", self.queries, windows),
            self.launch("attention_keys", self.keys, windows),
        ]
    }
}
