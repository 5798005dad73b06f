//! What a learner is fed with: batches of a dataset.

use crate::algorithms::{Learner, Needs, Source, State, Update};
use crate::checkpoint::Progress;
use crate::data::Opened;
use crate::device::Device;
use crate::error::Error;
use crate::experiment::Experiment;

/// What a learner is fed with.
pub(super) enum Feed {
    /// Batches of a dataset.
    Dataset(Source),
}

impl Feed {
    /// Goes on where `progress` stands.
    pub(super) fn open(
        experiment: &Experiment,
        needs: &Needs,
        opened: &Opened,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let data = opened
            .data
            .as_ref()
            .ok_or(crate::algorithms::Error::NoData)?;
        // A GPU draws its own windows.
        let ahead = !matches!(experiment.device, Device::Cuda(_));
        let source = Source::open(needs, data, progress.sampler.clone(), ahead)?;
        Ok(Self::Dataset(source))
    }

    pub(super) fn source(&self) -> &Source {
        match self {
            Self::Dataset(source) => source,
        }
    }

    /// Takes at least one step and at most `most`: how many, and what the updates report.
    pub(super) fn advance(
        &mut self,
        learner: &mut dyn Learner,
        most: u64,
    ) -> Result<(u64, Vec<Update>), Error> {
        match self {
            Self::Dataset(source) => {
                let updates = learner.update(source, most)?;
                Ok((updates.len() as u64, updates))
            }
        }
    }

    /// What a checkpoint holds beside the learner and the random stream of the batches.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Dataset(_) => State::default(),
        }
    }
}
