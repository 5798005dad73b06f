//! The optimisers' steps on the engine's threads.

use super::{Engine, each};
use crate::adamw::{self, Buffers, Step};
use crate::lamb::{self, Parameter};

impl Engine {
    /// One step of AdamW on the engine's threads.
    pub fn update(&self, step: &Step, buffers: Buffers<'_>) {
        let part = buffers.gradient.len().div_ceil(self.workers.len()).max(1);
        let mut parts = buffers.parts(std::iter::repeat(part));
        each(self.pool.as_ref(), &mut parts, &|_, part| {
            adamw::update_at(self.level, step, part);
        });
    }

    /// One step of LAMB on the engine's threads.
    pub fn update_by_tensor(&self, parameters: &[Parameter], step: &Step, buffers: Buffers<'_>) {
        let mut parts = buffers.parts(parameters.iter().map(|of| of.len));
        each(self.pool.as_ref(), &mut parts, &|index, part| {
            lamb::update_at(self.level, step, parameters[index], part);
        });
    }
}
