//! One number, or one curve, for all scores of a method.

use super::{Scores, mean, median};

/// Interquartile mean: the mean of the middle half of all n m scores. `floor(n m / 4)` are dropped
/// at each end; no score counts partially (`scipy.stats.trim_mean` with 0.25).
pub fn iqm(scores: &Scores) -> f64 {
    let mut sorted: Vec<f64> = scores.flat().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

/// Mean over the tasks of each task's mean over its runs.
pub fn mean_over_tasks(scores: &Scores) -> f64 {
    mean(&task_means(scores))
}

/// Median over the tasks of each task's mean over its runs.
pub fn median_over_tasks(scores: &Scores) -> f64 {
    median(&task_means(scores))
}

/// The mean shortfall of the runs below `reference`: `reference - mean(min(score, reference))`. The
/// reference of normalised scores is 1.
pub fn optimality_gap(scores: &Scores, reference: f64) -> f64 {
    let clipped: Vec<f64> = scores.flat().map(|score| score.min(reference)).collect();
    reference - mean(&clipped)
}

/// Performance profile: for each of `thresholds` the share of all scores strictly above it.
pub fn profile(scores: &Scores, thresholds: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = scores.flat().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let above = |threshold: &f64| sorted.len() - sorted.partition_point(|s| s <= threshold);
    thresholds
        .iter()
        .map(|threshold| above(threshold) as f64 / scores.count() as f64)
        .collect()
}

fn task_means(scores: &Scores) -> Vec<f64> {
    scores.tasks().iter().map(|runs| mean(runs)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{value} is not {expected}"
        );
    }

    /// Three runs on two tasks; the values below are rliable's.
    fn scores() -> Scores {
        Scores::from_rows(&[vec![0.1, 0.9], vec![0.4, 1.2], vec![0.7, 0.3]]).unwrap()
    }

    #[test]
    fn aggregates_are_those_of_rliable() {
        let scores = scores();
        close(iqm(&scores), 0.575);
        close(mean_over_tasks(&scores), 0.6);
        close(median_over_tasks(&scores), 0.6);
        close(optimality_gap(&scores, 1.0), 1.3 / 3.0);
        let other = Scores::from_rows(&[vec![0.2, 0.5], vec![0.4, 0.6], vec![0.3, 1.3]]).unwrap();
        close(iqm(&other), 0.45);
    }

    #[test]
    fn a_profile_counts_scores_strictly_above() {
        assert_eq!(profile(&scores(), &[0.5, 0.9, 2.0]), [0.5, 1.0 / 6.0, 0.0]);
        assert_eq!(profile(&scores(), &[-1.0]), [1.0]);
    }

    #[test]
    fn a_count_not_divisible_by_four_drops_the_floor_of_a_quarter() {
        // n m = 5: one score at each end is dropped, with ties among them.
        let scores = Scores::of_one_task(vec![2.0, 2.0, 7.0, 3.0, 100.0]).unwrap();
        close(iqm(&scores), 4.0);
        close(iqm(&Scores::of_one_task(vec![1.0, 5.0, 9.0]).unwrap()), 5.0);
    }
}
