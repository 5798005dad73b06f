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

/// How likely it is that the runs of one of two equally good methods are all better than those of
/// the other on every task, in either direction: the smallest p that the permutation test with
/// these numbers of runs can have (Mann and Whitney's on one task). Where it is large, no result
/// separates two methods. None where the numbers of tasks differ.
pub fn chance_of_separation(x: &Scores, y: &Scores) -> Option<f64> {
    (x.tasks().len() == y.tasks().len()).then(|| {
        let tasks = x.tasks().iter().zip(y.tasks());
        let ways = tasks.map(|(x, y)| ways_to_choose(x.len(), x.len() + y.len()));
        (2.0 / ways.product::<f64>()).min(1.0)
    })
}

/// The binomial coefficient n over k.
fn ways_to_choose(k: usize, n: usize) -> f64 {
    (1..=k).fold(1.0, |ways, i| ways * (n - k + i) as f64 / i as f64)
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
    fn few_runs_are_separated_by_chance() {
        let of = |n: usize| Scores::of_one_task(vec![0.0; n]).unwrap();
        // Mann and Whitney's two-sided p of complete separation.
        for (n, p) in [
            (1, 1.0),
            (2, 1.0 / 3.0),
            (3, 0.1),
            (4, 2.0 / 70.0),
            (5, 2.0 / 252.0),
        ] {
            let chance = chance_of_separation(&of(n), &of(n)).unwrap();
            assert!((chance - p).abs() < 1e-12, "{n}: {chance}");
        }
        assert!((chance_of_separation(&of(1), &of(3)).unwrap() - 0.5).abs() < 1e-12);
        let three = Scores::new(vec![vec![0.0; 2]; 3]).unwrap();
        let chance = chance_of_separation(&three, &three).unwrap();
        assert!((chance - 2.0 / 216.0).abs() < 1e-12);
        assert_eq!(chance_of_separation(&three, &of(2)), None);
    }

    #[test]
    fn other_tasks_cannot_be_compared() {
        let one = Scores::of_one_task(vec![1.0]).unwrap();
        let two = Scores::new(vec![vec![1.0], vec![1.0]]).unwrap();
        assert_eq!(probability_of_improvement(&one, &two), None);
    }
}
