//! Opens the dataset and the environment of an experiment.

use std::path::{Path, PathBuf};

use rtg_datasets::recording::{RecordedEpisode, Recording, Source};
use rtg_datasets::select::{self, Selection};
use rtg_datasets::store::{self, StoreMode};
use rtg_datasets::{Contents, Dataset, Defects, EnvSpec};
use rtg_envs::{Space, Spec, registry};

use crate::builtin;
use crate::error::{Error, describe};
use crate::experiment::{Experiment, NONE};

/// Opens a dataset: `builtin/<env>/<kind>`, a Minari id, or the path of a Minari or D4RL file.
/// `defects` says whether broken episodes are refused or kept, `mode` where the numbers are.
pub fn open_dataset(id: &str, defects: Defects, mode: StoreMode) -> Result<Dataset, Error> {
    if id.starts_with(builtin::PREFIX) {
        return builtin::make(id, builtin::SEED);
    }
    Ok(store::open_as(id, None, defects, mode)?)
}

/// Opens a dataset for conversion: everything stored, episode by episode.
pub fn open_source(id: &str) -> Result<Box<dyn Source>, Error> {
    if id.starts_with(builtin::PREFIX) {
        let data = builtin::make(id, builtin::SEED)?;
        return Ok(Box::new(InMemory::new(data)));
    }
    Ok(rtg_datasets::open_source(id, None, Contents::Everything)?)
}

/// A dataset in memory as a source of a conversion.
pub fn in_memory(data: Dataset) -> impl Source {
    InMemory::new(data)
}

/// See [`in_memory`].
struct InMemory {
    data: Dataset,
    recording: Recording,
    /// Its id, for messages.
    path: PathBuf,
    next: usize,
}

impl InMemory {
    fn new(data: Dataset) -> Self {
        let info = data.info();
        let spec = info.env_spec.as_ref().map(EnvSpec::environment);
        let spec = spec.and_then(|env| EnvSpec::of(&env).ok());
        let mut recording = Recording::new(
            &info.id,
            info.observation_space.clone(),
            info.action_space.clone(),
        )
        .with("description", info.provenance.as_str());
        if let Some(spec) = spec {
            recording = recording.with_env_spec(&spec);
        }
        recording.total_episodes = Some(data.episodes());
        recording.total_steps = Some(data.steps());
        Self {
            path: PathBuf::from(&data.info().id),
            data,
            recording,
            next: 0,
        }
    }
}

impl Source for InMemory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, rtg_datasets::Error> {
        if self.next == self.data.episodes() {
            return Ok(None);
        }
        let episode = self.data.episode(self.next).to_owned();
        self.next += 1;
        RecordedEpisode::of(&episode, &self.recording).map(Some)
    }
}

/// The data of an experiment.
pub struct ExperimentData {
    /// The trajectories to learn from; none for an online algorithm that starts with none.
    pub data: Option<Dataset>,
    /// The validation part, where the selection has one.
    pub validation: Option<Dataset>,
    /// The environment's description; where it is not registered, by the dataset.
    pub spec: Spec,
    /// Why policies cannot be evaluated here, if so.
    pub unsimulated: Option<String>,
}

/// The environment in which a dataset was recorded, options and wrappers included, and why it
/// cannot be simulated here, if so.
pub fn environment(data: &Dataset) -> Option<(String, Option<String>)> {
    let env = data.info().env_spec.as_ref()?.environment();
    let reason = registry::make(&env).err().map(|error| error.to_string());
    Some((env, reason))
}

/// Opens the dataset and the environment of an experiment, applies the plan's selection, and checks
/// the two against each other. Reward that is delayed in one is delayed in the other.
///
/// The environment is the one that the dataset was recorded in, with its options, time limit and
/// wrappers, or the one that the plan names. If the dataset names none, if it cannot be simulated
/// here, or if the plan says [`NONE`], an offline algorithm trains its policy without evaluation.
///
/// # Errors
/// An environment that the plan names, differs from the dataset's own and does not exist.
pub fn open(experiment: &Experiment) -> Result<ExperimentData, Error> {
    let Some(dataset) = &experiment.dataset else {
        return open_env(experiment);
    };
    let data = mixture(dataset, experiment)?;
    let dataset = || dataset.clone();
    if data.steps() == 0 {
        return Err(Error::EmptyDataset { dataset: dataset() });
    }
    let own = data.info().env_spec.as_ref().map(EnvSpec::environment);
    let mut env = (experiment.env.clone())
        .or_else(|| own.clone())
        .unwrap_or_else(|| NONE.to_owned());
    if experiment.selection.delayed_rewards && !registry::is_delayed(&env) {
        env.insert_str(0, registry::DELAYED);
    }
    let selection = Selection {
        delayed_rewards: registry::is_delayed(&env),
        ..experiment.selection.clone()
    };
    let validation = data.select_validation(&selection)?;
    let data = data.select(&selection)?;
    let info = data.info();
    let is_own = own.as_deref() == Some(registry::undelayed(&env));
    let spec = match registry::spec(&env) {
        Err(_) if is_own || registry::undelayed(&env) == NONE => Spec {
            id: env.clone(),
            observation_space: info.observation_space.clone(),
            action_space: info.action_space.clone(),
            max_episode_steps: (info.max_episode_steps).filter(|&limit| limit <= registry::LONGEST),
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
    if experiment.is_online() {
        registry::make(&env)?;
    }
    let unsimulated = if registry::undelayed(&env) != NONE {
        registry::make(&env).err().map(|error| error.to_string())
    } else if experiment.env.is_some() {
        Some("the plan says env = none".to_owned())
    } else {
        Some("the dataset names no environment; the key env names one".to_owned())
    };
    Ok(ExperimentData {
        data: Some(data),
        validation,
        spec,
        unsimulated,
    })
}

/// The environment of an experiment without a dataset; it must be one that can be simulated here.
fn open_env(experiment: &Experiment) -> Result<ExperimentData, Error> {
    let mut env = experiment.env.clone().ok_or(Error::MissingEnvironment)?;
    if experiment.selection.delayed_rewards && !registry::is_delayed(&env) {
        env.insert_str(0, registry::DELAYED);
    }
    let spec = registry::spec(&env)?;
    registry::make(&env)?;
    Ok(ExperimentData {
        data: None,
        validation: None,
        spec,
        unsimulated: None,
    })
}

/// All datasets of an experiment, one after the other.
fn mixture(first: &str, experiment: &Experiment) -> Result<Dataset, Error> {
    let open = |id: &str| open_dataset(id, Defects::Refuse, experiment.store);
    let first = open(first)?;
    if experiment.mix.is_empty() {
        return Ok(first);
    }
    let mut parts = vec![(first, 1.0)];
    for part in &experiment.mix {
        let data = open(&part.dataset)?;
        parts.push((data, part.weight));
    }
    Ok(select::mix(&parts)?)
}

/// Whether rows of one space can be read as rows of the other. Bounds and number types may differ:
/// a D4RL file does not know them.
fn compatible(expected: &Space, found: &Space) -> bool {
    match (expected, found) {
        (Space::Box(expected), Space::Box(found)) => expected.shape == found.shape,
        (expected, found) => expected == found,
    }
}
