//! The data of an experiment, with the labels of its plan.
//!
//! A run keeps its labels in [`FILE`], with hashes of the data and of the critic. It is resumed
//! from there, so the critic's run may be deleted or trained further; without the file, or with
//! that of other data, they are computed again, and only by the same critic.

use std::io::Write as _;
use std::path::Path;

use rtg_datasets::{Dataset, Labels, hash_of};
use rtg_envs::Spec;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::algorithms::labels::{LabelRule, LabelsConfig};
use crate::algorithms::{AlgorithmRef, Critic};
use crate::checkpoint::Checkpoint;
use crate::data::{self, ExperimentData};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::keys::KeyError;
use crate::nn::state_dict::{Entry, StateDictError, Values, serialise};
use crate::run::{self, Run};
use rtg_kernels::mlp::Pool;

/// The file of a run's labels, in its directory.
pub const FILE: &str = "labels.safetensors";
/// The checkpoint of a run whose critic is used.
const CRITIC: &str = "latest.safetensors";
const NOTES: &str = "rtg.labels";
const TRAINING: &str = "training";
const VALIDATION: &str = "validation";

/// Everything that labels follow from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Source {
    /// Hashes of the training and the validation part.
    training: String,
    validation: Option<String>,
    critic: String,
    rule: LabelRule,
    lambda: f64,
}

/// Opens the data of an experiment, with the labels of its plan. `stored` is the content of the
/// file of a run that continues.
///
/// # Errors
/// Those of [`data::open`]; a critic that was trained on other data, for other spaces, by an
/// algorithm without values of states, or another critic than the plan's.
pub fn open(planned: &Experiment, stored: Option<&[u8]>) -> Result<ExperimentData, Error> {
    let mut opened = data::open(planned)?;
    if let (Some(labels), Some(training)) = (&planned.labels, &opened.data) {
        let critic = labels.critic.as_deref().ok_or_else(missing_critic)?;
        let mut source = Source {
            training: training.hash(),
            validation: opened.validation.as_ref().map(Dataset::hash),
            critic: labels.critic_hash.clone().unwrap_or_default(),
            rule: labels.rule,
            lambda: labels.lambda,
        };
        let parts = [Some(training), opened.validation.as_ref()];
        let steps: Vec<usize> = parts.into_iter().flatten().map(Dataset::steps).collect();
        let found = stored.and_then(|bytes| read(bytes, &source));
        let found = found.filter(|found| found.iter().map(Vec::len).eq(steps));
        let found = match found {
            Some(found) => found,
            None => compute(planned, labels, critic, &mut source, &opened)?,
        };
        let parts = [opened.data.as_mut(), opened.validation.as_mut()];
        for (part, values) in parts.into_iter().flatten().zip(found) {
            part.set_labels(Labels::new(labels.kind(), values, &source.critic))?;
        }
    }
    Ok(opened)
}

fn missing_critic() -> KeyError {
    let expected = "a run of iql, discrete_iql, cql or discrete_cql on the same data";
    KeyError::new("labels.critic", "not given", expected)
}

/// The content of the file of a run directory, if there is one.
pub fn stored(run: &Path) -> Option<Vec<u8>> {
    std::fs::read(run.join(FILE)).ok()
}

/// Stores the labels of `opened` in a run directory; nothing where there are none.
///
/// # Errors
/// Those of the operating system.
pub fn store(run: &Run, planned: &Experiment, opened: &ExperimentData) -> Result<(), Error> {
    let (Some(config), Some(data)) = (&planned.labels, &opened.data) else {
        return Ok(());
    };
    let Some(labels) = data.labels() else {
        return Ok(());
    };
    let validation = opened.validation.as_ref();
    let source = Source {
        training: data.hash(),
        validation: validation.map(Dataset::hash),
        critic: labels.source().to_owned(),
        rule: config.rule,
        lambda: config.lambda,
    };
    let parts = [
        (TRAINING, Some(labels)),
        (VALIDATION, validation.and_then(Dataset::labels)),
    ];
    let entries: Vec<Entry> = (parts.into_iter())
        .filter_map(|(name, labels)| {
            let values = labels?.values().to_vec();
            Some(Entry {
                name: name.to_owned(),
                dimensions: vec![values.len()],
                values: Values::F64(values),
            })
        })
        .collect();
    let path = run.path().join(FILE);
    let notes = serde_json::to_string(&source).map_err(|error| Error::Write {
        source: error.into(),
        path: path.clone(),
    })?;
    let bytes = serialise(&entries, &[(NOTES.to_owned(), notes)]);
    let bytes = bytes.map_err(|source| Error::Weights {
        source: StateDictError::from(source),
        path: path.clone(),
    })?;
    Ok(run::write_whole(&path, |file| file.write_all(&bytes))?)
}

/// The stored labels of the parts, if they follow from this source.
fn read(bytes: &[u8], source: &Source) -> Option<Vec<Vec<f64>>> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let notes = metadata.metadata().as_ref()?.get(NOTES)?;
    if serde_json::from_str::<Source>(notes).ok()? != *source {
        return None;
    }
    let file = SafeTensors::deserialize(bytes).ok()?;
    let names = [
        Some(TRAINING),
        source.validation.as_ref().map(|_| VALIDATION),
    ];
    let part = |name: &str| {
        let (numbers, rest) = file.tensor(name).ok()?.data().as_chunks();
        let numbers = numbers.iter().map(|number| f64::from_le_bytes(*number));
        rest.is_empty().then(|| numbers.collect())
    };
    names.into_iter().flatten().map(part).collect()
}

/// The labels of the parts, from the critic of a run.
fn compute(
    planned: &Experiment,
    labels: &LabelsConfig,
    run: &Path,
    source: &mut Source,
    opened: &ExperimentData,
) -> Result<Vec<Vec<f64>>, Error> {
    let (mut critic, hash) = open_critic(run, &opened.spec, &source.training)?;
    if labels
        .critic_hash
        .as_ref()
        .is_some_and(|known| *known != hash)
    {
        let expected = format!("'{}', the hash of the critic in {}", hash, run.display());
        return Err(KeyError::new("labels.critic_hash", &source.critic, expected).into());
    }
    if labels.rule == LabelRule::Qdt && critic.reward.shift != 0.0 {
        let expected = "a run with reward_shift = 0: values of shifted rewards are not returns";
        return Err(KeyError::new("labels.critic", run.display(), expected).into());
    }
    source.critic = hash;
    let pool = Pool::new(planned.threads);
    let parts = [opened.data.as_ref(), opened.validation.as_ref()];
    let mut of = |part: &Dataset| {
        let episodes = part.iter();
        let labels = episodes.map(|episode| labels.of_episode(episode, &mut critic, &pool));
        labels.collect::<Vec<_>>().concat()
    };
    Ok(parts.into_iter().flatten().map(&mut of).collect())
}

/// The critic of a run that was trained on data of this hash, and its own hash.
fn open_critic(path: &Path, spec: &Spec, data: &str) -> Result<(Critic, String), Error> {
    let refused =
        |expected: String| Error::from(KeyError::new("labels.critic", path.display(), expected));
    let run = Run::open(path)?;
    let file = run.checkpoints().join(CRITIC);
    if !file.exists() {
        let path = path.to_owned();
        return Err(Error::NoCheckpoint { path });
    }
    let checkpoint = Checkpoint::load(&file)?;
    let plan = Experiment::parse_layer(&run.experiment()?)?;
    let notes = &checkpoint.notes;
    let critic = checkpoint.with_saved(|saved| notes.algorithm.critic(saved, &plan));
    let Some(critic) = critic? else {
        let of: AlgorithmRef = notes.algorithm;
        return Err(refused(format!(
            "a run of iql, discrete_iql, cql or discrete_cql; that is one of {of:?}"
        )));
    };
    checkpoint.check_fits(spec)?;
    if notes.progress.dataset.as_deref() != Some(data) {
        let found = notes.progress.dataset.as_deref().unwrap_or("unknown");
        return Err(refused(format!(
            "a run on the same data and selection, of hash {data:.12}; that one's is {found:.12}"
        )));
    }
    let numbers = [critic.discount, critic.reward.scale, critic.reward.shift];
    let numbers = numbers.map(f64::to_le_bytes);
    let hash = hash_of(&[checkpoint.hash().as_bytes(), numbers.as_flattened()]);
    Ok((critic, hash))
}
