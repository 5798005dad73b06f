//! The state of the training loop.

use serde::{Deserialize, Serialize};

use crate::algorithms::Update;
use crate::metrics::number;
use crate::random::Stream;
use crate::run::Evaluation;

/// The state of the training loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps done: optimiser steps, or environment steps of an online run.
    pub step: u64,
    /// The random stream of the next batches.
    pub sampler: Stream,
    /// Seconds spent in training steps.
    pub train_seconds: f64,
    /// Processor seconds spent in training steps, over all threads; none where the system does not
    /// report them, and in a run that an earlier version began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Numbers since the last point of the curves.
    pub curves: Vec<Curve>,
    /// Headline number of the last point of the curves, a loss.
    #[serde(with = "number")]
    pub last_loss: f64,
    /// Largest mean return for the first target so far.
    pub best_return: Option<f64>,
    /// Every evaluation so far.
    pub evaluations: Vec<Evaluation>,
    /// Hash of the dataset that is learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

/// One metric since the last point of its curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The metric's name, without `train/`.
    pub name: String,
    /// Whether the point is the mean, rather than the last value.
    pub averaged: bool,
    /// The sum over the updates, or the last value.
    #[serde(with = "number")]
    pub sum: f64,
    /// Updates.
    pub count: u64,
}

impl Curve {
    /// The point of the curve.
    pub fn point(&self) -> f64 {
        if self.averaged {
            self.sum / self.count.max(1) as f64
        } else {
            self.sum
        }
    }
}

impl Progress {
    /// Before the first step of a run with this seed, on data with this hash.
    pub fn fresh(seed: u64, dataset: Option<String>) -> Self {
        Self {
            step: 0,
            sampler: Stream::new(seed, "sampler"),
            train_seconds: 0.0,
            cpu_seconds: Some(0.0),
            curves: Vec::new(),
            last_loss: 0.0,
            best_return: None,
            evaluations: Vec::new(),
            dataset,
        }
    }

    /// Adds the numbers of an update to the curves.
    pub fn add(&mut self, update: &Update) {
        for metric in update.metrics() {
            let known = (self.curves.iter_mut()).find(|curve| curve.name == metric.name);
            match known {
                Some(curve) => {
                    curve.count += 1;
                    curve.sum = if metric.averaged {
                        curve.sum + metric.value
                    } else {
                        metric.value
                    };
                }
                None => self.curves.push(Curve {
                    name: metric.name.to_owned(),
                    averaged: metric.averaged,
                    sum: metric.value,
                    count: 1,
                }),
            }
        }
    }
}
