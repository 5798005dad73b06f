//! Gathers windows from a dataset in the device's memory.
//!
//! The dataset is copied there once, as columns over all steps of all episodes, in the model's
//! units. For a batch, the host then uploads only the steps where its windows start, drawn from the
//! run's random stream, so that every device gets the same windows. A window extends to its
//! episode's end, K steps at most; its valid steps come first in memory, followed by zeros, and the
//! number of valid steps is the only mask that the model needs. The side of a recipe's padding
//! affects only the index of the first valid step, on which dropout masks depend.

pub(crate) mod cuda;
pub mod reference;

use crate::decision_transformer::windows::Side;

/// The actions of a dataset.
#[derive(Clone, Copy, Debug)]
pub enum Actions<'a> {
    /// N x A
    Numbers(&'a [f32]),
    /// N, each below A
    Labels(&'a [u32]),
}

/// A dataset of N steps, in the model's units.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// N x S
    pub observations: &'a [f32],
    /// the actions
    pub actions: Actions<'a>,
    /// N, scaled
    pub returns_to_go: &'a [f32],
    /// the first step of each episode, and finally N
    pub starts: &'a [usize],
    /// the largest timestep; later ones are clamped to it
    pub max_timestep: u32,
    /// which side of a short window is padded
    pub side: Side,
}

impl Columns<'_> {
    /// N.
    pub fn steps(&self) -> usize {
        self.returns_to_go.len()
    }

    /// Bytes of their copy on a device.
    pub fn bytes(&self) -> u64 {
        let actions = match self.actions {
            Actions::Numbers(numbers) => numbers.len(),
            Actions::Labels(labels) => labels.len(),
        };
        // Returns-to-go, and what `places` returns.
        4 * (self.observations.len() + actions + 3 * self.steps()) as u64
    }

    /// For each step, the end of its episode, and its timestep.
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
