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

/// What an experiment works on.
pub struct Opened {
    /// The trajectories.
    pub data: Dataset,
    /// The environment's description; where it is not registered, what the dataset says of it.
    pub spec: Spec,
    /// Why policies cannot be evaluated here, if so.
    pub unsimulated: Option<rtg_envs::Error>,
}

/// Opens the dataset and the environment of an experiment and checks them against each other.
///
/// A dataset of an environment that cannot be simulated here is fine: its policy can be trained.
///
/// # Errors
/// An environment that was asked for, is not the dataset's own and does not exist.
pub fn open(experiment: &Experiment) -> Result<Opened, Error> {
    let data = open_dataset(&experiment.dataset, Defects::Refuse)?;
    let (dataset, info) = (|| experiment.dataset.clone(), data.info());
    if data.steps() == 0 {
        return Err(Error::EmptyDataset { dataset: dataset() });
    }
    let env = experiment.env.clone().or_else(|| info.env_id.clone());
    let env = env.ok_or_else(|| Error::NoEnvironment { dataset: dataset() })?;
    let spec = match registry::spec(&env) {
        Err(_) if info.env_id.as_ref() == Some(&env) => Spec {
            id: env.clone(),
            observation_space: info.observation_space.clone(),
            action_space: info.action_space.clone(),
            max_episode_steps: info.max_episode_steps,
            reward_threshold: None,
            reference_returns: None,
        },
        spec => spec?,
    };
    for (what, expected, found) in [
        (
            "observation",
            &spec.observation_space,
            &info.observation_space,
        ),
        ("action", &spec.action_space, &info.action_space),
    ] {
        if !compatible(expected, found) {
            let (dataset, expected, found) = (dataset(), describe(expected), describe(found));
            return Err(Error::WrongEnvironment {
                dataset,
                env,
                what,
                expected,
                found,
            });
        }
    }
    let unsimulated = registry::make(&env).err();
    Ok(Opened {
        data,
        spec,
        unsimulated,
    })
}

/// Whether rows of one space can be read as rows of the other. Bounds and number types may differ:
/// a D4RL file does not know them.
fn compatible(expected: &Space, found: &Space) -> bool {
    match (expected, found) {
        (Space::Box(expected), Space::Box(found)) => expected.shape == found.shape,
        (expected, found) => expected == found,
    }
}
