//! Whether returns depend on actions.
//!
//! A policy that is conditioned on a return learns p(action | state, return-to-go). It can reach
//! its target only if, at similar states, different returns go with different actions. Where they
//! differ by chance, or by much later actions, a large return does not identify an action: the
//! known failure of return conditioning in stochastic environments ("return consistency",
//! `OpenReview` hXtUtnf3ms).
//!
//! The measure compares pairs of steps. For each of some drawn steps, its similar states are the
//! nearest ones (by normalised observation and time) of other episodes. Of these, one has the
//! nearest action and one the farthest. If actions matter, returns-to-go are farther apart in the
//! second pair. With d the squared differences of the returns-to-go, the mean of `d_far - d_near`
//! over its standard error says whether they are; it is near 0 where returns do not depend on
//! actions.

use super::Finding;
use crate::{Dataset, Normaliser, returns_to_go};

/// The most steps that are examined: neighbours are searched among them.
const POOL: usize = 4096;
/// Of these, how many are compared with their neighbours.
const QUERIES: usize = 1024;
/// The most numbers in the examined observations together, and in all comparisons: the cost is the
/// same for images as for a pole.
const NUMBERS: usize = 1 << 21;
const COMPARED: usize = 1 << 27;
/// Similar states of a step.
const NEIGHBOURS: usize = 8;
/// States are similar if their squared distance is below this share of a mean pair's.
const ALIKE: f64 = 0.1;
/// Actions differ if their squared distance is above this share of a mean pair's.
const DIFFERENT: f64 = 0.1;
/// Comparisons below which nothing is reported.
const ENOUGH: usize = 200;
/// The share of the data's variance of returns-to-go that must remain at similar states.
const LEFT: f64 = 0.1;
/// Standard errors below which a difference counts as none.
const CERTAIN: f64 = 2.0;

/// The golden ratio's fraction in parts of 2^64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A step that was drawn.
struct Step {
    episode: usize,
    return_to_go: f64,
}

/// Steps with their observations, times and actions, each normalised.
struct Pool {
    steps: Vec<Step>,
    /// Steps x (S + 1), the last number the time.
    states: Vec<f32>,
    /// Steps x A.
    actions: Vec<f32>,
    widths: (usize, usize),
}

/// Warns where returns-to-go differ at similar states whatever the action is.
pub(super) fn luck(dataset: &Dataset) -> Finding {
    let silent = Finding::warning("returns-by-luck", 0, String::new());
    let Some(pool) = Pool::draw(dataset) else {
        return silent;
    };
    let comparisons = pool.comparisons();
    let variance = variance(pool.steps.iter().map(|step| step.return_to_go));
    let count = comparisons.len();
    if count < ENOUGH || variance.is_nan() || variance <= 0.0 {
        return silent;
    }
    let mean =
        |value: fn(&[f64; 2]) -> f64| comparisons.iter().map(value).sum::<f64>() / count as f64;
    // Half the squared difference of two values is an estimate of their variance.
    let left = mean(|[near, far]| 0.25 * (near + far)) / variance;
    let gain = mean(|[near, far]| far - near);
    let squares = comparisons
        .iter()
        .map(|[near, far]| (far - near - gain).powi(2));
    let error = (squares.sum::<f64>() / count as f64 / count as f64).sqrt();
    if left < LEFT || gain > CERTAIN * error {
        return silent;
    }
    Finding::warning(
        "returns-by-luck",
        count,
        format!(
            "states were compared with alike ones, and their returns-to-go differ ({:.0} % of the \
             data's variance) whatever the action: a policy that is asked for a return finds no \
             action in it, one that learns values (iql, cql) may",
            100.0 * left.min(1.0)
        ),
    )
}

impl Pool {
    /// `None` where there is too little to compare, or where observations are too wide.
    fn draw(dataset: &Dataset) -> Option<Self> {
        let (s, a) = (dataset.observation_width(), dataset.action_width());
        let count = POOL.min(NUMBERS / (s + a + 1)).min(dataset.steps());
        if count < 2 * ENOUGH || dataset.episodes() < 2 {
            return None;
        }
        // Multiples of the golden ratio cover the data evenly and do not resonate with any period
        // in them.
        let place = |i: usize| {
            let share = (i as u64).wrapping_mul(GOLDEN);
            ((u128::from(share) * dataset.steps() as u128) >> 64) as usize
        };
        let mut drawn: Vec<usize> = (0..count).map(place).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let mut pool = Self {
            steps: Vec::new(),
            states: Vec::new(),
            actions: Vec::new(),
            widths: (s + 1, a),
        };
        let (mut states, mut actions): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let (mut first, mut drawn) = (0, drawn.into_iter().peekable());
        for (index, episode) in dataset.iter().enumerate() {
            let here = |step: &usize| *step < first + episode.len();
            if drawn.peek().is_some_and(here) {
                let returns = returns_to_go(episode.rewards, 1.0);
                while let Some(step) = drawn.next_if(here) {
                    let t = step - first;
                    pool.steps.push(Step {
                        episode: index,
                        return_to_go: returns[t],
                    });
                    states.extend_from_slice(&episode.observations[t * s..][..s]);
                    states.push(t as f64);
                    actions.extend_from_slice(&episode.actions[t * a..][..a]);
                }
            }
            first += episode.len();
        }
        let numbers = pool.steps.iter().map(|step| step.return_to_go);
        let finite = numbers
            .chain(states.iter().copied())
            .chain(actions.iter().copied());
        if !finite.into_iter().all(f64::is_finite) {
            return None;
        }
        pool.states = normalised(&states, s + 1);
        pool.actions = normalised(&actions, a);
        Some(pool)
    }

    /// Squared differences of returns-to-go, of the pair with near actions and that with far ones,
    /// for each step that has similar states with different actions.
    fn comparisons(&self) -> Vec<[f64; 2]> {
        let (s, a) = self.widths;
        let mean_of = |rows: &[f32], width: usize| {
            // The mean squared distance of two rows is twice their variance.
            2.0 * (0..width)
                .map(|i| variance(rows.iter().skip(i).step_by(width).map(|&x| f64::from(x))))
                .sum::<f64>()
        };
        let alike = ALIKE * mean_of(&self.states, s);
        let different = DIFFERENT * mean_of(&self.actions, a);
        let count = self.steps.len();
        let queries = QUERIES.min(count).min(COMPARED / (count * s));
        let query = |place: usize| self.compared(place * count / queries, alike, different);
        (0..queries).filter_map(query).collect()
    }

    fn compared(&self, own: usize, alike: f64, different: f64) -> Option<[f64; 2]> {
        let (s, a) = self.widths;
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(NEIGHBOURS + 1);
        let state = &self.states[own * s..][..s];
        for (other, candidate) in self.states.chunks_exact(s).enumerate() {
            let distance = distance(state, candidate);
            let is_far = nearest.len() == NEIGHBOURS && distance >= nearest[NEIGHBOURS - 1].0;
            if is_far || self.steps[other].episode == self.steps[own].episode {
                continue;
            }
            let place = nearest.partition_point(|&(nearer, _)| nearer <= distance);
            nearest.insert(place, (distance, other));
            nearest.truncate(NEIGHBOURS);
        }
        nearest.retain(|&(distance, _)| f64::from(distance) <= alike);
        let action = |step: usize| &self.actions[step * a..][..a];
        let mut by_action: Vec<(f32, usize)> = (nearest.into_iter())
            .map(|(_, other)| (distance(action(own), action(other)), other))
            .collect();
        by_action.sort_by(|(x, _), (y, _)| x.total_cmp(y));
        let ((near, near_step), (far, far_step)) = (*by_action.first()?, *by_action.last()?);
        let differ = f64::from(far) - f64::from(near) > different;
        let apart =
            |other: usize| (self.steps[own].return_to_go - self.steps[other].return_to_go).powi(2);
        differ.then(|| [apart(near_step), apart(far_step)])
    }
}

/// Columns with mean 0 and spread 1; those that never change become 0.
fn normalised(rows: &[f64], width: usize) -> Vec<f32> {
    let count = (rows.len() / width.max(1)) as f64;
    let column = |i: usize| rows.iter().skip(i).step_by(width.max(1)).copied();
    let mean = (0..width).map(|i| column(i).sum::<f64>() / count).collect();
    let std = (0..width).map(|i| variance(column(i)).sqrt());
    let std = std.map(|std| if std > 0.0 { std } else { f64::INFINITY });
    let normaliser = Normaliser {
        mean,
        std: std.collect(),
    };
    let mut normalised = vec![0.0; rows.len()];
    normaliser.apply(rows, &mut normalised);
    normalised
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

#[cfg(test)]
mod tests {
    use rtg_envs::Space;

    use super::*;
    use crate::{Episode, Info};

    /// Episodes of one step from two kinds of state, with a coin's choice of two actions; `reward`
    /// is given kind, action and another coin.
    fn gambles(reward: impl Fn(f64, f64, f64) -> f64) -> Dataset {
        let space = |low, high| Space::Box(rtg_envs::BoxSpace::float32(&[low], &[high]));
        let actions = Space::Discrete { n: 2, start: 0 };
        let mut dataset = Dataset::new(Info::new("gamble", space(-9.0, 9.0), actions));
        let mut state = 7_u64;
        for _ in 0..2000 {
            let mut coin = || {
                state = (state.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1);
                (state >> 63) as f64
            };
            let (kind, action, luck) = (coin(), coin(), coin());
            let episode = Episode {
                observations: vec![4.0 * kind, 0.0],
                actions: vec![action],
                rewards: vec![reward(kind, action, luck)],
                terminated: true,
                ..Episode::default()
            };
            dataset.push(episode).unwrap();
        }
        dataset
    }

    #[test]
    fn returns_that_a_coin_decides_are_luck() {
        let finding = luck(&gambles(|_, _, luck| luck));
        assert!(finding.count >= ENOUGH, "{finding:?}");
        assert!(finding.message.contains("whatever the action"));
        // The same numbers each time.
        assert_eq!(finding, luck(&gambles(|_, _, luck| luck)));
    }

    #[test]
    fn returns_that_actions_decide_are_not() {
        assert_eq!(luck(&gambles(|_, action, _| action)).count, 0);
        // Nor with noise, or if another action is right in each state.
        assert_eq!(luck(&gambles(|_, action, luck| action + luck)).count, 0);
        assert_eq!(
            luck(&gambles(|kind, action, luck| (kind - action).abs() + luck)).count,
            0
        );
    }

    #[test]
    fn returns_that_the_state_decides_are_not_either() {
        assert_eq!(luck(&gambles(|kind, _, _| kind)).count, 0);
        assert_eq!(luck(&gambles(|_, _, _| 1.0)).count, 0);
    }

    #[test]
    fn where_only_one_thing_is_done_nothing_is_said() {
        let mut dataset = gambles(|_, _, luck| luck);
        let info = dataset.info().clone();
        let episodes: Vec<Episode> = dataset.iter().map(|episode| episode.to_owned()).collect();
        dataset = Dataset::new(info);
        for mut episode in episodes {
            episode.actions = vec![1.0];
            dataset.push(episode).unwrap();
        }
        assert_eq!(luck(&dataset).count, 0);
    }
}
