//! Windows cut from a dataset where it lies: on the device.
//!
//! The dataset is copied there once, as columns over all steps of all episodes, in the model's units. A batch is then
//! just the steps where its windows start, drawn on the host from the run's own stream, so that every device sees the
//! same windows. A window runs to its episode's end, K steps at most; its valid steps come first in memory, with
//! zeros behind them, and the number of valid steps is all the mask that the model needs. On which side recipes put
//! the padding shows in the first valid step alone, which dropout's masks depend on.

pub(crate) mod cuda;
pub mod reference;

use crate::kernels::decision_transformer::windows::Side;

/// The actions of a dataset.
#[derive(Clone, Copy, Debug)]
pub enum Actions<'a> {
    /// N x A
    Numbers(&'a [f32]),
    /// N, each below A
    Labels(&'a [u32]),
}

/// A dataset of N steps, as the model is to see it.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// N x S
    pub observations: &'a [f32],
    /// what was done
    pub actions: Actions<'a>,
    /// N, scaled
    pub returns_to_go: &'a [f32],
    /// the first step of each episode, and N behind them
    pub starts: &'a [usize],
    /// the largest timestep; later ones become this one
    pub max_timestep: u32,
    /// which side of a short window is padded
    pub side: Side,
}

impl Columns<'_> {
    /// N.
    pub fn steps(&self) -> usize {
        self.returns_to_go.len()
    }

    /// For each step, where its episode ends and its timestep.
    pub(crate) fn places(&self) -> (Vec<u32>, Vec<u32>) {
        let episodes = self.starts.windows(2).map(|ends| ends[0]..ends[1]);
        episodes
            .flat_map(|steps| {
                let (start, end) = (steps.start, steps.end as u32);
                steps.map(move |step| (end, (step - start) as u32))
            })
            .unzip()
    }
}
