//! The run that another one continues from, in the environment.

use std::path::Path;

use rtg_envs::Spec;

use super::LATEST;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::keys::{KeyError, Table, Value};
use crate::run::Run;

/// The keys that a plan takes over from the run that it continues from: all but its length, its
/// intervals and the source of its own weights.
///
/// # Errors
/// No run there, one whose plan cannot be read, or one of another algorithm or recipe than in
/// `asked`.
pub fn inherited(run: &Path, asked: &[Table]) -> Result<Table, Error> {
    let mut plan = Experiment::parse_layer(&Run::open(run)?.experiment()?)?;
    for key in ["algorithm", "recipe"] {
        let asked = asked.iter().rev().find_map(|layer| layer.get(key));
        if let (Some(asked), Some(found)) = (asked, plan.get(key))
            && asked != found
        {
            let expected = format!("a run whose {key} is {asked}; there it is {found}");
            return Err(KeyError::new("from", run.display(), expected).into());
        }
    }
    for key in ["steps", "checkpoint_every", "initial_weights", "from"] {
        plan.remove(key);
    }
    if let Some(Value::Table(evaluation)) = plan.get_mut("evaluation") {
        evaluation.remove("every");
    }
    Ok(plan)
}

/// The last checkpoint of the run that `experiment` continues from.
///
/// # Errors
/// A run without a checkpoint, of another algorithm or recipe, or made for other spaces.
pub(super) fn open(run: &Path, experiment: &Experiment, spec: &Spec) -> Result<Checkpoint, Error> {
    let path = Run::open(run)?.checkpoints().join(LATEST);
    if !path.exists() {
        return Err(Error::NoCheckpoint {
            path: run.to_owned(),
        });
    }
    let checkpoint = Checkpoint::load(&path)?;
    let notes = &checkpoint.notes;
    if notes.algorithm != experiment.algorithm || notes.recipe != experiment.recipe {
        let expected = format!(
            "a run of {:?} ({}); that is one of {:?} ({})",
            experiment.algorithm, experiment.recipe, notes.algorithm, notes.recipe
        );
        return Err(KeyError::new("from", run.display(), expected).into());
    }
    checkpoint.check_fits(spec)?;
    Ok(checkpoint)
}
