//! The optimisers' steps on the engine's threads.

use super::{Engine, each};
use crate::kernels::adamw::{self, Buffers, Step};
use crate::kernels::lamb;

impl Engine {
    /// One step of AdamW on the engine's threads.
    pub fn update(&self, step: &Step, buffers: Buffers<'_>) {
        let part = buffers.gradient.len().div_ceil(self.workers.len()).max(1);
        let mut parts = buffers.parts(std::iter::repeat(part));
        each(self.pool.as_ref(), &mut parts, &|_, part| {
            adamw::update_at(self.level, step, part);
        });
    }

    /// One step of LAMB on the engine's threads, of the layout's tensors.
    pub fn update_by_tensor(&self, step: &Step, buffers: Buffers<'_>) {
        let lengths = self.layout.views().map(|view| view.range.len());
        let mut tensors = buffers.parts(lengths);
        each(self.pool.as_ref(), &mut tensors, &|_, tensor| {
            lamb::update_at(self.level, step, tensor);
        });
    }
}
