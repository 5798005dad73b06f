//! All that a run continues from, in one safetensors file.
//!
//! Weights stand under the names of the recipe's PyTorch code; what only rtg needs is named `rtg.*`
//! (the optimiser's moments) or lies as JSON in the file's metadata under `rtg` (step, random
//! streams, normaliser, evaluations). The file appears whole or not at all.

use std::io::Write;
use std::path::Path;

use rtg_datasets::statistics::Normaliser;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::algorithms::bc::{self, config::BcConfig};
use crate::algorithms::decision_transformer::config::{ModelConfig, Recipe};
use crate::algorithms::decision_transformer::preprocessing::{ActionCodec, Preprocessing};
use crate::algorithms::decision_transformer::{self, shape};
use crate::algorithms::{Model, Moments};
use crate::error::Error;
use crate::kernels::Layout;
use crate::nn::state_dict::{self, Entry, StateDictError, Values};
use crate::random::Stream;
use crate::run::{self, Evaluation};

const FIRST_MOMENT: &str = "rtg.first_moment";
const SECOND_MOMENT: &str = "rtg.second_moment";
const NOTES: &str = "rtg";
/// Raised when older programs could not read the file.
const FORMAT: u32 = 1;

/// A run between two steps.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The policy's side.
    pub model: Model,
    /// The optimiser's side.
    pub moments: Moments,
    /// The loop's side.
    pub progress: Progress,
}

/// Where the training loop stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// Where the next windows come from.
    pub sampler: Stream,
    /// Seconds spent in training steps.
    pub train_seconds: f64,
    /// Losses since the last point of the curve.
    pub unlogged_losses: Vec<f64>,
    /// Loss of the last point of the curve.
    pub last_loss: f64,
    /// Largest mean return for the first target so far.
    pub best_return: Option<f64>,
    /// Every evaluation so far.
    pub evaluations: Vec<Evaluation>,
}

#[derive(Serialize, Deserialize)]
struct Notes {
    format: u32,
    env: String,
    recipe: Recipe,
    #[serde(flatten)]
    made_of: MadeOf,
    progress: Progress,
}

/// A model without its weights; the fields tell the algorithm.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MadeOf {
    DecisionTransformer {
        model: ModelConfig,
        preprocessing: Preprocessing,
    },
    Bc {
        bc: BcConfig,
        normaliser: Normaliser,
        actions: ActionCodec,
    },
}

impl MadeOf {
    fn of(model: &Model) -> (Recipe, Self) {
        match model {
            Model::DecisionTransformer(model) => {
                let made_of = Self::DecisionTransformer {
                    model: model.config.clone(),
                    preprocessing: model.preprocessing.clone(),
                };
                (model.recipe, made_of)
            }
            Model::Bc(model) => {
                let made_of = Self::Bc {
                    bc: model.config.clone(),
                    normaliser: model.normaliser.clone(),
                    actions: model.actions.clone(),
                };
                (model.recipe, made_of)
            }
        }
    }

    /// The model, still without weights.
    fn model(self, recipe: Recipe) -> Model {
        match self {
            Self::DecisionTransformer {
                model,
                preprocessing,
            } => Model::DecisionTransformer(decision_transformer::Model {
                recipe,
                shape: shape(recipe, &model, &preprocessing),
                config: model,
                parameters: Vec::new(),
                untrained: Vec::new(),
                preprocessing,
            }),
            Self::Bc {
                bc,
                normaliser,
                actions,
            } => Model::Bc(bc::Model::empty(recipe, bc, normaliser, actions)),
        }
    }
}

impl Checkpoint {
    /// Before the first step of a run with this seed.
    pub fn fresh(model: Model, seed: u64) -> Self {
        let zeros = vec![0.0; model.parameters().len()];
        let progress = Progress {
            step: 0,
            sampler: Stream::new(seed, "sampler"),
            train_seconds: 0.0,
            unlogged_losses: Vec::new(),
            last_loss: 0.0,
            best_return: None,
            evaluations: Vec::new(),
        };
        let moments = Moments {
            first: zeros.clone(),
            second: zeros,
        };
        Self {
            model,
            moments,
            progress,
        }
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path, env: &str) -> Result<(), Error> {
        let mut entries = weights(&self.model);
        for (name, values) in [
            (FIRST_MOMENT, &self.moments.first),
            (SECOND_MOMENT, &self.moments.second),
        ] {
            entries.push(Entry {
                name: name.to_owned(),
                dimensions: vec![values.len()],
                values: Values::F32(values.clone()),
            });
        }
        let (recipe, made_of) = MadeOf::of(&self.model);
        let notes = Notes {
            format: FORMAT,
            env: env.to_owned(),
            recipe,
            made_of,
            progress: self.progress.clone(),
        };
        let notes =
            serde_json::to_string(&notes).map_err(|error| damaged(path, &error.to_string()))?;
        write(path, &entries, &[(NOTES.to_owned(), notes)])
    }

    /// Reads a checkpoint and the environment it was made for.
    pub fn load(path: &Path) -> Result<(Self, String), Error> {
        let bytes = read(path)?;
        let weights_error = |source| Error::Weights {
            source,
            path: path.to_owned(),
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| weights_error(StateDictError::Unreadable(error)))?;
        let notes = (metadata.metadata().as_ref())
            .and_then(|texts| texts.get(NOTES))
            .ok_or_else(|| damaged(path, "it has weights alone"))?;
        let notes: Notes =
            serde_json::from_str(notes).map_err(|error| damaged(path, &error.to_string()))?;
        if notes.format != FORMAT {
            return Err(damaged(
                path,
                &format!("format {}, this program reads {FORMAT}", notes.format),
            ));
        }
        let mut model = notes.made_of.model(notes.recipe);
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| weights_error(StateDictError::Unreadable(error)))?;
        read_weights(&mut model, &file).map_err(weights_error)?;
        let moment = |name: &str| {
            let values = file
                .tensor(name)
                .map(|view| state_dict::floats(view.data()))
                .unwrap_or_default();
            if values.len() == model.parameters().len() {
                Ok(values)
            } else {
                Err(weights_error(StateDictError::Missing(name.to_owned())))
            }
        };
        let moments = Moments {
            first: moment(FIRST_MOMENT)?,
            second: moment(SECOND_MOMENT)?,
        };
        Ok((
            Self {
                model,
                moments,
                progress: notes.progress,
            },
            notes.env,
        ))
    }
}

/// Writes the weights alone, with the buffers that a strict `load_state_dict` asks for.
pub fn export(model: &Model, path: &Path) -> Result<(), Error> {
    let mut entries = weights(model);
    if let Model::DecisionTransformer(model) = model {
        entries.extend(state_dict::buffers(model.recipe.naming(), &model.shape));
    }
    write(path, &entries, &[])
}

/// Replaces a model's weights by those of a PyTorch state dict.
pub fn load_weights(model: &mut Model, path: &Path) -> Result<(), Error> {
    let bytes = read(path)?;
    SafeTensors::deserialize(&bytes)
        .map_err(StateDictError::Unreadable)
        .and_then(|file| read_weights(model, &file))
        .map_err(|source| Error::Weights {
            source,
            path: path.to_owned(),
        })
}

fn weights(model: &Model) -> Vec<Entry> {
    match model {
        Model::DecisionTransformer(model) => {
            let layout = Layout::new(&model.shape);
            let naming = model.recipe.naming();
            let mut entries = state_dict::export(naming, &layout, &model.parameters);
            entries.extend(model.untrained.iter().cloned());
            entries
        }
        Model::Bc(model) => {
            state_dict::export_mlp(model.recipe.naming(), &model.network, &model.parameters)
        }
    }
}

fn read_weights(model: &mut Model, file: &SafeTensors) -> Result<(), StateDictError> {
    match model {
        Model::DecisionTransformer(model) => {
            let layout = Layout::new(&model.shape);
            let naming = model.recipe.naming();
            let mut parameters = vec![0.0; layout.len()];
            model.untrained =
                state_dict::import(naming, &model.shape, &layout, file, &mut parameters)?;
            model.parameters = parameters;
        }
        Model::Bc(model) => {
            model.parameters = state_dict::import_mlp(model.recipe.naming(), &model.network, file)?;
        }
    }
    Ok(())
}

fn write(path: &Path, entries: &[Entry], metadata: &[(String, String)]) -> Result<(), Error> {
    let bytes = state_dict::serialise(entries, metadata).map_err(|error| Error::Weights {
        source: error.into(),
        path: path.to_owned(),
    })?;
    Ok(run::write_whole(path, |file| file.write_all(&bytes))?)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        source,
        path: path.to_owned(),
    })
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::NotACheckpoint {
        reason: reason.to_owned(),
        path: path.to_owned(),
    }
}
