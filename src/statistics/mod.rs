//! The formulas for scores: the only place in `src/` that has one.
//!
//! Definitions are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
//! Statistical Precipice", as its library rliable 1.2 computes them (`rliable/metrics.py`,
//! `rliable/library.py`); `tests/statistics_check.py` compares the two. Every draw comes from a
//! named stream of [`crate::random`], so an interval has the same bits each time.
//!
//! Tasks may have different numbers of runs here (a run failed or has not ended); where all have
//! the same number, everything equals rliable.

mod aggregate;
mod bootstrap;
mod calibration;
mod caution;
mod comparison;
mod curve;
mod importance;
mod scores;
mod spread;

pub use aggregate::{iqm, mean_over_tasks, median_over_tasks, optimality_gap, profile};
pub use bootstrap::{Bootstrap, Indices, Interval, draw, percentile};
pub use calibration::{Calibration, TargetResult, mean_interval};
pub use caution::Caution;
pub use comparison::{chance_of_separation, probability_of_improvement};
pub use curve::{CurvePoint, by_step, by_time, thin};
pub use importance::{Importance, ImportanceEstimates, WeighedEpisode};
pub use scores::Scores;
pub use spread::{largest, mean, median, population_std, sample_std};
