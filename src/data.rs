//! Opening what an experiment names: its dataset and the environment that fits it.

use rtg_datasets::{Dataset, Defects};
use rtg_envs::{Space, Spec, registry};

use crate::builtin;
use crate::error::{Error, describe};
use crate::experiment::Experiment;

/// Opens a dataset: `builtin/<env>/<kind>`, a Minari id, or the path of a Minari or D4RL file.
/// `defects` says whether broken episodes are refused or kept for a look.
pub fn open_dataset(id: &str, defects: Defects) -> Result<Dataset, Error> {
    if id.starts_with(builtin::PREFIX) {
        return builtin::make(id, builtin::SEED);
    }
    Ok(rtg_datasets::open_with(id, None, defects)?)
}

/// The environment and the dataset of an experiment, checked against each other.
pub fn open(experiment: &Experiment) -> Result<(Spec, Dataset), Error> {
    if let Some(env) = &experiment.env {
        registry::spec(env)?;
    }
    let data = open_dataset(&experiment.dataset, Defects::Refuse)?;
    let dataset = || experiment.dataset.clone();
    let env = experiment
        .env
        .clone()
        .or_else(|| data.info().env_id.clone());
    let env = env.ok_or_else(|| Error::NoEnvironment { dataset: dataset() })?;
    let spec = registry::spec(&env)?;
    let info = data.info();
    for (what, expected, found) in [
        (
            "observation",
            &spec.observation_space,
            &info.observation_space,
        ),
        ("action", &spec.action_space, &info.action_space),
    ] {
        if !compatible(expected, found) {
            let (expected, found) = (describe(expected), describe(found));
            return Err(Error::WrongEnvironment {
                dataset: dataset(),
                env,
                what,
                expected,
                found,
            });
        }
    }
    if data.steps() == 0 {
        return Err(Error::EmptyDataset { dataset: dataset() });
    }
    Ok((spec, data))
}

/// Whether rows of one space can be read as rows of the other. Bounds and number types may differ:
/// a D4RL file does not know them.
fn compatible(expected: &Space, found: &Space) -> bool {
    match (expected, found) {
        (Space::Box(expected), Space::Box(found)) => expected.shape == found.shape,
        (expected, found) => expected == found,
    }
}
