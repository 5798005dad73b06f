//! The findings of a comparison, as sentences.
//!
//! Two methods are distinguished if the interval of P(X > Y) is above one half, and if there are
//! enough runs for that to be significant ([`chance_of_separation`]). Those that cannot be
//! distinguished from the best one are named together; every other method is named with its
//! smallest P against them.

use super::Comparison;
use super::aggregate::{Aggregate, Pair};
use crate::statistics::{Interval, chance_of_separation};

/// The largest acceptable probability of a spurious difference.
const LEVEL: f64 = 0.05;

/// The sentences, the most important first; none if there are too many methods to compare.
pub(super) fn findings(comparison: &Comparison<'_>, aggregate: &Aggregate) -> Vec<String> {
    let methods = &aggregate.methods;
    let fewest = methods.iter().map(|method| method.scores.fewest_runs());
    let runs = fewest.min().unwrap_or(0);
    if runs < 2 {
        let words = "Some method has a single run on a task, so methods cannot be compared \
                     without more seeds.";
        return vec![words.to_owned()];
    }
    if aggregate.pairs.is_empty() {
        return Vec::new();
    }
    let chances = methods[1..].iter().filter_map(|other| {
        let chance = chance_of_separation(&methods[0].scores, &other.scores);
        chance.filter(|chance| *chance > LEVEL)
    });
    if let Some(chance) = chances.reduce(f64::max) {
        return vec![format!(
            "{runs} seeds cannot distinguish any methods: of two equally good ones, one is better in \
             all its runs with a probability of {:.0} %.",
            100.0 * chance
        )];
    }
    Sentences {
        comparison,
        aggregate,
    }
    .all(runs)
}

struct Sentences<'a> {
    comparison: &'a Comparison<'a>,
    aggregate: &'a Aggregate,
}

impl Sentences<'_> {
    fn all(&self, runs: usize) -> Vec<String> {
        let others = 1..self.aggregate.methods.len();
        let (beaten, mut best): (Vec<usize>, Vec<usize>) = others.partition(|&y| self.beats(0, y));
        best.insert(0, 0);
        let by_all = |y: &usize| best.iter().all(|&x| self.beats(x, *y));
        let (by_all, by_first): (Vec<usize>, Vec<usize>) = beaten.into_iter().partition(by_all);
        let mut first = Vec::new();
        if best.len() > 1 {
            let names: Vec<&str> = best.iter().map(|&x| self.name(x)).collect();
            let tasks = match self.aggregate.tasks.len() {
                1 => String::new(),
                count => format!(" on {count} tasks"),
            };
            let listed = listed(&names);
            first.push(format!("{runs} seeds do not distinguish {listed}{tasks}"));
        }
        if !by_all.is_empty() {
            let who = match best.len() {
                1 => format!("{} beats", self.name(0)),
                2 => "both beat".to_owned(),
                count => format!("all {count} beat"),
            };
            first.push(format!("{who} {}", self.losers(&best, &by_all)));
        }
        let mut sentences = Vec::new();
        if !first.is_empty() {
            sentences.push(first.join("; ") + ".");
        }
        if !by_first.is_empty() {
            let losers = self.losers(&[0], &by_first);
            let alone = if best.len() > 1 { "alone " } else { "" };
            sentences.push(format!("{} {alone}beats {losers}.", self.name(0)));
        }
        sentences
    }

    /// The methods that are beaten by all of `best`, each with its smallest P.
    fn losers(&self, best: &[usize], beaten: &[usize]) -> String {
        let losers = beaten.iter().filter_map(|&y| {
            let pairs = best.iter().filter_map(|&x| self.aggregate.pair(x, y));
            let known = pairs.filter_map(|pair| Some((pair.probability.0, pair.probability.1?)));
            let known: Vec<(f64, Interval)> = known.collect();
            let least = known.iter().min_by(|a, b| a.1.low.total_cmp(&b.1.low))?;
            let sign = if known.iter().all(|one| one == least) {
                "="
            } else {
                "≥"
            };
            let (p, Interval { low, high }) = *least;
            let name = self.name(y);
            Some(format!("{name}: P {sign} {p:.2} [{low:.2}, {high:.2}]"))
        });
        losers.collect::<Vec<_>>().join(", and ")
    }

    fn beats(&self, x: usize, y: usize) -> bool {
        let interval = self
            .aggregate
            .pair(x, y)
            .and_then(|pair: &Pair| pair.probability.1);
        interval.is_some_and(|interval| interval.low > 0.5)
    }

    fn name(&self, x: usize) -> &str {
        &self.comparison.methods[self.aggregate.methods[x].method]
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunReport;
    use super::super::tests::{many_runs, runs};
    use super::*;

    fn said(runs: &[RunReport]) -> Vec<String> {
        let comparison = Comparison::of(runs);
        findings(&comparison, &Aggregate::of(&comparison).unwrap())
    }

    /// Runs of named methods with the given last returns.
    fn methods(of: &[(&str, &[f64])]) -> Vec<RunReport> {
        let template = many_runs().remove(0);
        let mut runs = Vec::new();
        for (name, returns) in of {
            for (seed, value) in returns.iter().enumerate() {
                let mut run = template.clone();
                run.seed = seed as i64;
                run.settings.insert("recipe".into(), (*name).to_owned());
                let last = run.evaluations.last_mut().unwrap();
                last.return_mean = *value;
                runs.push(run);
            }
        }
        runs
    }

    #[test]
    fn a_better_method_is_named_with_its_probability() {
        assert_eq!(
            said(&many_runs()),
            ["official beats corl: P = 1.00 [1.00, 1.00]."]
        );
    }

    #[test]
    fn methods_with_the_same_results_are_not_distinguished() {
        let same: &[f64] = &[1.0, 2.0, 3.0, 4.0];
        let found = said(&methods(&[("corl", same), ("official", same)]));
        assert_eq!(found, ["4 seeds do not distinguish corl and official."]);
    }

    #[test]
    fn a_method_that_several_beat_has_the_smallest_probability() {
        let high: &[f64] = &[8.0, 9.0, 10.0, 11.0, 12.0];
        let low: &[f64] = &[1.0, 2.0, 3.0, 4.0, 7.0];
        let found = said(&methods(&[("a", high), ("b", high), ("bc", low)]));
        let sentence = "5 seeds do not distinguish a and b; both beat bc: P = 1.00 [1.00, 1.00].";
        assert_eq!(found, [sentence]);
        let nearer: &[f64] = &[6.0, 9.0, 10.0, 11.0, 12.0];
        let found = said(&methods(&[("a", high), ("b", nearer), ("bc", low)]));
        let begin = "5 seeds do not distinguish a and b; both beat bc: P ≥ 0.96 [";
        assert!(found[0].starts_with(begin), "{found:?}");
        let lower: &[f64] = &[-1.0, -2.0, -3.0, -4.0, -5.0];
        let found = said(&methods(&[("a", high), ("b", low), ("c", lower)]));
        let sentence = "a beats b: P = 1.00 [1.00, 1.00], and c: P = 1.00 [1.00, 1.00].";
        assert_eq!(found, [sentence]);
    }

    #[test]
    fn a_method_that_only_the_best_beats_has_a_separate_sentence() {
        let found = said(&methods(&[
            ("a", &[10.0, 11.0, 12.0, 13.0, 14.0]),
            ("b", &[1.0, 11.5, 12.5, 13.5, 2.0]),
            ("c", &[5.0, 6.0, 7.0, 8.0, 9.0]),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "5 seeds do not distinguish a and b.");
        assert_eq!(found[1], "a alone beats c: P = 1.00 [1.00, 1.00].");
    }

    #[test]
    fn too_few_runs_prove_nothing_however_far_apart_they_are() {
        assert!(said(&runs())[0].contains("a single run"));
        let found = said(&methods(&[
            ("a", &[9.0, 9.1, 9.2]),
            ("b", &[1.0, 1.1, 1.2]),
        ]));
        let sentence = "3 seeds cannot distinguish any methods: of two equally good ones, one is \
                        better in all its runs with a probability of 10 %.";
        assert_eq!(found, [sentence]);
    }
}
