//! Metrics on the held-out episodes.

use crate::algorithms::{Learner, Needs, Source, ValidationBatch};
use crate::data::ExperimentData;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::metrics;
use crate::random::Stream;

/// The least number of rows of the held-out episodes over which a metric is the mean.
const ROWS: usize = 1024;

/// Fixed batches of the held-out episodes, the same at every evaluation; `None` if there are none.
pub(super) struct Validation(Vec<ValidationBatch>);

impl Validation {
    pub(super) fn new(
        experiment: &Experiment,
        needs: &Needs,
        opened: &ExperimentData,
    ) -> Result<Self, Error> {
        let Some(data) = &opened.validation else {
            return Ok(Self(Vec::new()));
        };
        let stream = Stream::new(experiment.seed, "validation");
        let mut source = Source::open(needs, data, stream, false)?;
        let count = ROWS.div_ceil(needs.rows());
        Ok(Self((0..count).map(|_| source.held_back()).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The means over the batches, under their metric names.
    pub(super) fn measure(&self, learner: &mut dyn Learner) -> Vec<(String, f64)> {
        let mut sums: Vec<(&'static str, f64)> = Vec::new();
        for batch in &self.0 {
            for (name, value) in learner.validate(batch) {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => sums.push((name, value)),
                }
            }
        }
        let count = self.0.len() as f64;
        let means = sums.into_iter();
        means
            .map(|(name, sum)| (metrics::validation(name), sum / count))
            .collect()
    }
}
