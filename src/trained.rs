//! The policy of a run directory, for commands and other programs.

use std::path::{Path, PathBuf};

use rtg_envs::{Spec, registry};

use crate::algorithms::Model;
use crate::checkpoint::Checkpoint;
use crate::data;
use crate::error::Error;
use crate::experiment::{Experiment, Returns, Target, Targets};
use crate::labels;
use crate::run::Run;
use crate::statistics::Interval;
use crate::train::{BEST, LATEST};

/// One of a run's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Latest,
    /// The one with the largest return for the run's first target.
    Best,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Latest, Self::Best];

    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Best => "best",
        }
    }
}

/// A run's policy and its environment.
pub struct TrainedPolicy {
    /// The policy.
    pub model: Box<dyn Model>,
    /// Environment id.
    pub env: String,
    /// The plan of the run.
    pub plan: Experiment,
    /// The name of its algorithm.
    pub algorithm: &'static str,
    /// Steps done.
    pub step: u64,
    /// Whether the policy is conditioned on a target return.
    pub takes_target: bool,
    /// The run directory.
    path: PathBuf,
}

impl TrainedPolicy {
    /// The policy of the run at `path`, for acting in `env`, by default in the run's environment.
    ///
    /// # Errors
    /// No such run or checkpoint, a damaged one, or an environment that is not registered or that
    /// the policy was not made for.
    pub fn open(path: &Path, which: Which, env: Option<&str>) -> Result<Self, Error> {
        let (plan, checkpoint) = checkpoint(path, which)?;
        checkpoint.check_fits(&registry::spec(env.unwrap_or(&checkpoint.notes.env))?)?;
        Self::of(path, plan, checkpoint)
    }

    /// The policy of the run at `path` and the description of its environment, which may be one
    /// that is not registered: then the run's dataset describes it.
    ///
    /// # Errors
    /// As [`TrainedPolicy::open`], or a dataset that no longer exists.
    pub fn describe(path: &Path, which: Which) -> Result<(Self, Spec), Error> {
        let (plan, checkpoint) = checkpoint(path, which)?;
        let spec = match registry::spec(&checkpoint.notes.env) {
            Err(_) if plan.dataset.is_some() => data::open(&plan)?.spec,
            spec => spec?,
        };
        checkpoint.check_fits(&spec)?;
        Ok((Self::of(path, plan, checkpoint)?, spec))
    }

    fn of(path: &Path, plan: Experiment, checkpoint: Checkpoint) -> Result<Self, Error> {
        let card = checkpoint.notes.algorithm.card();
        Ok(Self {
            model: checkpoint.model()?,
            step: checkpoint.notes.progress.step,
            algorithm: card.name,
            takes_target: plan.takes_target(),
            env: checkpoint.notes.env,
            plan,
            path: path.to_owned(),
        })
    }

    /// The same policy, whose actions follow its target by another factor if one is given.
    ///
    /// # Errors
    /// A policy that has learned no actions without a target.
    pub fn guided(self, guidance: Option<f32>) -> Result<Self, Error> {
        let Some(guidance) = guidance else {
            return Ok(self);
        };
        let model = self.model.guided(guidance).ok_or(Error::NotGuided)?;
        Ok(Self { model, ..self })
    }

    /// The same policy, which acts with another optimism if one is given.
    ///
    /// # Errors
    /// A policy that predicts no distribution of returns.
    pub fn optimistic(self, optimism: Option<f32>) -> Result<Self, Error> {
        let Some(optimism) = optimism else {
            return Ok(self);
        };
        let model = self.model.optimistic(optimism).ok_or(Error::NoBins)?;
        Ok(Self { model, ..self })
    }

    /// The target returns of its policy: those given, else the run's, and none if the policy takes
    /// none; and the range in which targets count for the calibration. The run's dataset is opened
    /// only if the targets depend on its returns.
    ///
    /// # Errors
    /// Targets for a policy that takes none, or a dataset that no longer exists.
    pub fn targets(&self, given: Option<&[Target]>) -> Result<(Vec<f64>, Option<Interval>), Error> {
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
        Ok((targets, range.filter(|_| self.plan.targets_are_returns())))
    }

    /// The returns of the episodes that it learned from, or their labels.
    fn returns(&self) -> Result<Returns, Error> {
        let stored = labels::stored(&self.path);
        let opened = labels::open(&self.plan, stored.as_deref())?;
        let data = opened.data.as_ref().map(Returns::of);
        data.ok_or(Error::NoReturns)
    }
}

/// The plan of the run at `path` and one of its checkpoints.
///
/// # Errors
/// No such run or checkpoint, or a damaged one.
pub fn checkpoint(path: &Path, which: Which) -> Result<(Experiment, Checkpoint), Error> {
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
