//! What came out of a run, in `summary.json`.

use serde::{Deserialize, Serialize};

use crate::metrics::{
    EVAL_LENGTH_MEAN, EVAL_RETURN_MEAN, EVAL_RETURN_STD, EVAL_SCORE, for_target, number,
};

/// One evaluation of one target return.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimiser steps done before it.
    pub step: u64,
    /// Return asked of the policy; none for a policy that takes no target.
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
    /// Every evaluation, in the order of the steps.
    pub evaluations: Vec<Evaluation>,
}
