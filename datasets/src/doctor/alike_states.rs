//! How far returns-to-go differ at alike states.
//!
//! A policy that is conditioned on a return learns p(action | state, return-to-go). It reaches its
//! target only if, at alike states, other returns go with other actions. Where they differ by luck,
//! or by what is done much later, a large return is no cue for an action: the known failure of
//! return conditioning ("return consistency", `OpenReview` hXtUtnf3ms).
//!
//! The nearest states (by normalised observation and time) of other episodes are looked up for some
//! steps. Half the mean squared difference of two returns-to-go estimates their variance there.

use serde::Serialize;

use crate::{Dataset, Normaliser, returns_to_go};

/// Steps that are looked at, at most: neighbours are looked for among them.
const POOL: usize = 4096;
/// Of these, how many are compared with their neighbours.
const QUERIES: usize = 1024;
/// Numbers that the steps may have together, and that are compared in all: the cost is the same for
/// images as for a pole.
const NUMBERS: usize = 1 << 21;
const COMPARED: usize = 1 << 27;
/// Alike states of a step.
const NEIGHBOURS: usize = 8;
/// States are alike if their squared distance is below this share of a mean pair's.
const ALIKE: f64 = 0.1;
/// Steps with alike states below which there are no figures.
const ENOUGH: usize = 200;
/// The golden ratio's fraction in parts of 2^64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The variance of returns-to-go at alike states, in shares of that of the whole data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AlikeStates {
    /// Steps that have alike states.
    pub steps: usize,
    /// Among all their alike states.
    pub variance: f64,
    /// With the one of these where the action was nearest.
    pub nearest_action: f64,
    /// And with the one where it was farthest. If it is no more than that of the nearest, and both
    /// are large, no action goes with a return.
    pub farthest_action: f64,
}

/// Steps with their observations, times and actions, each normalised.
struct Pool {
    /// The episode and the return-to-go of each.
    steps: Vec<(usize, f64)>,
    /// Steps x (S + 1), the last number the time.
    states: Vec<f32>,
    /// Steps x A.
    actions: Vec<f32>,
    widths: (usize, usize),
}

impl AlikeStates {
    /// None if there are too few steps, too wide ones, or numbers that are not finite.
    pub(super) fn of(dataset: &Dataset) -> Option<Self> {
        let pool = Pool::draw(dataset)?;
        let variance = variance(pool.steps.iter().map(|(_, return_to_go)| *return_to_go));
        let compared = pool.compared();
        if compared.len() < ENOUGH || variance.is_nan() || variance <= 0.0 {
            return None;
        }
        let [all, nearest, farthest] = [0, 1, 2].map(|which| {
            let sum: f64 = compared.iter().map(|squares| squares[which]).sum();
            0.5 * sum / compared.len() as f64 / variance
        });
        Some(Self {
            steps: compared.len(),
            variance: all,
            nearest_action: nearest,
            farthest_action: farthest,
        })
    }
}

impl Pool {
    fn draw(dataset: &Dataset) -> Option<Self> {
        let (s, a) = (dataset.observation_width(), dataset.action_width());
        let count = POOL.min(NUMBERS / (s + a + 1)).min(dataset.steps());
        if count < ENOUGH || dataset.episodes() < 2 {
            return None;
        }
        // Multiples of the golden ratio fall evenly into all of the data, and into no rhythm of it.
        let place = |i: usize| {
            let share = (i as u64).wrapping_mul(GOLDEN);
            ((u128::from(share) * dataset.steps() as u128) >> 64) as usize
        };
        let mut drawn: Vec<usize> = (0..count).map(place).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let mut steps = Vec::new();
        let (mut states, mut actions): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let (mut first, mut drawn) = (0, drawn.into_iter().peekable());
        for (index, episode) in dataset.iter().enumerate() {
            let here = |step: &usize| *step < first + episode.len();
            if drawn.peek().is_some_and(here) {
                let returns = returns_to_go(episode.rewards, 1.0);
                while let Some(step) = drawn.next_if(here) {
                    let t = step - first;
                    steps.push((index, returns[t]));
                    states.extend_from_slice(&episode.observations[t * s..][..s]);
                    states.push(t as f64);
                    actions.extend_from_slice(&episode.actions[t * a..][..a]);
                }
            }
            first += episode.len();
        }
        let numbers = steps.iter().map(|(_, return_to_go)| return_to_go);
        let mut all = numbers.chain(&states).chain(&actions);
        all.all(|number| number.is_finite()).then(|| Self {
            steps,
            states: normalised(&states, s + 1),
            actions: normalised(&actions, a),
            widths: (s + 1, a),
        })
    }

    /// Squared differences of returns-to-go of some steps: the mean over their alike states, of the
    /// one with the nearest action, and of the one with the farthest.
    fn compared(&self) -> Vec<[f64; 3]> {
        let width = self.widths.0;
        let column = |i: usize| self.states.iter().skip(i).step_by(width);
        let spread = |i: usize| variance(column(i).map(|&x| f64::from(x)));
        // The mean squared distance of two rows is twice their variance.
        let alike = 2.0 * ALIKE * (0..width).map(spread).sum::<f64>();
        let count = self.steps.len();
        let queries = QUERIES.min(count).min(COMPARED / (count * width));
        let query = |place: usize| self.compared_with(place * count / queries, alike);
        (0..queries).filter_map(query).collect()
    }

    fn compared_with(&self, own: usize, alike: f64) -> Option<[f64; 3]> {
        let (s, a) = self.widths;
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(NEIGHBOURS + 1);
        let state = &self.states[own * s..][..s];
        // From its place on, so that the neighbours of equal states are not always the first ones.
        let count = self.steps.len();
        for other in (own + 1..count).chain(0..own) {
            let distance = distance(state, &self.states[other * s..][..s]);
            let is_far = nearest.len() == NEIGHBOURS && distance >= nearest[NEIGHBOURS - 1].0;
            if is_far || self.steps[other].0 == self.steps[own].0 {
                continue;
            }
            let place = nearest.partition_point(|&(nearer, _)| nearer <= distance);
            nearest.insert(place, (distance, other));
            nearest.truncate(NEIGHBOURS);
        }
        nearest.retain(|&(distance, _)| f64::from(distance) <= alike);
        let action = |step: usize| &self.actions[step * a..][..a];
        let apart = |other: usize| (self.steps[own].1 - self.steps[other].1).powi(2);
        let mut by_action: Vec<(f32, f64)> = (nearest.into_iter())
            .map(|(_, other)| (distance(action(own), action(other)), apart(other)))
            .collect();
        by_action.sort_by(|(x, _), (y, _)| x.total_cmp(y));
        let ((_, near), (_, far)) = (*by_action.first()?, *by_action.last()?);
        let sum: f64 = by_action.iter().map(|(_, apart)| apart).sum();
        Some([sum / by_action.len() as f64, near, far])
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
    use crate::{Defects, Episode, Info};

    /// Episodes of one step from two kinds of state, with a coin's choice of two actions; `reward`
    /// is given kind, action and another coin.
    fn gambles(reward: impl Fn(f64, f64, f64) -> f64) -> Option<AlikeStates> {
        let space = |low, high| Space::Box(rtg_envs::BoxSpace::float32(&[low], &[high]));
        let actions = Space::Discrete { n: 2, start: 0 };
        let info = Info::new("gamble", space(-9.0, 9.0), actions);
        let mut dataset = Dataset::with(info, Defects::Keep);
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
        AlikeStates::of(&dataset)
    }

    /// Of steps whose alike states have both actions, nearly all.
    fn assert_shares(found: Option<AlikeStates>, expected: [f64; 3]) {
        let found = found.unwrap();
        assert_eq!(found.steps, QUERIES);
        let shares = [found.variance, found.nearest_action, found.farthest_action];
        for (share, expected) in shares.into_iter().zip(expected) {
            assert!((share - expected).abs() < 0.2, "{found:?}, not {expected}");
        }
    }

    #[test]
    fn the_variance_that_a_coin_makes_is_left_whatever_the_action() {
        assert_shares(gambles(|_, _, luck| luck), [1.0, 1.0, 1.0]);
        // The same numbers each time.
        assert_eq!(gambles(|_, _, luck| luck), gambles(|_, _, luck| luck));
    }

    #[test]
    fn the_variance_that_actions_make_is_not_left_where_they_are_equal() {
        assert_shares(gambles(|_, action, _| action), [1.0, 0.0, 2.0]);
        let by_both = gambles(|kind, action, luck| (kind - action).abs() + luck);
        assert_shares(by_both, [1.0, 0.5, 1.5]);
    }

    #[test]
    fn the_variance_that_states_make_is_not_left() {
        assert_shares(gambles(|kind, _, _| kind), [0.0, 0.0, 0.0]);
        assert_eq!(gambles(|_, _, _| 1.0), None);
        assert_eq!(gambles(|_, _, _| f64::NAN), None);
    }
}
