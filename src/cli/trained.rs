//! The policy of a run directory, for several commands.

use std::path::Path;

use clap::ValueEnum;
use rtg_envs::registry;

use crate::algorithms::Model;
use crate::checkpoint::Checkpoint;
use crate::data;
use crate::error::Error;
use crate::experiment::{Experiment, Returns, Target, Targets};
use crate::run::Run;
use crate::statistics::Interval;
use crate::train::{BEST, LATEST};

/// One of a run's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    Latest,
    Best,
}

/// A run's policy and its environment.
pub(super) struct Trained {
    pub(super) model: Box<dyn Model>,
    /// Environment id.
    pub(super) env: String,
    pub(super) plan: Experiment,
    /// Steps done.
    pub(super) step: u64,
    /// Whether the policy is conditioned on a target return.
    takes_target: bool,
}

impl Trained {
    /// The policy of the run at `path`, for acting in `env`, by default in the run's environment.
    pub(super) fn open(path: &Path, which: Which, env: Option<&str>) -> Result<Self, Error> {
        let (plan, checkpoint) = checkpoint(path, which)?;
        checkpoint.check_fits(&registry::spec(env.unwrap_or(&checkpoint.notes.env))?)?;
        Ok(Self {
            model: checkpoint.model()?,
            step: checkpoint.notes.progress.step,
            takes_target: checkpoint.notes.algorithm.card().takes_target,
            env: checkpoint.notes.env,
            plan,
        })
    }

    /// The target returns of its policy: those given, else the run's, and none if the policy takes
    /// none; and the range in which targets count for the calibration. The run's dataset is opened
    /// only if the targets depend on its returns.
    ///
    /// # Errors
    /// Targets for a policy that takes none, or a dataset that no longer exists.
    pub(super) fn targets(
        &self,
        given: Option<&[Target]>,
    ) -> Result<(Vec<f64>, Option<Interval>), Error> {
        let evaluation = &self.plan.evaluation;
        let targets = match given {
            Some(_) if !self.takes_target => return Err(Error::NoTarget),
            Some(targets) => Targets::new(targets.to_vec()),
            None if self.takes_target => evaluation.targets.clone().unwrap_or_default(),
            None => return Ok((Vec::new(), None)),
        };
        let range = match evaluation.range() {
            // A plan of a version that did not measure ranges.
            None if targets.follow_the_data() => Some(self.returns()?.range()),
            range => range,
        };
        let targets = targets.returns(range, || self.returns())?;
        Ok((targets, range))
    }

    /// The returns of the episodes that it learned from.
    fn returns(&self) -> Result<Returns, Error> {
        let opened = data::open(&self.plan)?;
        let data = opened.data.as_ref().map(Returns::of);
        data.ok_or(Error::NoReturns)
    }
}

/// The plan of the run at `path` and one of its checkpoints.
pub(super) fn checkpoint(path: &Path, which: Which) -> Result<(Experiment, Checkpoint), Error> {
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
    Ok((plan, Checkpoint::load(&checkpoint)?))
}
