//! Converts checkpoints of earlier formats to the current one.
//!
//! Format 1 named no algorithm: the description of the model was part of the metadata, under the
//! name of the algorithm's table.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Error, Map, Value};

use super::{Curve, FORMAT, Notes, Progress};
use crate::algorithms::AlgorithmRef;
use crate::random::Stream;
use crate::run::Evaluation;

#[derive(Deserialize)]
struct First {
    env: String,
    recipe: String,
    progress: FirstProgress,
    #[serde(flatten)]
    made_of: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstProgress {
    step: u64,
    sampler: Stream,
    train_seconds: f64,
    unlogged_losses: Vec<f64>,
    last_loss: f64,
    best_return: Option<f64>,
    evaluations: Vec<Evaluation>,
}

/// The metadata of format 1.
pub(super) fn upgrade(text: &str) -> Result<Notes, Error> {
    let First {
        env,
        recipe,
        progress,
        mut made_of,
    } = serde_json::from_str(text)?;
    made_of.remove("format");
    let algorithm = AlgorithmRef::all().find(|algorithm| {
        let card = algorithm.card();
        let former = card.former_tables.iter().map(|(before, _)| *before);
        former
            .chain([card.name])
            .any(|name| made_of.contains_key(name))
    });
    let algorithm = algorithm.ok_or_else(|| Error::custom("it is of an unknown algorithm"))?;
    let losses = &progress.unlogged_losses;
    let curve = Curve {
        name: "loss".to_owned(),
        averaged: true,
        sum: losses.iter().sum(),
        count: losses.len() as u64,
    };
    Ok(Notes {
        format: FORMAT,
        algorithm,
        recipe,
        env,
        made_of: Value::Object(made_of),
        learner: Value::Null,
        progress: Progress {
            step: progress.step,
            sampler: progress.sampler,
            train_seconds: progress.train_seconds,
            cpu_seconds: None,
            curves: (curve.count > 0).then_some(curve).into_iter().collect(),
            last_loss: progress.last_loss,
            best_return: progress.best_return,
            evaluations: progress.evaluations,
            dataset: None,
        },
        interaction: Value::Null,
    })
}
