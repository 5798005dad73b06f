//! Two methods on the same tasks.

use super::{Scores, mean};

/// P(X > Y): the chance that a run of X scores above a run of Y on the same task, averaged over the
/// tasks; ties count half. On one task it is Mann and Whitney's U over the number of pairs. None
/// where the numbers of tasks differ; the tasks must be in the same order.
pub fn probability_of_improvement(x: &Scores, y: &Scores) -> Option<f64> {
    (x.tasks().len() == y.tasks().len()).then(|| {
        let tasks = x.tasks().iter().zip(y.tasks());
        let shares: Vec<f64> = tasks.map(|(x, y)| share_above(x, y)).collect();
        mean(&shares)
    })
}

fn share_above(x: &[f64], y: &[f64]) -> f64 {
    // Twice U, so that halves are whole.
    let mut wins = 0_usize;
    for a in x {
        for b in y {
            wins += if a > b { 2 } else { usize::from(a >= b) };
        }
    }
    wins as f64 / (2 * x.len() * y.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probability_is_that_of_rliable_and_ties_count_half() {
        let x = Scores::from_rows(&[vec![0.1, 0.9], vec![0.4, 1.2], vec![0.7, 0.3]]).unwrap();
        let y = Scores::from_rows(&[vec![0.2, 0.5], vec![0.4, 0.6], vec![0.3, 1.3]]).unwrap();
        let expected = f64::midpoint(5.5 / 9.0, 4.0 / 9.0);
        let p = probability_of_improvement(&x, &y).unwrap();
        assert!((p - expected).abs() < 1e-12);
        let back = probability_of_improvement(&y, &x).unwrap();
        assert!((p + back - 1.0).abs() < 1e-12);
        assert_eq!(probability_of_improvement(&x, &x), Some(0.5));
    }

    #[test]
    fn other_tasks_cannot_be_compared() {
        let one = Scores::of_one_task(vec![1.0]).unwrap();
        let two = Scores::new(vec![vec![1.0], vec![1.0]]).unwrap();
        assert_eq!(probability_of_improvement(&one, &two), None);
    }
}
