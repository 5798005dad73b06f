//! The complete state of a run, in one safetensors file.
//!
//! Weights have the names of the published PyTorch code; everything else is named `rtg.*` or stored
//! as JSON in the file's metadata under `rtg`: the algorithm, the description of its model, its
//! counters and random streams, and the state of the training loop. The file appears whole or not
//! at all.

mod form;
mod former;
mod progress;
mod replay;
mod trajectories;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rtg_datasets::{free_memory, hash_of};
use rtg_envs::Spec;
use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::algorithms::{AlgorithmRef, Learner, LearnerState, Model, Saved};
use crate::error::Error;
use crate::export::hugging_face;
use crate::nn::state_dict::{self, Entry, StateDictError};
use crate::run;

use self::form::Form;
pub use self::progress::{Curve, Progress};
pub use self::replay::replay_entries;
pub use self::trajectories::trajectory_entries;

const NOTES: &str = "rtg";
/// Bytes of a safetensors file that hold the length of its header.
const HEADER_LENGTH: u64 = 8;
/// Raised when older versions could not read the file.
const FORMAT: u32 = 2;

/// The metadata of a checkpoint, next to its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    format: u32,
    /// How the policy is learned.
    pub algorithm: AlgorithmRef,
    /// The recipe.
    pub recipe: String,
    /// The environment it was made for.
    pub env: String,
    /// The description of the model.
    made_of: Value,
    /// The learner's counters and random streams.
    learner: Value,
    /// The state of the training loop.
    pub progress: Progress,
    /// The state of the interaction of an online run; null in an offline one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub interaction: Value,
}

/// The format of the metadata.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What a checkpoint is for.
#[derive(Clone, Copy)]
pub struct Header<'a> {
    /// How the policy is learned.
    pub algorithm: AlgorithmRef,
    /// The recipe.
    pub recipe: &'a str,
    /// The environment.
    pub env: &'a str,
}

/// A checkpoint read from a file.
pub struct Checkpoint {
    /// Its metadata.
    pub notes: Notes,
    form: Form,
    bytes: Vec<u8>,
    path: PathBuf,
}

/// A run's state at one step, independent of what the run does next.
pub struct TrainingState {
    notes: Notes,
    entries: Vec<Entry>,
}

impl TrainingState {
    /// A copy of the present state.
    pub fn of(
        header: Header,
        learner: &dyn Learner,
        progress: &Progress,
        interaction: LearnerState,
    ) -> Self {
        let model = learner.model();
        let state = learner.state();
        let mut entries = model.weights();
        entries.extend(state.tensors);
        entries.extend(interaction.tensors);
        let notes = Notes {
            format: FORMAT,
            algorithm: header.algorithm,
            recipe: header.recipe.to_owned(),
            env: header.env.to_owned(),
            made_of: model.made_of(),
            learner: state.notes,
            progress: progress.clone(),
            interaction: interaction.notes,
        };
        Self { notes, entries }
    }

    /// The state of the training loop.
    pub fn progress(&mut self) -> &mut Progress {
        &mut self.notes.progress
    }

    /// Writes a checkpoint, whole or not at all.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let notes = serde_json::to_string(&self.notes)
            .map_err(|error| damaged(path, &error.to_string()))?;
        write(path, &self.entries, &[(NOTES.to_owned(), notes)])
    }
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is not a checkpoint, is damaged or is of a later format.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::of(read(path)?, path)
    }

    /// Parses the bytes of a checkpoint file.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn of(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let unreadable = |error| weights_error(path, StateDictError::Unreadable(error));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
        let notes = (metadata.metadata().as_ref())
            .and_then(|texts| texts.get(NOTES))
            .ok_or_else(|| damaged(path, "it has only weights"))?;
        let unclear = |error: serde_json::Error| damaged(path, &error.to_string());
        let notes = match serde_json::from_str(notes).map_err(unclear)? {
            Format { format: FORMAT } => serde_json::from_str(notes).map_err(unclear)?,
            Format { format: 1 } => former::upgrade(notes).map_err(unclear)?,
            Format { format } => {
                let reason = format!("it has format {format}, this version reads up to {FORMAT}");
                return Err(damaged(path, &reason));
            }
        };
        SafeTensors::deserialize(&bytes).map_err(unreadable)?;
        let form = Form::of(&notes).map_err(|reason| damaged(path, &reason))?;
        Ok(Self {
            notes,
            form,
            bytes,
            path: path.to_owned(),
        })
    }

    /// Refuses an environment whose observations or actions the model was not made for.
    ///
    /// # Errors
    /// Names the environment, and the spaces that the model was made for.
    pub fn check_fits(&self, spec: &Spec) -> Result<(), Error> {
        let checked = self.form.check_fits(spec);
        checked.map_err(|made_for| Error::OtherSpaces {
            env: spec.id.clone(),
            made_for,
            path: self.path.clone(),
        })
    }

    /// A hash of the model's description and of all tensors: that of another run that computed the
    /// same bits is the same.
    pub fn hash(&self) -> String {
        let header = self
            .bytes
            .first_chunk()
            .map_or(0, |length| u64::from_le_bytes(*length));
        let begin = usize::try_from(HEADER_LENGTH + header).unwrap_or(usize::MAX);
        let tensors = self.bytes.get(begin..).unwrap_or_default();
        hash_of(&[self.notes.made_of.to_string().as_bytes(), tensors])
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The model, for acting.
    ///
    /// # Errors
    /// Weights or metadata that do not fit.
    pub fn model(&self) -> Result<Box<dyn Model>, Error> {
        self.with_saved(|saved| self.notes.algorithm.model(saved))
    }

    /// Builds a value from a learner's saved state.
    ///
    /// # Errors
    /// Those of `build`, with the path of this file where its content is the cause.
    pub fn with_saved<T>(
        &self,
        build: impl FnOnce(&Saved) -> Result<T, crate::algorithms::Error>,
    ) -> Result<T, Error> {
        let tensors = SafeTensors::deserialize(&self.bytes)
            .map_err(|error| weights_error(&self.path, StateDictError::Unreadable(error)))?;
        let saved = Saved {
            recipe: &self.notes.recipe,
            made_of: &self.notes.made_of,
            notes: &self.notes.learner,
            tensors: &tensors,
            step: self.notes.progress.step,
        };
        build(&saved).map_err(|error| match error {
            crate::algorithms::Error::Weights(source) => weights_error(&self.path, source),
            crate::algorithms::Error::Notes(reason) => damaged(&self.path, &reason),
            other => other.into(),
        })
    }
}

/// The state that only an online run has.
impl Checkpoint {
    /// The metadata of its interaction.
    ///
    /// # Errors
    /// A checkpoint of an offline run.
    pub fn interaction<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.notes.interaction).map_err(|error| self.damaged(&error.to_string()))
    }

    /// A float32 tensor.
    ///
    /// # Errors
    /// There is no tensor of that name.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, Error> {
        let file = SafeTensors::deserialize(&self.bytes).ok();
        let values = file.and_then(|file| {
            let view = file.tensor(name).ok()?;
            Some(state_dict::floats(view.data()))
        });
        values.ok_or_else(|| weights_error(&self.path, StateDictError::Missing(name.to_owned())))
    }

    /// A float64 tensor.
    ///
    /// # Errors
    /// There is no tensor of that name and type.
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>, Error> {
        let file = SafeTensors::deserialize(&self.bytes).ok();
        let values = file.and_then(|file| {
            let view = file.tensor(name).ok()?;
            let numbers = view.data().as_chunks::<8>().0.iter();
            let numbers = numbers.map(|bytes| f64::from_le_bytes(*bytes));
            (view.dtype() == safetensors::Dtype::F64).then(|| numbers.collect())
        });
        values.ok_or_else(|| weights_error(&self.path, StateDictError::Missing(name.to_owned())))
    }

    /// The error of a checkpoint whose content contradicts itself.
    pub fn damaged(&self, reason: &str) -> Error {
        damaged(&self.path, reason)
    }
}

/// The bytes of a learner's complete state, by which learners are compared.
///
/// # Errors
/// Values that a file cannot hold.
pub fn content(learner: &dyn Learner) -> Result<Vec<u8>, Error> {
    let LearnerState { tensors, notes } = learner.state();
    let entries = [learner.model().weights(), tensors].concat();
    let path = Path::new("a checkpoint");
    state_dict::serialise(&entries, &[(NOTES.to_owned(), notes.to_string())])
        .map_err(|error| weights_error(path, error.into()))
}

/// Writes the weights alone, with the buffers that a strict `load_state_dict` requires.
///
/// # Errors
/// Those of the operating system.
pub fn export(learner: &dyn Learner, path: &Path) -> Result<(), Error> {
    write(path, &learner.exported(), &[])
}

/// Replaces a learner's weights by those of a PyTorch state dict, or of a folder of Hugging Face's
/// `DecisionTransformerModel`.
///
/// # Errors
/// A file that cannot be read or holds another model's weights.
pub fn load_weights(learner: &mut dyn Learner, path: &Path) -> Result<(), Error> {
    let bytes = if path.is_dir() {
        let content = read(&path.join(hugging_face::WEIGHTS))?;
        let computation = learner.model().computation();
        hugging_face::read(path, &content, computation.as_ref())?
    } else {
        read(path)?
    };
    SafeTensors::deserialize(&bytes)
        .map_err(StateDictError::Unreadable)
        .and_then(|file| learner.load_weights(&file))
        .map_err(|source| weights_error(path, source))
}

fn write(path: &Path, entries: &[Entry], metadata: &[(String, String)]) -> Result<(), Error> {
    let bytes = state_dict::serialise(entries, metadata)
        .map_err(|error| weights_error(path, error.into()))?;
    Ok(run::write_whole(path, |file| file.write_all(&bytes))?)
}

/// The bytes of a safetensors file; of one that contradicts its own header, only the header.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let content = || {
        let mut file = run::open_file(path)?;
        let size = file.metadata()?.len();
        let mut bytes = Vec::new();
        (&mut file).take(HEADER_LENGTH).read_to_end(&mut bytes)?;
        let length = bytes
            .first_chunk()
            .map(|length| u64::from_le_bytes(*length));
        if length.is_none_or(|length| length == 0 || length > size) {
            return Ok(bytes);
        }
        if let Some(free) = free_memory().filter(|&free| size > free) {
            let what = format!("{size} bytes, but only {free} are free");
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, what));
        }
        file.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    content().map_err(|source| Error::Read {
        source,
        path: path.to_owned(),
    })
}

fn weights_error(path: &Path, source: StateDictError) -> Error {
    Error::Weights {
        source,
        path: path.to_owned(),
    }
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::NotACheckpoint {
        reason: reason.to_owned(),
        path: path.to_owned(),
    }
}
