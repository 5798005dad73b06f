//! The plan of one run: the recipe's values, then the experiment file, then the command line.
//!
//! Layers are merged as TOML tables before anything is parsed, so a file holds only what differs,
//! and a key that nobody knows is an error with the nearest known ones. What depends on the data
//! (targets, return scale, ...) is filled in by [`Experiment::resolve`] once the dataset is open; the
//! resolved plan is written into the run directory.

mod device;
mod error;
mod layers;
mod validate;

use std::path::PathBuf;

use rtg_datasets::Dataset;
use rtg_datasets::select::{Selection, TopBy};
use rtg_datasets::store::StoreMode;
use rtg_envs::{Spec, registry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use self::error::wrong_type;
use self::layers::{all_keys, check_keys, merge, table};
use crate::algorithms::Algorithm;
use crate::algorithms::bc::config::{self as bc, BcConfig};
use crate::algorithms::decision_transformer::config::{ModelConfig, OptimiserConfig, Recipe};

pub use self::device::Device;
pub use self::error::ExperimentError;
pub use self::validate::{check_dropout, check_heads, check_precision};

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Minari id, path of a file, or `builtin/<env>/<kind>`.
    pub dataset: String,
    /// Further datasets, each with the weight of its steps beside those of `dataset`, which weigh 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix: Vec<MixPart>,
    /// Environment id for evaluation. Default: the dataset's. `delayed/ID` pays all of an episode's
    /// reward with its last step, in the environment and in the data; so does
    /// `selection.delayed_rewards`, and either sets the other.
    pub env: Option<String>,
    /// How the policy is learned: `decision_transformer`, or `bc` for behaviour cloning, which with a
    /// `selection.top_fraction` is %BC.
    pub algorithm: Algorithm,
    /// Whose conventions and default values.
    pub recipe: Recipe,
    /// Optimiser steps.
    pub steps: u64,
    /// The one seed: initialisation, sampling, dropout and, with an offset, evaluation.
    pub seed: u64,
    /// Threads of the engine; the same number gives the same bits.
    pub threads: usize,
    /// What computes: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU where one answers. May change at a resume.
    pub device: Device,
    /// Weights to start from: a safetensors file with the recipe's names.
    pub initial_weights: Option<PathBuf>,
    /// Write `checkpoints/latest` every this many steps (and at every evaluation and at the end).
    pub checkpoint_every: u64,
    /// Which of the episodes are used, and how.
    #[serde(default)]
    pub selection: Selection,
    /// Where the numbers of the dataset are: `memory`, `mapped` (from a store on disk, for what memory
    /// cannot hold), or `auto`: mapped if they would take more than half of the free memory.
    #[serde(default)]
    pub store: StoreMode,
    /// The Decision Transformer's network.
    pub model: ModelConfig,
    /// The network of behaviour cloning.
    pub bc: BcConfig,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// Evaluation in the environment while training and at the end.
    pub evaluation: EvaluationConfig,
    /// Metrics.
    pub logging: LoggingConfig,
}

/// A further dataset of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixPart {
    /// Minari id, path of a file, or `builtin/<env>/<kind>`.
    pub dataset: String,
    /// How much likelier one of its steps is drawn than one of the first dataset.
    pub weight: f64,
}

/// When and how a run is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Steps between evaluations; 0: only at the end. Default: a fifth of the run.
    pub every: Option<u64>,
    /// Episodes for each target while training.
    pub episodes: usize,
    /// Episodes for each target after the last step.
    pub final_episodes: usize,
    /// Target returns, the first decides which checkpoint is best. Default: the recipe's for a known
    /// environment, else the data's largest return and its mean.
    pub targets: Option<Vec<f64>>,
    /// Seed of the first evaluation episode's start (CORL's `eval_seed`: 42).
    pub seed: u64,
}

/// What is logged how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggingConfig {
    /// Steps between two points of the training curves.
    pub every: u64,
    /// Steps between histograms of weights and gradients; 0: none.
    pub histograms_every: u64,
}

impl Experiment {
    /// What `rtg train` does when nothing else is said.
    pub fn of(algorithm: Algorithm, recipe: Recipe) -> Self {
        Self {
            dataset: "builtin/cartpole/mixed".to_owned(),
            mix: Vec::new(),
            env: None,
            algorithm,
            recipe,
            steps: 1000,
            seed: 0,
            threads: all_cores(),
            device: Device::Cpu,
            initial_weights: None,
            checkpoint_every: 1000,
            selection: Selection::default(),
            store: StoreMode::default(),
            model: ModelConfig::of(recipe),
            bc: BcConfig::of(recipe),
            optimiser: match algorithm {
                Algorithm::DecisionTransformer => OptimiserConfig::default(),
                Algorithm::Bc => bc::optimiser(recipe),
            },
            evaluation: EvaluationConfig {
                every: None,
                episodes: 10,
                final_episodes: 100,
                targets: None,
                seed: 42,
            },
            logging: LoggingConfig {
                every: 20,
                histograms_every: 200,
            },
        }
    }

    /// Merges the layers, later ones over earlier ones, onto the recipe they name.
    ///
    /// # Errors
    /// Unknown keys, values of a wrong type, values that make no sense.
    pub fn from_layers(layers: &[Table]) -> Result<Self, ExperimentError> {
        let recipe = last(layers, "recipe")?.unwrap_or(Recipe::Corl);
        let algorithm = last(layers, "algorithm")?.unwrap_or_default();
        let mut merged = table(&Self::of(algorithm, recipe))?;
        let known = known_keys(algorithm)?;
        for layer in layers {
            check_keys(layer, "", &known, &known)?;
            merge(&mut merged, layer.clone());
        }
        let experiment: Self = Value::Table(merged)
            .try_into()
            .map_err(|error| wrong_type(&error))?;
        experiment.validate()?;
        Ok(experiment)
    }

    /// Fills in what the data decide, so that the plan says everything.
    #[must_use]
    pub fn resolve(mut self, spec: &Spec, data: &Dataset) -> Self {
        let model = &mut self.model;
        model.return_scale = Some(model.return_scale_for(&spec.id, data));
        model.episode_length = Some(model.episode_length_for(spec, data));
        self.optimiser.warmup_steps = Some(self.optimiser.warmup(self.steps));
        self.evaluation.every = Some(self.evaluation.every_for(self.steps));
        self.evaluation.targets = Some(self.evaluation.targets_for(&spec.id, data));
        if self.algorithm == Algorithm::Bc {
            // It takes no target: one evaluation says all.
            self.evaluation.targets = Some(vec![0.0]);
        }
        self.env = Some(spec.id.clone());
        self.selection.delayed_rewards = registry::is_delayed(&spec.id);
        self
    }

    /// The plan as the text of a file, without the tables of other algorithms.
    pub fn to_toml(&self) -> Result<String, ExperimentError> {
        toml::to_string(&self.plan()?)
            .map_err(|error| ExperimentError::WrongType(error.to_string()))
    }

    fn plan(&self) -> Result<Table, ExperimentError> {
        let mut plan = table(self)?;
        plan.retain(|key, _| !is_of_another(key, self.algorithm));
        Ok(plan)
    }

    /// Refuses to continue a run under another plan. More steps than before are fine.
    pub fn continues(&self, before: &Self) -> Result<(), ExperimentError> {
        let (mut old, new) = (before.plan()?, self.plan()?);
        if self.steps >= before.steps {
            old.insert("steps".to_owned(), Value::Integer(self.steps as i64));
        }
        // A checkpoint is the same on every device.
        old.extend(
            new.get("device")
                .map(|now| ("device".to_owned(), now.clone())),
        );
        let keys = all_keys(&old, "").into_iter().chain(all_keys(&new, ""));
        let shown = |table: &Table, key: &str| {
            let mut value = Some(Value::Table(table.clone()));
            for part in key.split('.') {
                value = value.and_then(|value| value.get(part).cloned());
            }
            value.map_or("(unset)".to_owned(), |value| value.to_string())
        };
        for key in keys {
            let (before, now) = (shown(&old, &key), shown(&new, &key));
            if before != now {
                return Err(ExperimentError::OtherPlan { key, before, now });
            }
        }
        Ok(())
    }
}

impl EvaluationConfig {
    /// Steps between evaluations in a run of `steps`; 0: only at the end.
    pub fn every_for(&self, steps: u64) -> u64 {
        self.every.unwrap_or(steps.div_ceil(5))
    }

    /// Target returns for this data, the one that decides first.
    pub fn targets_for(&self, env_id: &str, data: &Dataset) -> Vec<f64> {
        self.targets
            .clone()
            .or_else(|| Recipe::targets(env_id))
            .unwrap_or_else(|| {
                let summary = rtg_datasets::statistics::ReturnSummary::of(data);
                vec![summary.max.round(), summary.mean.round()]
            })
    }
}

/// Threads where nobody says how many.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the last layer that has this key says.
fn last<T: DeserializeOwned>(layers: &[Table], key: &str) -> Result<Option<T>, ExperimentError> {
    let value = layers.iter().rev().find_map(|layer| layer.get(key));
    value
        .map(|value| value.clone().try_into())
        .transpose()
        .map_err(|error| wrong_type(&error))
}

/// Whether a key of a plan is a table that another algorithm reads.
fn is_of_another(key: &str, algorithm: Algorithm) -> bool {
    (Algorithm::ALL.iter()).any(|&other| other != algorithm && other.table() == key)
}

/// A plan with every optional key present: what keys there are.
fn known_keys(algorithm: Algorithm) -> Result<Table, ExperimentError> {
    let mut full = Experiment::of(algorithm, Recipe::Corl);
    full.mix = vec![MixPart {
        dataset: String::new(),
        weight: 1.0,
    }];
    full.env = Some(String::new());
    full.selection = Selection {
        min_length: Some(1),
        max_length: Some(1),
        random_fraction: Some(1.0),
        top_fraction: Some(1.0),
        top_by: TopBy::default(),
        validation_fraction: Some(0.1),
        delayed_rewards: false,
        balance_returns: Some(1),
        seed: 0,
    };
    full.initial_weights = Some(PathBuf::new());
    full.model.return_scale = Some(1.0);
    full.model.episode_length = Some(1);
    full.optimiser.warmup_steps = Some(0);
    full.evaluation.every = Some(0);
    full.evaluation.targets = Some(vec![0.0]);
    let mut known = table(&full)?;
    known.retain(|key, _| !is_of_another(key, algorithm));
    Ok(known)
}
