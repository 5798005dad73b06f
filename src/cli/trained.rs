//! What several commands take: a run directory, of which they want the policy.

use std::path::Path;

use clap::ValueEnum;
use rtg_envs::registry;

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
    /// Steps done.
    pub(super) step: u64,
    /// Whether the policy is asked for a return.
    takes_target: bool,
}

impl Trained {
    /// The policy of the run at `path`, to act in `env`, or where it was trained.
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

    /// The target returns to ask its policy for: those given, else the run's, and none where the
    /// policy takes none.
    ///
    /// # Errors
    /// Targets given for a policy that takes none.
    pub(super) fn targets(&self, given: Option<&[f64]>) -> Result<Vec<f64>, Error> {
        let takes_target = self.takes_target;
        match given {
            Some(_) if !takes_target => Err(Error::NoTarget),
            Some(targets) => Ok(targets.to_vec()),
            None if takes_target => Ok(self.plan.evaluation.targets.clone().unwrap_or_default()),
            None => Ok(Vec::new()),
        }
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
