//! Estimates the time for the remaining runs from the time of the steps so far.

use std::collections::BTreeMap;

/// The progress of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RunProgress {
    /// Runs of the same kind take the same time a step: their plans differ in the seed alone.
    pub(super) kind: String,
    /// Steps of its plan.
    pub(super) planned: u64,
    /// Steps done, of earlier calls as well.
    pub(super) reached: u64,
    /// Steps observed, and the seconds that they took.
    pub(super) steps: u64,
    pub(super) seconds: f64,
}

/// Seconds until all runs have ended, `workers` of them at a time; none before any has made a step.
/// A kind of which none has made a step yet is taken to be as fast as the others are on average.
pub(super) fn seconds_left(runs: &[RunProgress], workers: usize) -> Option<f64> {
    let mut kinds: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.steps > 0) {
        let (steps, seconds) = kinds.entry(&run.kind).or_default();
        *steps += run.steps;
        *seconds += run.seconds;
    }
    let paces = kinds
        .iter()
        .map(|(kind, (steps, seconds))| (*kind, seconds / *steps as f64));
    let paces: BTreeMap<&str, f64> = paces.collect();
    if paces.is_empty() {
        return None;
    }
    let usual = paces.values().sum::<f64>() / paces.len() as f64;
    let left = |run: &RunProgress| {
        let steps = run.planned.saturating_sub(run.reached) as f64;
        steps * paces.get(run.kind.as_str()).unwrap_or(&usual)
    };
    let (mut all, mut longest): (f64, f64) = (0.0, 0.0);
    for seconds in runs.iter().map(left) {
        all += seconds;
        longest = longest.max(seconds);
    }
    // One run cannot be divided between two workers.
    Some((all / workers.max(1) as f64).max(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: &str, reached: u64, steps: u64, seconds: f64) -> RunProgress {
        RunProgress {
            kind: kind.to_owned(),
            planned: 100,
            reached,
            steps,
            seconds,
        }
    }

    #[test]
    fn each_kind_has_its_own_pace_and_an_unknown_one_the_average() {
        assert_eq!(seconds_left(&[run("a", 50, 0, 3.0)], 2), None);
        let mut runs = vec![run("a", 100, 100, 100.0), run("b", 50, 10, 30.0)];
        // 50 steps of b at 3 s.
        assert_eq!(seconds_left(&runs, 1), Some(150.0));
        // One run cannot be divided.
        assert_eq!(seconds_left(&runs, 2), Some(150.0));
        // 100 steps of c at the mean of 1 and 3 s.
        runs.push(run("c", 0, 0, 0.0));
        assert_eq!(seconds_left(&runs, 1), Some(350.0));
        assert_eq!(seconds_left(&runs, 2), Some(200.0));
        runs.push(run("a", 0, 0, 0.0));
        assert_eq!(seconds_left(&runs, 1), Some(450.0));
    }
}
