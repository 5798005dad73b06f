//! The scores of one method: of each task, those of its runs.

use super::bootstrap::Indices;

/// Scores by task and run: `m` columns, one a task, of `n` numbers, one a run. Normalise them so
/// that 1 is the reference before an optimality gap or an average over tasks means anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    tasks: Vec<Vec<f64>>,
}

impl Scores {
    /// Scores from a column of runs for each task. None where there is no task, where a task has no
    /// run, or where a score is not finite.
    pub fn new(tasks: Vec<Vec<f64>>) -> Option<Self> {
        let whole = |runs: &Vec<f64>| !runs.is_empty() && runs.iter().all(|run| run.is_finite());
        (!tasks.is_empty() && tasks.iter().all(whole)).then_some(Self { tasks })
    }

    /// Scores from a matrix with a row for each run, rliable's layout (n x m). None also where rows
    /// differ in length.
    pub fn from_rows(rows: &[Vec<f64>]) -> Option<Self> {
        let width = rows.first()?.len();
        if rows.iter().any(|row| row.len() != width) {
            return None;
        }
        Self::new(
            (0..width)
                .map(|t| rows.iter().map(|row| row[t]).collect())
                .collect(),
        )
    }

    /// A buffer for resamples.
    pub(super) fn empty() -> Self {
        Self { tasks: Vec::new() }
    }

    /// Scores of runs on one task.
    pub fn of_one_task(runs: Vec<f64>) -> Option<Self> {
        Self::new(vec![runs])
    }

    /// The columns: for each task the scores of its runs.
    pub fn tasks(&self) -> &[Vec<f64>] {
        &self.tasks
    }

    /// Runs of the task that has the fewest.
    pub fn fewest_runs(&self) -> usize {
        self.tasks.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// All scores, task by task.
    pub(super) fn flat(&self) -> impl Iterator<Item = f64> {
        self.tasks.iter().flatten().copied()
    }

    /// Number of scores, n m.
    pub(super) fn count(&self) -> usize {
        self.tasks.iter().map(Vec::len).sum()
    }

    /// Overwrites `resample` with the scores that `indices` name. Panics where one is out of range.
    pub fn resample(&self, indices: &Indices, resample: &mut Self) {
        resample.tasks.resize_with(self.tasks.len(), Vec::new);
        for ((column, runs), &task) in resample
            .tasks
            .iter_mut()
            .zip(&indices.runs)
            .zip(&indices.tasks)
        {
            column.clear();
            column.extend(runs.iter().map(|&run| self.tasks[task][run]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_table_is_no_matrix_of_scores() {
        assert!(Scores::new(vec![]).is_none());
        assert!(Scores::new(vec![vec![1.0], vec![]]).is_none());
        assert!(Scores::new(vec![vec![f64::NAN]]).is_none());
        assert!(Scores::from_rows(&[]).is_none());
        assert!(Scores::from_rows(&[vec![1.0], vec![1.0, 2.0]]).is_none());
    }

    #[test]
    fn a_row_is_a_run_and_a_column_a_task() {
        let scores = Scores::from_rows(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]).unwrap();
        assert_eq!(scores.tasks(), [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]);
        assert_eq!((scores.fewest_runs(), scores.count()), (3, 6));
    }
}
