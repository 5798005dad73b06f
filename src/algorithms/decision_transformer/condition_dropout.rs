//! Windows that are learned without their returns-to-go.
//!
//! A network whose condition is [`Condition::Nullable`] reads two numbers for each step: the
//! return-to-go and 0, or 0 and 1 where there is none. With a probability p all steps of a window
//! are without; which windows depends on the seed, the number of the batch and the window's row
//! alone.
//!
//! [`Condition::Nullable`]: rtg_kernels::decision_transformer::Condition::Nullable

use rtg_datasets::sample::Batch;

use super::learner;
use crate::random::{Stream, mix};
use rtg_kernels::decision_transformer::Windows;

/// The two numbers of a step without a return-to-go.
pub(super) const NULL: [f32; 2] = [0.0, 1.0];

/// The two numbers of a step's return-to-go.
pub(super) fn given(return_to_go: f32) -> [f32; 2] {
    [return_to_go, 0.0]
}

/// Draws the windows without returns-to-go.
pub(super) struct ConditionDropout {
    probability: f32,
    seed: u64,
    /// B x K x 2
    returns_to_go: Vec<f32>,
}

impl ConditionDropout {
    pub(super) fn new(probability: f32, seed: u64) -> Self {
        Self {
            probability,
            seed,
            returns_to_go: Vec::new(),
        }
    }

    /// The windows of a batch. In training, with the number of batches before it, some are without
    /// their returns-to-go.
    pub(super) fn windows<'a>(&'a mut self, batch: &'a Batch, before: Option<u64>) -> Windows<'a> {
        self.returns_to_go.clear();
        let rows = batch.returns_to_go.chunks(batch.context);
        let mut stream = before.map(|before| {
            let of_batch = mix(self.seed.wrapping_add(mix(before)));
            Stream::new(of_batch, "condition dropout")
        });
        for returns_to_go in rows {
            let drawn = stream.as_mut().map(Stream::uniform);
            let is_absent = drawn.is_some_and(|drawn| drawn < self.probability);
            let steps = (returns_to_go.iter())
                .flat_map(|value| if is_absent { NULL } else { given(*value) });
            self.returns_to_go.extend(steps);
        }
        Windows {
            returns_to_go: &self.returns_to_go,
            ..learner::windows(batch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_datasets::sample::Side;

    #[test]
    fn the_given_part_of_the_windows_is_without_returns_to_go_and_validation_has_all() {
        let (rows, context) = (64, 2);
        let steps = rows * context;
        let batch = Batch {
            rows,
            context,
            observations: vec![0.0; steps],
            actions: vec![0.0; steps],
            returns_to_go: (0..steps).map(|step| 1.0 + step as f32).collect(),
            timesteps: vec![0; steps],
            lengths: vec![context; rows],
            side: Side::Left,
            ..Batch::default()
        };
        let mut dropout = ConditionDropout::new(0.25, 7);
        let all = dropout.windows(&batch, None).returns_to_go.to_vec();
        let expected = batch.returns_to_go.iter().flat_map(|value| given(*value));
        assert!(all.iter().copied().eq(expected));
        let mut absent = 0;
        for before in 0..100 {
            let found = dropout.windows(&batch, Some(before)).returns_to_go;
            for (found, all) in found.chunks(4).zip(all.chunks(4)) {
                let is_absent = found == [NULL, NULL].concat();
                assert!(is_absent || found == all);
                absent += usize::from(is_absent);
            }
        }
        // 6400 windows: the standard deviation is 35.
        assert!((1450..1750).contains(&absent), "{absent}");
        let first = dropout.windows(&batch, Some(0)).returns_to_go.to_vec();
        let second = dropout.windows(&batch, Some(1)).returns_to_go.to_vec();
        assert_ne!(first, second);
        assert_eq!(first, dropout.windows(&batch, Some(0)).returns_to_go);
    }
}
