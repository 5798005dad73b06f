//! Warnings for intervals from few runs.

use std::fmt;

use super::Scores;

/// Coverage of a nominal 95 % percentile interval of the IQM of one task, in percent, for 2 to 5
/// runs: 1,500 draws from a normal distribution, 1,000 repetitions each. Ten runs reach 93.5.
const COVERAGE: [(usize, u32); 4] = [(2, 50), (3, 75), (4, 88), (5, 89)];

/// Why an interval is unreliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// A task has a single run: every resample is the same, so there is no interval.
    SingleRun,
    /// Too few runs: percentile intervals are too narrow.
    FewRuns {
        /// Runs of the task that has the fewest.
        runs: usize,
    },
}

impl Caution {
    /// The caution for every interval over `scores`; `None` from six runs a task on.
    pub fn about(scores: &Scores) -> Option<Self> {
        match scores.fewest_runs() {
            0 | 1 => Some(Self::SingleRun),
            runs @ 2..=5 => Some(Self::FewRuns { runs }),
            _ => None,
        }
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleRun => f.write_str("1 run: no interval"),
            Self::FewRuns { runs } => {
                let known = COVERAGE.iter().find(|(n, _)| n == runs);
                let coverage = known.map_or(0, |&(_, percent)| percent);
                write!(
                    f,
                    "{runs} runs: too narrow; a 95 % interval contains the true value about \
                        {coverage} % \
                     of the time"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::statistics::{Bootstrap, iqm};
    use rand_distr::{Distribution as _, StandardNormal};

    #[test]
    fn few_runs_are_reported_and_many_are_not() {
        let about = |n| Caution::about(&Scores::of_one_task(vec![0.0; n]).unwrap());
        assert_eq!(about(1), Some(Caution::SingleRun));
        assert_eq!(about(3), Some(Caution::FewRuns { runs: 3 }));
        assert_eq!(about(6), None);
        assert!(
            about(5)
                .unwrap()
                .to_string()
                .starts_with("5 runs: too narrow")
        );
    }

    #[test]
    fn the_stated_coverage_is_what_is_measured() {
        let mut stream = Stream::new(0, "coverage");
        for (runs, percent) in COVERAGE {
            let trials = 600;
            let covered = (0..trials).filter(|&trial| {
                let values = (0..runs)
                    .map(|_| StandardNormal.sample(&mut stream))
                    .collect();
                let scores = Scores::of_one_task(values).unwrap();
                let bootstrap = Bootstrap {
                    repetitions: 300,
                    seed: trial,
                    ..Bootstrap::default()
                };
                let interval = bootstrap.interval(&scores, iqm);
                interval.low <= 0.0 && 0.0 <= interval.high
            });
            let measured = 100.0 * covered.count() as f64 / trials as f64;
            assert!(
                (measured - f64::from(percent)).abs() < 6.0,
                "{runs} runs: {measured} %"
            );
        }
    }
}
