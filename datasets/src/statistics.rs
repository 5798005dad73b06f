//! Statistics of a dataset: observation scales and episode returns.

use serde::{Deserialize, Serialize};

use crate::Dataset;

/// Scales observations to mean 0 and spread 1: `(x - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normaliser {
    /// The mean of each observation dimension.
    pub mean: Vec<f64>,
    /// The divisor of each observation dimension: its standard deviation plus an epsilon.
    pub std: Vec<f64>,
}

impl Normaliser {
    /// The epsilon of the official Decision Transformer and of CORL's.
    pub const EPSILON: f64 = 1e-6;
    /// The epsilon of CORL's and d3rlpy's value-based algorithms.
    pub const TRANSITION_EPSILON: f64 = 1e-3;

    /// The statistics of a dataset: population mean and standard deviation over the observations
    /// *before* each step, all episodes together, as in both reference implementations; the
    /// observation after an episode's last step does not count. `epsilon` is added to the
    /// deviation.
    pub fn of(dataset: &Dataset, epsilon: f64) -> Self {
        let lengths: Vec<usize> = dataset.iter().map(|episode| episode.len()).collect();
        Self::of_rows(dataset, epsilon, &lengths)
    }

    /// The same over the first `lengths[i]` observations of each episode `i`.
    pub(crate) fn of_rows(dataset: &Dataset, epsilon: f64, lengths: &[usize]) -> Self {
        let width = dataset.observation_width();
        let count = lengths.iter().sum::<usize>().max(1) as f64;
        let rows = || {
            dataset
                .iter()
                .zip(lengths)
                .flat_map(move |(episode, &length)| {
                    let stepped = &episode.observations[..length * width];
                    stepped.chunks_exact(width.max(1))
                })
        };
        let mut mean = vec![0.0; width];
        for row in rows() {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += x;
            }
        }
        for sum in &mut mean {
            *sum /= count;
        }
        // Two passes, since squares of large numbers would lose a small spread to rounding.
        let mut std = vec![0.0; width];
        for row in rows() {
            for ((sum, x), mean) in std.iter_mut().zip(row).zip(&mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
        for sum in &mut std {
            *sum = (*sum / count).sqrt() + epsilon;
        }
        Self { mean, std }
    }

    /// A normaliser of `width` dimensions that changes nothing.
    pub fn identity(width: usize) -> Self {
        Self {
            mean: vec![0.0; width],
            std: vec![1.0; width],
        }
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Writes the scaled rows, computed in `f64` and rounded once. Both slices consist of whole
    /// rows.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn apply<T: Copy + Into<f64>>(&self, observations: &[T], normalised: &mut [f32]) {
        assert_eq!(observations.len(), normalised.len(), "rows in and rows out");
        let width = self.width().max(1);
        let rows = observations
            .chunks_exact(width)
            .zip(normalised.chunks_exact_mut(width));
        for (row, out) in rows {
            for (((out, x), mean), std) in out.iter_mut().zip(row).zip(&self.mean).zip(&self.std) {
                *out = (((*x).into() - mean) / std) as f32;
            }
        }
    }
}

/// The undiscounted returns of a dataset's episodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReturnSummary {
    /// Their mean.
    pub mean: f64,
    /// Their population standard deviation.
    pub std: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl ReturnSummary {
    /// The summary of a dataset; all zeros if it has no episode.
    pub fn of(dataset: &Dataset) -> Self {
        let returns: Vec<f64> = dataset.iter().map(|episode| episode.return_()).collect();
        Self::over(&returns)
    }

    /// The summary of these numbers; all zeros if there is none.
    pub fn over(returns: &[f64]) -> Self {
        if returns.is_empty() {
            return Self {
                mean: 0.0,
                std: 0.0,
                min: 0.0,
                max: 0.0,
            };
        }
        let count = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / count;
        let variance = returns.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / count;
        Self {
            mean,
            std: variance.sqrt(),
            min: returns.iter().copied().fold(f64::INFINITY, f64::min),
            max: returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// A divisor for returns-to-go where no published one is known: the power of ten nearest to a
    /// quarter of the largest absolute return; 1 where all returns are zero.
    ///
    /// Small returns are scaled up as large ones are scaled down: with a reward of 1 at the end of
    /// an episode and nothing else, an undivided return-to-go hardly moves the network and is not
    /// learned from.
    pub fn suggested_scale(&self) -> f64 {
        let size = self.min.abs().max(self.max.abs()) / 4.0;
        if !size.is_normal() {
            return 1.0;
        }
        let below = 10_f64.powi(size.log10().floor() as i32);
        let above = below * 10.0;
        if size - below <= above - size {
            below
        } else {
            above
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::dataset::tests::staircase;

    #[test]
    fn the_final_observation_does_not_count() {
        // Observations before the steps: [0, 0], [0.01, 1], [1, 0].
        let dataset = staircase(&[2, 1]);
        let normaliser = Normaliser::of(&dataset, 0.5);
        let mean: [f64; 2] = [1.01 / 3.0, 1.0 / 3.0];
        let squares = mean[0].powi(2) + (0.01 - mean[0]).powi(2) + (1.0 - mean[0]).powi(2);
        let std = [(squares / 3.0).sqrt(), (2.0_f64 / 9.0).sqrt()];
        for i in 0..2 {
            assert!((normaliser.mean[i] - mean[i]).abs() < 1e-15);
            assert!((normaliser.std[i] - std[i] - 0.5).abs() < 1e-15);
        }
        let mut out = [0.0; 4];
        normaliser.apply(&[mean[0], mean[1], 0.0, 0.0], &mut out);
        assert_eq!(out[..2], [0.0, 0.0]);
        assert_eq!(out[3..], [(-mean[1] / normaliser.std[1]) as f32]);
    }

    #[test]
    fn returns_are_summarised_per_episode() {
        // Rewards [0, 1, 2] and [1].
        let summary = ReturnSummary::of(&staircase(&[3, 1]));
        assert_eq!(
            summary,
            ReturnSummary {
                mean: 2.0,
                std: 1.0,
                min: 1.0,
                max: 3.0
            }
        );
    }

    #[test]
    fn suggested_scales_are_powers_of_ten_near_a_quarter_of_the_largest_return() {
        let scale = |max: f64| {
            let [mean, std, min] = [0.0; 3];
            ReturnSummary {
                mean,
                std,
                min,
                max,
            }
            .suggested_scale()
        };
        let scales: Vec<f64> = [0.0, 1.0, 1.2, 96.0, 500.0, -1900.0, 3388.0, f64::INFINITY]
            .map(scale)
            .to_vec();
        assert_eq!(scales, [1.0, 0.1, 0.1, 10.0, 100.0, 100.0, 1000.0, 1.0]);
    }

    #[test]
    fn a_dataset_without_episodes_has_finite_statistics() {
        let dataset = staircase(&[]);
        assert_eq!(Normaliser::of(&dataset, 1e-6).std, [1e-6, 1e-6]);
        assert_eq!(ReturnSummary::of(&dataset).max.to_bits(), 0.0_f64.to_bits());
    }

    /// The results of NumPy for recorded datasets (`fixtures/numpy_figures.py`).
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn a_recorded_set_has_the_statistics_that_numpy_finds() {
        let shared = std::env::var_os("RTG_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
            PathBuf::from,
        );
        let root = shared.join("datasets/minari");
        if !root.is_dir() {
            eprintln!(
                "SKIPPED: no recorded sets at {}; set RTG_SHARED",
                root.display()
            );
            return;
        }
        let text = include_str!("../fixtures/numpy_figures.json");
        let figures: BTreeMap<String, Figures> = serde_json::from_str(text).unwrap();
        for (id, figures) in figures {
            let dataset = crate::open(&id, Some(&root)).unwrap();
            let normaliser = Normaliser::of(&dataset, 0.0);
            let returns = ReturnSummary::of(&dataset);
            let ours = [returns.mean, returns.std, returns.min, returns.max];
            for (ours, numpys) in [
                (normaliser.mean.as_slice(), &figures.mean),
                (&normaliser.std, &figures.std),
                (&ours, &figures.returns),
            ] {
                assert_eq!(ours.len(), numpys.len());
                for (a, b) in ours.iter().zip(numpys) {
                    assert!(
                        (a - b).abs() <= 1e-10 * (1.0 + b.abs()),
                        "{id}: {a} and {b}"
                    );
                }
            }
            // Sound data: the doctor reports only notes.
            let findings = crate::doctor::examine(&dataset);
            assert!(
                findings.iter().all(|f| f.severity == crate::Severity::Note),
                "{findings:?}"
            );
        }
    }

    #[derive(Deserialize)]
    struct Figures {
        mean: Vec<f64>,
        std: Vec<f64>,
        /// Mean, standard deviation, least and largest.
        returns: Vec<f64>,
    }
}
