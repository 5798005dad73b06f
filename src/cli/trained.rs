//! What several commands take: a run directory, of which they want the policy.

use std::path::Path;

use clap::ValueEnum;

use crate::algorithms::Model;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::run::Run;
use crate::train::{BEST, LATEST};

/// Which of a run's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    Latest,
    Best,
}

/// A run's policy and where it belongs.
pub(super) struct Trained {
    pub(super) model: Box<dyn Model>,
    /// Environment id.
    pub(super) env: String,
    pub(super) plan: Experiment,
    /// Optimiser steps done.
    pub(super) step: u64,
}

impl Trained {
    pub(super) fn open(path: &Path, which: Which) -> Result<Self, Error> {
        let run = Run::open(path)?;
        let plan = Experiment::from_layers(&[Experiment::parse_layer(&run.experiment()?)?])?;
        let checkpoint = run.checkpoints().join(match which {
            Which::Latest => LATEST,
            Which::Best => BEST,
        });
        if !checkpoint.exists() {
            return Err(Error::NoCheckpoint {
                path: path.to_owned(),
            });
        }
        let checkpoint = Checkpoint::load(&checkpoint)?;
        Ok(Self {
            model: checkpoint.model()?,
            step: checkpoint.notes.progress.step,
            env: checkpoint.notes.env,
            plan,
        })
    }
}
