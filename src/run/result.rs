//! The result of a run, in `summary.json`.

use serde::{Deserialize, Serialize};

use crate::metrics::{
    EVAL_CALIBRATION_ERROR, EVAL_CALIBRATION_INTERCEPT, EVAL_CALIBRATION_SLOPE,
    EVAL_CALIBRATION_SPEARMAN, EVAL_CALIBRATION_WITHIN, EVAL_LENGTH_MEAN, EVAL_RETURN_MEAN,
    EVAL_RETURN_STD, EVAL_SCORE, for_target, number,
};
use crate::statistics::{Calibration, Interval, TargetResult};

/// One evaluation of one target return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimiser steps done before it.
    pub step: u64,
    /// Target return; `None` for a policy that takes no target.
    #[serde(with = "number::option")]
    pub target: Option<f64>,
    /// Mean undiscounted return over the episodes.
    #[serde(with = "number")]
    pub return_mean: f64,
    /// Standard deviation of the returns over the episodes.
    #[serde(with = "number")]
    pub return_std: f64,
    /// Mean number of environment steps of an episode.
    #[serde(with = "number")]
    pub length_mean: f64,
    /// Normalised score of the mean return (0 random, 100 expert), where the environment has
    /// reference returns.
    #[serde(with = "number::option")]
    pub score: Option<f64>,
    /// Return of each episode.
    #[serde(with = "number::list")]
    pub returns: Vec<f64>,
}

impl Evaluation {
    /// The evaluation as named metrics, for the recorder.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        [
            (EVAL_RETURN_MEAN, Some(self.return_mean)),
            (EVAL_RETURN_STD, Some(self.return_std)),
            (EVAL_LENGTH_MEAN, Some(self.length_mean)),
            (EVAL_SCORE, self.score),
        ]
        .into_iter()
        .filter_map(|(metric, value)| Some((for_target(metric, self.target), value?)))
        .collect()
    }
}

/// How well the returns of one evaluation agree with its targets, over those within `range`; none
/// for a policy that takes no target.
pub fn calibration<'a>(
    range: Option<Interval>,
    evaluations: impl IntoIterator<Item = &'a Evaluation>,
) -> Option<Calibration> {
    let reached = evaluations.into_iter().filter_map(|evaluation| {
        Some(TargetResult {
            asked: evaluation.target?,
            mean: evaluation.return_mean,
            episodes: &evaluation.returns,
        })
    });
    Calibration::of(range?, &reached.collect::<Vec<_>>())
}

/// A calibration as named metrics, for the recorder.
pub fn calibration_scalars(calibration: &Calibration) -> Vec<(String, f64)> {
    [
        (EVAL_CALIBRATION_ERROR, Some(calibration.error)),
        (EVAL_CALIBRATION_SPEARMAN, calibration.spearman),
        (EVAL_CALIBRATION_SLOPE, calibration.slope),
        (EVAL_CALIBRATION_INTERCEPT, calibration.intercept),
        (EVAL_CALIBRATION_WITHIN, Some(calibration.within)),
    ]
    .into_iter()
    .filter_map(|(metric, value)| Some((metric.to_owned(), value?)))
    .collect()
}

/// The result of a run, `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Optimiser steps done.
    pub steps: u64,
    /// Seconds spent in optimiser steps, over all sessions, without evaluations.
    #[serde(with = "number")]
    pub train_seconds: f64,
    /// Milliseconds of one optimiser step.
    #[serde(with = "number")]
    pub ms_per_step: f64,
    /// Training loss at the end.
    #[serde(with = "number")]
    pub final_loss: f64,
    /// How well the returns of the last evaluation agree with its targets; none where no target
    /// lies within the data's range and for a policy that takes none.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Every evaluation, in the order of the steps.
    pub evaluations: Vec<Evaluation>,
}
