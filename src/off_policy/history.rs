//! A policy's greedy actions on the histories that a dataset has.
//!
//! A row is an observation of an episode, the last one included. A policy of the history sees the
//! recorded actions and rewards before each row, and its return-to-go is the target less those
//! rewards.

use rtg_datasets::{Dataset, EpisodeView, Normaliser};

use crate::algorithms::ActionCodec;
use crate::interrupt::{self, Interrupt};
use crate::policy::{Policy, Start};

/// Episodes in which a policy acts at once.
const ROWS: usize = 64;
/// Calls of the policy between checks for signals.
const CALLS: usize = 64;

/// What the values of a policy are learned from: R rows.
pub(super) struct History {
    /// Numbers in an input.
    pub(super) width: usize,
    /// R x width: the normalised observation; for a policy that takes a target also its
    /// return-to-go over the largest one, and the step over the largest one.
    pub(super) inputs: Vec<f32>,
    /// R x A: the recorded action; zeros in the last row of an episode.
    pub(super) actions: Vec<f32>,
    /// R x A: the policy's action; zeros in a terminal state.
    pub(super) decisions: Vec<f32>,
    /// R: the reward of the recorded action.
    pub(super) rewards: Vec<f32>,
    /// R: whether the next row is a terminal state.
    pub(super) terminated: Vec<bool>,
    /// The first row of each episode that has a step.
    pub(super) starts: Vec<usize>,
    /// Rows that have a next one.
    pub(super) steps: Vec<usize>,
}

impl History {
    pub(super) fn of(
        policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
        data: &Dataset,
        codec: &ActionCodec,
        target: Option<f64>,
    ) -> Result<Self, Interrupt> {
        let (seen, width) = (data.observation_width(), codec.width());
        let rows = data.steps() + data.episodes();
        let mut history = Self {
            width: seen + if target.is_some() { 2 } else { 0 },
            inputs: Vec::with_capacity(rows * seen),
            actions: vec![0.0; rows * width],
            decisions: vec![0.0; rows * width],
            rewards: vec![0.0; rows],
            terminated: vec![false; rows],
            starts: Vec::with_capacity(data.episodes()),
            steps: Vec::with_capacity(data.steps()),
        };
        let normaliser = Normaliser::of(data, Normaliser::TRANSITION_EPSILON);
        let returns = data.iter().map(|episode| episode.return_().abs());
        let most = returns.chain(target.map(f64::abs)).fold(0.0, f64::max);
        let scale = if most > 0.0 { most } else { 1.0 };
        let longest = data.iter().map(|episode| episode.len()).max().unwrap_or(1);
        let mut normalised = vec![0.0; seen];
        let mut first = 0;
        for episode in data.iter() {
            let count = episode.len();
            let mut to_go = target;
            for (step, observation) in episode.observations.chunks(seen).enumerate() {
                normaliser.apply(observation, &mut normalised);
                history.inputs.extend_from_slice(&normalised);
                if let Some(to_go) = &mut to_go {
                    let time = step as f32 / longest as f32;
                    history.inputs.extend([(*to_go / scale) as f32, time]);
                    *to_go -= episode.rewards.get(step).unwrap_or(&0.0);
                }
            }
            let recorded = episode.actions.chunks(data.action_width());
            for (step, (action, reward)) in recorded.zip(episode.rewards).enumerate() {
                let row = first + step;
                codec.encode(action, &mut history.actions[row * width..][..width]);
                history.rewards[row] = *reward as f32;
                history.steps.push(row);
            }
            if count > 0 {
                history.terminated[first + count - 1] = episode.terminated;
                history.starts.push(first);
            }
            first += count + 1;
        }
        history.decide(policy, data, codec, target)?;
        Ok(history)
    }

    /// The policy's actions, in up to [`ROWS`] episodes at once.
    fn decide(
        &mut self,
        policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
        data: &Dataset,
        codec: &ActionCodec,
        target: Option<f64>,
    ) -> Result<(), Interrupt> {
        let (seen, acted, width) = (data.observation_width(), data.action_width(), codec.width());
        let rows = ROWS.min(data.episodes());
        let mut policy = policy(rows);
        let mut episodes = data.iter().zip(firsts(data)).enumerate();
        let mut next = || {
            let (index, (episode, first)) =
                episodes.find(|(_, (episode, _))| !episode.is_empty())?;
            Some((
                index,
                Place {
                    episode,
                    first,
                    step: 0,
                },
            ))
        };
        let mut places: Vec<Option<Place<'_>>> = (0..rows).map(|_| None).collect();
        let mut observations = vec![0.0; rows * seen];
        let mut rewards = vec![0.0; rows];
        let mut actions = vec![0.0; rows * acted];
        let mut active = Vec::with_capacity(rows);
        for call in 0.. {
            if call % CALLS == 0 {
                interrupt::check()?;
            }
            active.clear();
            for (row, place) in places.iter_mut().enumerate() {
                if place.as_ref().is_none_or(Place::is_over) {
                    let taken = next();
                    if let Some((index, _)) = taken {
                        let seed = index as u64;
                        policy.begin(row, &Start { seed, target });
                    }
                    *place = taken.map(|(_, place)| place);
                }
                let Some(place) = place else { continue };
                place.show(
                    &mut observations[row * seen..][..seen],
                    &mut actions[row * acted..][..acted],
                    &mut rewards[row],
                );
                active.push(row);
            }
            if active.is_empty() {
                break;
            }
            policy.act(&active, &observations, &rewards, &mut actions);
            for &row in &active {
                if let Some(place) = &mut places[row] {
                    let to = (place.first + place.step) * width;
                    let action = &actions[row * acted..][..acted];
                    codec.encode(action, &mut self.decisions[to..][..width]);
                    place.step += 1;
                }
            }
        }
        Ok(())
    }
}

/// The first row of each episode.
fn firsts(data: &Dataset) -> impl Iterator<Item = usize> {
    data.iter().scan(0, |first, episode| {
        let own = *first;
        *first += episode.len() + 1;
        Some(own)
    })
}

/// A step of an episode.
struct Place<'a> {
    episode: EpisodeView<'a>,
    first: usize,
    step: usize,
}

impl Place<'_> {
    /// Whether no action is needed any more: there is none in a terminal state.
    fn is_over(&self) -> bool {
        let last = self.episode.len() + usize::from(!self.episode.terminated);
        self.step >= last
    }

    /// The observation of the step, and the action and the reward before it.
    fn show(&self, observation: &mut [f64], action: &mut [f64], reward: &mut f64) {
        let (seen, acted) = (observation.len(), action.len());
        observation.copy_from_slice(&self.episode.observations[self.step * seen..][..seen]);
        if let Some(before) = self.step.checked_sub(1) {
            action.copy_from_slice(&self.episode.actions[before * acted..][..acted]);
            *reward = self.episode.rewards[before];
        } else {
            action.fill(0.0);
            *reward = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use rtg_datasets::{Episode, Info};
    use rtg_envs::{BoxSpace, Space};

    use super::*;

    /// Chooses (observation + last action + last reward + target) / 100.
    struct Sums {
        targets: Vec<f64>,
    }

    impl Policy for Sums {
        fn takes_target(&self) -> bool {
            true
        }

        fn begin(&mut self, row: usize, start: &Start) {
            self.targets.resize(self.targets.len().max(row + 1), 0.0);
            self.targets[row] = start.target.unwrap_or(0.0);
        }

        fn act(&mut self, active: &[usize], seen: &[f64], rewards: &[f64], actions: &mut [f64]) {
            for &row in active {
                actions[row] =
                    (seen[row] + actions[row] + rewards[row] + self.targets[row]) / 100.0;
            }
        }
    }

    #[test]
    fn the_policy_sees_what_was_recorded() {
        let space = |limit: f64| Space::Box(BoxSpace::float32(&[-limit], &[limit]));
        let mut data = Dataset::new(Info::new("test", space(100.0), space(1.0)));
        for (steps, terminated) in [(3, true), (2, false), (1, true)] {
            let numbers = |from: usize, count: usize| (from..from + count).map(|x| x as f64);
            data.push(Episode {
                observations: numbers(steps * 10, steps + 1).collect(),
                actions: vec![0.25; steps],
                rewards: numbers(1, steps).collect(),
                terminated,
                truncated: !terminated,
                seed: None,
            })
            .unwrap();
        }
        let codec = ActionCodec::of(
            crate::algorithms::action_codec::BoxUnits::Unit,
            &data.info().action_space,
        )
        .unwrap();
        let mut made = |_: usize| -> Box<dyn Policy> {
            Box::new(Sums {
                targets: Vec::new(),
            })
        };
        let history = History::of(&mut made, &data, &codec, Some(7.0)).unwrap();
        assert_eq!(history.starts, [0, 4, 7]);
        assert_eq!(history.steps, [0, 1, 2, 4, 5, 7]);
        let ends: Vec<usize> = (0..9).filter(|&row| history.terminated[row]).collect();
        assert_eq!(ends, [2, 7]);
        // No action in the terminal states of rows 3 and 8, one after the cut of row 6.
        let wanted = [
            30.0,
            31.0 + 1.25,
            32.0 + 2.25,
            -7.0,
            20.0,
            21.0 + 1.25,
            22.0 + 2.25,
            10.0,
            -7.0,
        ];
        for (found, wanted) in history.decisions.iter().zip(wanted) {
            assert!(
                (f64::from(*found) - (wanted + 7.0) / 100.0).abs() < 1e-6,
                "{found} {wanted}"
            );
        }
        // Returns-to-go over the largest, which is the target; steps over the longest episode.
        let conditions: Vec<f32> = (history.inputs.chunks(3))
            .flat_map(|row| [row[1] * 7.0, row[2] * 3.0])
            .collect();
        let wanted = [
            7.0, 0.0, 6.0, 1.0, 4.0, 2.0, 1.0, 3.0, 7.0, 0.0, 6.0, 1.0, 4.0, 2.0, 7.0, 0.0, 6.0,
            1.0,
        ];
        for (found, wanted) in conditions.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5, "{conditions:?}");
        }
    }
}
