//! What the network reads of returns-to-go.

use rtg_datasets::sample::Batch;

use super::condition_dropout::ConditionDropout;
use super::config::ModelConfig;
use super::learner;
use super::preprocessing::Preprocessing;
use rtg_kernels::decision_transformer::{LossTargets, Windows, bins};

/// From the returns-to-go of a batch to the network's numbers.
pub(super) enum ReturnEncoding {
    /// The returns-to-go themselves, divided by their scale.
    Scaled,
    /// Two numbers each, of which the second says that there is none.
    Nullable(ConditionDropout),
    /// The numbers of their bins.
    Binned(BinEncoder),
}

impl ReturnEncoding {
    pub(super) fn new(config: &ModelConfig, preprocessing: &Preprocessing, seed: u64) -> Self {
        if config.condition_dropout > 0.0 {
            return Self::Nullable(ConditionDropout::new(config.condition_dropout, seed));
        }
        match config.return_bins {
            0 => Self::Scaled,
            bins => Self::Binned(BinEncoder {
                bins,
                range: config.return_bin_range.unwrap_or_default(),
                scale: preprocessing.return_scale,
                numbers: Vec::new(),
            }),
        }
    }

    /// A batch as the network reads it. In training, `before` is the number of batches before it.
    pub(super) fn windows<'a>(&'a mut self, batch: &'a Batch, before: Option<u64>) -> Windows<'a> {
        match self {
            Self::Scaled => learner::windows(batch),
            Self::Nullable(dropout) => dropout.windows(batch, before),
            Self::Binned(encoder) => encoder.windows(batch),
        }
    }
}

/// Replaces returns-to-go by the numbers of their bins.
pub(super) struct BinEncoder {
    bins: usize,
    /// In the environment's units.
    range: [f64; 2],
    /// What a batch's returns-to-go were divided by.
    scale: f64,
    /// B x K
    numbers: Vec<f32>,
}

impl BinEncoder {
    fn windows<'a>(&'a mut self, batch: &'a Batch) -> Windows<'a> {
        let bound = |end: f64| end / self.scale;
        let range = self.range.map(bound);
        self.numbers.clear();
        let found = batch.returns_to_go.iter();
        self.numbers.extend(found.map(|return_to_go| {
            let bin = bins::of(f64::from(*return_to_go), range, self.bins);
            bins::number(bin, self.bins)
        }));
        let windows = learner::windows(batch);
        Windows {
            returns_to_go: &self.numbers,
            targets: LossTargets {
                returns_to_go: &batch.returns_to_go,
                ..windows.targets
            },
            ..windows
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_become_the_numbers_of_their_bins_in_the_units_of_the_environment() {
        let batch = Batch {
            rows: 1,
            context: 4,
            returns_to_go: vec![-1.0, 0.0, 0.49, 3.0],
            ..Batch::default()
        };
        let mut encoder = BinEncoder {
            bins: 4,
            range: [0.0, 200.0],
            scale: 100.0,
            numbers: Vec::new(),
        };
        let windows = encoder.windows(&batch);
        assert_eq!(windows.returns_to_go, [-0.75, -0.75, -0.75, 0.75]);
        assert_eq!(windows.targets.returns_to_go, batch.returns_to_go);
        encoder.range = [-100.0, 300.0];
        assert_eq!(
            encoder.windows(&batch).returns_to_go,
            [-0.75, -0.25, -0.25, 0.75]
        );
    }
}
