//! The plan of one run: the recipe's values, then the experiment file, then the command line.
//!
//! Layers are merged as TOML tables before anything is parsed, so a file holds only what differs,
//! and a key that nobody knows is an error with the nearest known ones. What depends on the data
//! (targets, return scale, ...) is filled in by [`Experiment::resolve`] once the dataset is open; the
//! resolved plan is written into the run directory.

use std::path::PathBuf;

use rtg_datasets::Dataset;
use rtg_envs::Spec;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::algorithms::decision_transformer::config::{ModelConfig, OptimiserConfig, Recipe};
use crate::kernels::Precision;

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Minari id, path of a file, or `builtin/<env>/<kind>`.
    pub dataset: String,
    /// Environment id for evaluation. Default: the dataset's.
    pub env: Option<String>,
    /// Whose conventions and default values.
    pub recipe: Recipe,
    /// Optimiser steps.
    pub steps: u64,
    /// The one seed: initialisation, sampling, dropout and, with an offset, evaluation.
    pub seed: u64,
    /// Threads of the engine; the same number gives the same bits.
    pub threads: usize,
    /// What computes: `cpu`.
    pub device: Device,
    /// Weights to start from: a safetensors file with the recipe's names.
    pub initial_weights: Option<PathBuf>,
    /// Write `checkpoints/latest` every this many steps (and at every evaluation and at the end).
    pub checkpoint_every: u64,
    /// The network.
    pub model: ModelConfig,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// Evaluation in the environment while training and at the end.
    pub evaluation: EvaluationConfig,
    /// Metrics.
    pub logging: LoggingConfig,
}

/// Where a run computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The CPU engine.
    Cpu,
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

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The file is not TOML.
    #[error("not a TOML file: {0}")]
    Syntax(String),
    /// A key that no plan has.
    #[error("unknown key '{key}'")]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// Keys with similar names.
        nearest: Vec<String>,
    },
    /// A value of the wrong type.
    #[error("wrong value: {0}")]
    WrongType(String),
    /// A value that makes no sense.
    #[error("'{key}' is {value}: {reason}")]
    Invalid {
        /// The key with its tables.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
    /// A run that is continued with another plan than it began with.
    #[error("the run was made with {key} = {before}, not {now}")]
    OtherPlan {
        /// The key that differs.
        key: String,
        /// The run's value.
        before: String,
        /// The value given now.
        now: String,
    },
    /// `--set` without `=`.
    #[error("'--set {0}' has no value")]
    NoValue(String),
}

impl ExperimentError {
    /// The way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } if nearest.is_empty() => Some(
                "`rtg train --help` names the tables; ARCHITECTURE.md lists every key".to_owned(),
            ),
            Self::UnknownKey { nearest, .. } => {
                Some(format!("did you mean {}?", nearest.join(" or ")))
            }
            Self::NoValue(key) => Some(format!("write --set {key}=VALUE")),
            Self::Syntax(_) => {
                Some("strings need quotes: dataset = \"builtin/cartpole/mixed\"".to_owned())
            }
            Self::OtherPlan { .. } => Some(
                "continue without that option, or start a new run in another --run-dir".to_owned(),
            ),
            Self::WrongType(_) => Some(
                "experiment.toml of any run shows every key with a value of its type".to_owned(),
            ),
            Self::Invalid { key, .. } => {
                Some(format!("change it in the file or with --set {key}=VALUE"))
            }
        }
    }
}

impl Experiment {
    /// What `rtg train` does when nothing else is said.
    pub fn of(recipe: Recipe) -> Self {
        Self {
            dataset: "builtin/cartpole/mixed".to_owned(),
            env: None,
            recipe,
            steps: 1000,
            seed: 0,
            threads: all_cores(),
            device: Device::Cpu,
            initial_weights: None,
            checkpoint_every: 1000,
            model: ModelConfig::of(recipe),
            optimiser: OptimiserConfig::default(),
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
        let recipe = match layers.iter().rev().find_map(|layer| layer.get("recipe")) {
            Some(value) => value
                .clone()
                .try_into()
                .map_err(|error| wrong_type(&error))?,
            None => Recipe::Corl,
        };
        let mut merged = table(&Self::of(recipe))?;
        let known = known_keys()?;
        for layer in layers {
            check_keys(layer, "", &known)?;
            merge(&mut merged, layer.clone());
        }
        let experiment: Self = Value::Table(merged)
            .try_into()
            .map_err(|error| wrong_type(&error))?;
        experiment.validate()?;
        Ok(experiment)
    }

    /// The text of an experiment file as a layer.
    pub fn parse_layer(text: &str) -> Result<Table, ExperimentError> {
        text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text
                .bytes()
                .take(before)
                .filter(|&byte| byte == b'\n')
                .count();
            ExperimentError::Syntax(format!("{} in line {line}", error.message()))
        })
    }

    /// One `--set key=value` as a layer. A value that is not TOML is a string.
    pub fn parse_setting(setting: &str) -> Result<Table, ExperimentError> {
        let Some((key, text)) = setting.split_once('=') else {
            return Err(ExperimentError::NoValue(setting.to_owned()));
        };
        let value = format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| Value::String(text.to_owned()));
        let mut parts: Vec<&str> = key.trim().split('.').collect();
        let mut layer = Table::new();
        layer.insert(parts.pop().unwrap_or_default().to_owned(), value);
        for part in parts.into_iter().rev() {
            layer = Table::from_iter([(part.to_owned(), Value::Table(layer))]);
        }
        Ok(layer)
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
        self.env = Some(spec.id.clone());
        self
    }

    /// The plan as the text of a file.
    pub fn to_toml(&self) -> Result<String, ExperimentError> {
        toml::to_string(self).map_err(|error| ExperimentError::WrongType(error.to_string()))
    }

    /// Refuses to continue a run under another plan. More steps than before are fine.
    pub fn continues(&self, before: &Self) -> Result<(), ExperimentError> {
        let (mut old, new) = (table(before)?, table(self)?);
        if self.steps >= before.steps {
            old.insert("steps".to_owned(), Value::Integer(self.steps as i64));
        }
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

    fn validate(&self) -> Result<(), ExperimentError> {
        let (model, optimiser) = (&self.model, &self.optimiser);
        let positive = |key, value: usize| match value {
            0 => Err(invalid(key, &0, "it must be at least 1")),
            _ => Ok(()),
        };
        positive("threads", self.threads)?;
        positive("checkpoint_every", self.checkpoint_every as usize)?;
        positive("logging.every", self.logging.every as usize)?;
        positive("evaluation.episodes", self.evaluation.episodes)?;
        positive("evaluation.final_episodes", self.evaluation.final_episodes)?;
        positive("model.context", model.context)?;
        positive("model.width", model.width)?;
        positive("model.layers", model.layers)?;
        positive("model.heads", model.heads)?;
        positive("optimiser.batch_size", optimiser.batch_size)?;
        positive("optimiser.accumulation", optimiser.accumulation)?;
        positive("model.episode_length", model.episode_length.unwrap_or(1))?;
        check_heads(model.width, model.heads)?;
        check_precision(model.precision)?;
        for (key, value) in [
            ("model.attention_dropout", model.attention_dropout),
            ("model.residual_dropout", model.residual_dropout),
            ("model.embedding_dropout", model.embedding_dropout),
        ] {
            check_dropout(key, value)?;
        }
        let numbers = [
            (
                "optimiser.learning_rate",
                optimiser.learning_rate,
                f64::MIN_POSITIVE..f64::MAX,
            ),
            (
                "optimiser.epsilon",
                optimiser.epsilon,
                f64::MIN_POSITIVE..f64::MAX,
            ),
            (
                "optimiser.weight_decay",
                optimiser.weight_decay,
                0.0..f64::MAX,
            ),
            (
                "optimiser.gradient_clip",
                optimiser.gradient_clip,
                0.0..f64::MAX,
            ),
            ("optimiser.beta_1", optimiser.beta_1, 0.0..1.0),
            ("optimiser.beta_2", optimiser.beta_2, 0.0..1.0),
            (
                "model.return_scale",
                model.return_scale.unwrap_or(1.0),
                f64::MIN_POSITIVE..f64::MAX,
            ),
        ];
        for (key, value, range) in numbers {
            if !range.contains(&value) {
                return Err(invalid(
                    key,
                    &value,
                    "it is outside the range that makes sense",
                ));
            }
        }
        match &self.evaluation.targets {
            Some(targets)
                if targets.is_empty() || targets.iter().any(|target| !target.is_finite()) =>
            {
                Err(invalid(
                    "evaluation.targets",
                    &format!("{targets:?}"),
                    "it must list finite returns",
                ))
            }
            _ => Ok(()),
        }
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

/// Attention heads must divide the width.
pub fn check_heads(width: usize, heads: usize) -> Result<(), ExperimentError> {
    if width.is_multiple_of(heads) {
        Ok(())
    } else {
        Err(invalid("model.heads", &heads, "it must divide the width"))
    }
}

/// Not every CPU multiplies bfloat16 numbers.
pub fn check_precision(precision: Precision) -> Result<(), ExperimentError> {
    if precision.is_available() {
        Ok(())
    } else {
        let value = format!("{precision:?}").to_lowercase();
        Err(invalid(
            "model.precision",
            &value,
            "this CPU has no AVX512-BF16; f32 works everywhere",
        ))
    }
}

/// A dropout probability is in [0, 1).
pub fn check_dropout(key: &'static str, value: f32) -> Result<(), ExperimentError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(invalid(
            key,
            &value,
            "it must be at least 0 and less than 1",
        ))
    }
}

fn invalid(key: &'static str, value: &impl ToString, reason: &'static str) -> ExperimentError {
    ExperimentError::Invalid {
        key,
        value: value.to_string(),
        reason,
    }
}

fn wrong_type(error: &toml::de::Error) -> ExperimentError {
    ExperimentError::WrongType(error.to_string().trim().replace('\n', " "))
}

fn table(experiment: &Experiment) -> Result<Table, ExperimentError> {
    Table::try_from(experiment).map_err(|error| ExperimentError::WrongType(error.to_string()))
}

/// A plan with every optional key present: what keys there are.
fn known_keys() -> Result<Table, ExperimentError> {
    let mut full = Experiment::of(Recipe::Corl);
    full.env = Some(String::new());
    full.initial_weights = Some(PathBuf::new());
    full.model.return_scale = Some(1.0);
    full.model.episode_length = Some(1);
    full.optimiser.warmup_steps = Some(0);
    full.evaluation.every = Some(0);
    full.evaluation.targets = Some(vec![0.0]);
    table(&full)
}

/// Refuses the first key of `layer` that is not in `known`.
fn check_keys(layer: &Table, prefix: &str, known: &Table) -> Result<(), ExperimentError> {
    for (key, value) in layer {
        let path = format!("{prefix}{key}");
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(inner)) => {
                check_keys(inner, &format!("{path}."), known)?;
            }
            (Some(_), _) => {}
            (None, _) => {
                let nearest = nearest_keys(&path, known, prefix)?;
                return Err(ExperimentError::UnknownKey { key: path, nearest });
            }
        }
    }
    Ok(())
}

/// Names like `path`: those of the same table where one is close, else any key.
fn nearest_keys(path: &str, table: &Table, prefix: &str) -> Result<Vec<String>, ExperimentError> {
    let siblings: Vec<String> = table.keys().map(|key| format!("{prefix}{key}")).collect();
    let all = all_keys(&known_keys()?, "");
    let candidates = siblings.iter().chain(&all).map(String::as_str);
    let mut nearest = rtg_envs::registry::nearest(path, candidates);
    nearest.dedup();
    Ok(nearest)
}

fn all_keys(known: &Table, prefix: &str) -> Vec<String> {
    (known.iter())
        .flat_map(|(key, value)| match value {
            Value::Table(inner) => all_keys(inner, &format!("{prefix}{key}.")),
            _ => vec![format!("{prefix}{key}")],
        })
        .collect()
}

fn merge(base: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(inner)) => merge(base, inner),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
