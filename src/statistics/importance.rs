//! Importance sampling: a policy's return from the episodes of another one.
//!
//! With rho[t] = pi(a[t] | h[t]) / b(a[t] | h[t]), w[t] = rho[0] ... rho[t], N episodes and G the
//! discounted return of an episode:
//!
//! ```text
//! trajectory               1/N sum_i w_i[T] G_i
//! per decision             1/N sum_i sum_t gamma^t w_i[t] r_i[t]
//! weighted                 sum_i w_i[T] G_i / sum_i w_i[T]
//! weighted, per decision   sum_t gamma^t (sum_i w_i[t] r_i[t] / sum_i w_i[t])
//! effective episodes       (sum_i w_i[T])^2 / sum_i w_i[T]^2
//! ```
//!
//! An episode that has ended keeps its last weight in the sums of later steps (Precup, Sutton and
//! Singh 2000). The ratios may depend on everything before the action, so the estimates are exact
//! for policies of the history as well. Products are sums of logarithms; the weighted ones are
//! divided by the largest weight first.

use serde::Serialize;

use super::{Bootstrap, Interval};
use crate::random::Stream;

/// What importance sampling needs of an episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeighedEpisode {
    /// log rho of each step.
    pub log_ratios: Vec<f64>,
    /// The reward of each step.
    pub rewards: Vec<f64>,
}

/// The estimates of a policy's discounted return.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ImportanceEstimates<T> {
    /// Ordinary, by whole episodes.
    pub trajectory: T,
    /// Ordinary, step by step.
    pub per_decision: T,
    /// Normalised by the sum of the weights, by whole episodes.
    pub weighted: T,
    /// Normalised by the sum of the weights, step by step.
    pub weighted_per_decision: T,
}

impl<T> ImportanceEstimates<T> {
    /// All of them with their names.
    pub fn named(&self) -> [(&'static str, &T); 4] {
        [
            ("trajectory", &self.trajectory),
            ("per decision", &self.per_decision),
            ("weighted", &self.weighted),
            ("weighted, per decision", &self.weighted_per_decision),
        ]
    }
}

/// Episodes in the form from which the estimates of any resample follow.
pub struct Importance {
    episodes: usize,
    /// By step, the largest logarithm of a weight.
    largest: Vec<f64>,
    /// Steps x episodes: weights, divided by the step's largest.
    weights: Vec<f64>,
    /// Steps x episodes: gamma^t r[t], 0 behind an episode's end.
    rewards: Vec<f64>,
    /// The discounted return of each episode.
    returns: Vec<f64>,
}

impl Importance {
    /// The weights of these episodes, none of which is empty.
    pub fn new(episodes: &[WeighedEpisode], discount: f64) -> Self {
        let count = episodes.len();
        let steps = episodes.iter().map(|episode| episode.rewards.len()).max();
        let steps = steps.unwrap_or(0);
        let mut sums = vec![0.0; count];
        let mut returns = vec![0.0; count];
        let (mut largest, mut weights, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
        let mut power = 1.0;
        for step in 0..steps {
            for (sum, episode) in sums.iter_mut().zip(episodes) {
                *sum += episode.log_ratios.get(step).unwrap_or(&0.0);
            }
            let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest.push(most);
            weights.extend(sums.iter().map(|sum| (sum - most).exp()));
            for (all, episode) in returns.iter_mut().zip(episodes) {
                let reward = power * episode.rewards.get(step).unwrap_or(&0.0);
                *all += reward;
                rewards.push(reward);
            }
            power *= discount;
        }
        Self {
            episodes: count,
            largest,
            weights,
            rewards,
            returns,
        }
    }

    /// (sum w)^2 / sum w^2 of the weights of whole episodes.
    pub fn effective_episodes(&self) -> f64 {
        let weights = self.last_weights();
        let sum: f64 = weights.iter().sum();
        sum * sum / weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// The estimates from all episodes.
    pub fn estimates(&self) -> ImportanceEstimates<f64> {
        let all: Vec<usize> = (0..self.episodes).collect();
        self.of(&all)
    }

    /// Their intervals by the bootstrap over episodes.
    pub fn intervals(&self, bootstrap: &Bootstrap) -> ImportanceEstimates<Interval> {
        let mut stream = Stream::new(bootstrap.seed, "importance");
        let intervals = bootstrap.over(|_| {
            let drawn = (0..self.episodes).map(|_| stream.index(self.episodes));
            let found = self.of(&drawn.collect::<Vec<_>>());
            found.named().map(|(_, value)| *value).to_vec()
        });
        ImportanceEstimates {
            trajectory: intervals[0],
            per_decision: intervals[1],
            weighted: intervals[2],
            weighted_per_decision: intervals[3],
        }
    }

    /// The weights of whole episodes, divided by the largest.
    fn last_weights(&self) -> &[f64] {
        &self.weights[self.weights.len() - self.episodes..]
    }

    /// The estimates from some of the episodes, one of which may be named several times.
    fn of(&self, episodes: &[usize]) -> ImportanceEstimates<f64> {
        let count = episodes.len() as f64;
        let (weights, whole) = (self.last_weights(), self.largest.last().copied());
        let (sum, product) = sums(weights, &self.returns, episodes);
        let (mut per_decision, mut weighted_per_decision) = (0.0, 0.0);
        let steps = (self.weights.chunks(self.episodes)).zip(self.rewards.chunks(self.episodes));
        for ((weights, rewards), largest) in steps.zip(&self.largest) {
            let (sum, product) = sums(weights, rewards, episodes);
            per_decision += scaled(product / count, *largest);
            weighted_per_decision += product / sum;
        }
        ImportanceEstimates {
            trajectory: scaled(product / count, whole.unwrap_or(0.0)),
            per_decision,
            weighted: product / sum,
            weighted_per_decision,
        }
    }
}

/// The sum of the weights of some episodes, and of weights times values.
fn sums(weights: &[f64], values: &[f64], episodes: &[usize]) -> (f64, f64) {
    let (mut sum, mut product) = (0.0, 0.0);
    for &episode in episodes {
        sum += weights[episode];
        product += weights[episode] * values[episode];
    }
    (sum, product)
}

/// value e^log; 0 for a value of 0 whatever the exponent.
fn scaled(value: f64, log: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value * log.exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(ratios: &[f64], rewards: &[f64]) -> WeighedEpisode {
        WeighedEpisode {
            log_ratios: ratios.iter().map(|ratio| ratio.ln()).collect(),
            rewards: rewards.to_vec(),
        }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-8, "{found} {expected}");
    }

    #[test]
    fn two_episodes_give_the_values_computed_by_hand() {
        let episodes = [episode(&[2.0], &[10.0]), episode(&[0.5], &[4.0])];
        let importance = Importance::new(&episodes, 1.0);
        let found = importance.estimates();
        close(found.trajectory, 11.0);
        close(found.weighted, 8.8);
        close(importance.effective_episodes(), 1.470_588_24);
        close(found.per_decision, 11.0);
        close(found.weighted_per_decision, 8.8);
    }

    /// Episodes of unequal lengths: weights 2, 1 and 0.5, kept; gamma 0.5.
    #[test]
    fn an_ended_episode_keeps_its_weight() {
        let episodes = [episode(&[2.0, 0.5], &[1.0, 6.0]), episode(&[0.5], &[3.0])];
        let found = Importance::new(&episodes, 0.5).estimates();
        close(found.trajectory, 0.5 * (4.0 + 0.5 * 3.0));
        close(found.weighted, (4.0 + 1.5) / 1.5);
        close(found.per_decision, 0.5 * (2.0 + 3.0 + 1.5));
        let expected = (2.0 + 1.5) / 2.5 + 0.5 * 6.0 / 1.5;
        close(found.weighted_per_decision, expected);
    }

    #[test]
    fn the_policy_of_the_data_has_the_mean_return() {
        let episodes = [
            episode(&[1.0; 3], &[1.0, 2.0, 3.0]),
            episode(&[1.0; 2], &[5.0, 1.0]),
        ];
        let importance = Importance::new(&episodes, 1.0);
        for (name, value) in importance.estimates().named() {
            assert!((value - 6.0).abs() < 1e-12, "{name}: {value}");
        }
        close(importance.effective_episodes(), 2.0);
    }

    #[test]
    fn extreme_ratios_stay_finite_where_they_are_normalised() {
        let long = |ratio: f64| episode(&vec![ratio; 2000], &vec![1.0; 2000]);
        let importance = Importance::new(&[long(20.0), long(0.01)], 1.0);
        let found = importance.estimates();
        close(found.weighted, 2000.0);
        close(found.weighted_per_decision, 2000.0);
        close(importance.effective_episodes(), 1.0);
        assert!(found.trajectory.is_infinite());
        // All weights tiny: their ratio counts.
        let importance = Importance::new(&[long(0.01), long(0.01)], 1.0);
        close(importance.estimates().weighted, 2000.0);
        close(importance.estimates().trajectory, 0.0);
    }

    /// Two actions of rewards 0 and 1, b uniform, pi with 0.9 for the second: the value is 0.9.
    #[test]
    fn an_interval_covers_the_truth() {
        let mut stream = Stream::new(2, "test");
        let episodes: Vec<WeighedEpisode> = (0..400)
            .map(|_| match stream.index(2) {
                0 => episode(&[0.1 / 0.5], &[0.0]),
                _ => episode(&[0.9 / 0.5], &[1.0]),
            })
            .collect();
        let importance = Importance::new(&episodes, 1.0);
        let intervals = importance.intervals(&Bootstrap::default());
        let estimates = importance.estimates();
        for ((name, interval), (_, value)) in intervals.named().iter().zip(estimates.named()) {
            assert!(interval.low <= *value && *value <= interval.high, "{name}");
            assert!(
                interval.low < 0.9 && 0.9 < interval.high,
                "{name} {interval:?}"
            );
            assert!(interval.high - interval.low < 0.3, "{name} {interval:?}");
        }
    }
}
