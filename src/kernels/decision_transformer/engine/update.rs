//! The optimisers' updates on the engine's threads.

use super::{Engine, each};
use crate::kernels::adamw::{self, AdamW};
use crate::kernels::lamb;

impl Engine {
    /// One update of AdamW on the engine's threads; the arguments are those of [`adamw::update`].
    #[expect(
        clippy::too_many_arguments,
        reason = "three buffers of state, a gradient, and four numbers"
    )]
    pub fn update(
        &self,
        adamw: &AdamW,
        rate: f64,
        step: u64,
        clip: f64,
        gradient: &[f32],
        weights: &mut [f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) {
        let part = gradient.len().div_ceil(self.workers.len()).max(1);
        let moments = mean.chunks_mut(part).zip(square.chunks_mut(part));
        let parts = gradient
            .chunks(part)
            .zip(weights.chunks_mut(part))
            .zip(moments);
        let mut parts: Vec<_> = parts.collect();
        each(self.pool.as_ref(), &mut parts, &|_, ((g, w), (m, v))| {
            adamw::update_at(self.level, adamw, rate, step, clip, g, w, m, v);
        });
    }

    /// One update of LAMB on the engine's threads; the arguments are those of [`lamb::update`], but
    /// for the tensors, which are those of the layout.
    #[expect(
        clippy::too_many_arguments,
        reason = "three buffers of state, a gradient, and four numbers"
    )]
    pub fn update_by_tensor(
        &self,
        constants: &AdamW,
        rate: f64,
        step: u64,
        clip: f64,
        gradient: &[f32],
        weights: &mut [f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) {
        let lengths = self.layout.views().map(|view| view.range.len());
        let mut tensors = lamb::tensors(lengths, gradient, [weights, mean, square]);
        each(self.pool.as_ref(), &mut tensors, &|_, (g, w, m, v)| {
            lamb::update_at(self.level, constants, (rate, step, clip), (g, w, m, v));
        });
    }
}
