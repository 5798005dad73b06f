//! The input of a learner: batches of a dataset, or its own steps in an environment.

use rtg_datasets::sample::{ReturnsToGo, TransitionConfig};

use super::interaction::Interacting;
use super::rollouts::Rollouts;
use crate::algorithms::{
    Error as AlgorithmError, Interaction, Learner, LearnerState, Needs, Source, Update,
};
use crate::checkpoint::{Checkpoint, Progress};
use crate::data::ExperimentData;
use crate::device::Device;
use crate::error::Error;
use crate::experiment::{Experiment, OnlineConfig};

/// The input of a learner.
pub(super) enum LearnerInput {
    /// Batches of a dataset.
    Dataset(Box<Source>),
    /// Its own steps.
    Environment(Box<Interacting>),
    /// Its own episodes, in windows.
    Rollouts(Box<Rollouts>),
}

/// The result of an advance.
pub(super) struct Advance {
    /// Steps taken: updates, or environment steps of an online run.
    pub(super) steps: u64,
    /// The metrics of updates and ended episodes.
    pub(super) reports: Vec<Update>,
}

impl LearnerInput {
    /// Continues from `progress`, with the state of an online run from `checkpoint`.
    pub(super) fn open(
        experiment: &Experiment,
        learner: &dyn Learner,
        opened: &ExperimentData,
        (progress, checkpoint): (&Progress, Option<&Checkpoint>),
    ) -> Result<Self, Error> {
        if let Some(config) = &experiment.trajectories {
            let at = (progress, checkpoint);
            let rollouts = Rollouts::open(experiment, config, learner, opened, at)?;
            return Ok(Self::Rollouts(Box::new(rollouts)));
        }
        let needs = match &experiment.from {
            Some(_) => in_environment(learner.needs(), experiment.online.as_ref()),
            None => learner.needs(),
        };
        if let Needs::Environment(_) | Needs::Fresh(_) = needs {
            let at = (progress, checkpoint);
            let interacting = Interacting::open(experiment, needs, learner, opened, at)?;
            return Ok(Self::Environment(Box::new(interacting)));
        }
        let data = opened.data.as_ref().ok_or(AlgorithmError::NoData)?;
        // A GPU draws its own windows.
        let ahead = !matches!(experiment.device, Device::Cuda(_));
        let source = Source::open(&needs, data, progress.sampler.clone(), ahead)?;
        Ok(Self::Dataset(Box::new(source)))
    }

    pub(super) fn source(&self) -> &Source {
        match self {
            Self::Dataset(source) => source,
            Self::Environment(interacting) => interacting.source(),
            Self::Rollouts(rollouts) => rollouts.source(),
        }
    }

    /// Takes at least one step and at most `most`.
    pub(super) fn advance(
        &mut self,
        learner: &mut dyn Learner,
        most: u64,
    ) -> Result<Advance, Error> {
        match self {
            Self::Dataset(source) => {
                let reports = learner.update(source, most)?;
                Ok(Advance {
                    steps: reports.len() as u64,
                    reports,
                })
            }
            Self::Environment(interacting) => interacting.advance(learner, most),
            Self::Rollouts(rollouts) => rollouts.advance(learner, most),
        }
    }

    /// The checkpoint's content besides the learner and the random stream of the batches.
    pub(super) fn state(&self) -> Result<LearnerState, Error> {
        match self {
            Self::Dataset(_) => Ok(LearnerState::default()),
            Self::Environment(interacting) => interacting.state(),
            Self::Rollouts(rollouts) => rollouts.state(),
        }
    }
}

/// The needs of a learner that continues from another run: its transitions are collected, and
/// updates begin with the first step.
fn in_environment<'a>(needs: Needs<'a>, online: Option<&OnlineConfig>) -> Needs<'a> {
    match (needs, online) {
        (
            Needs::Transitions {
                config,
                normaliser,
                rows,
            },
            Some(online),
        ) => Needs::Environment(Interaction {
            // Steps of its own have no return yet, and those of the dataset lose it with them.
            transitions: TransitionConfig {
                returns_to_go: ReturnsToGo::Off,
                ..config
            },
            normaliser: normaliser.cloned(),
            rows,
            dataset_rows: online.dataset_rows(rows),
            environments: online.environments,
            capacity: online.capacity,
            learning_starts: 0,
            random_steps: 0,
            action_noise: None,
            update_every: online.update_every,
            updates: online.updates,
        }),
        (Needs::Environment(interaction), _) => Needs::Environment(Interaction {
            learning_starts: 0,
            random_steps: 0,
            ..interaction
        }),
        (other, _) => other,
    }
}
