//! A replay of whole trajectories: the recorded ones, and those of an agent that is learning while
//! it acts, whose windows are drawn from.
//!
//! It starts with the best recorded trajectories, in ascending order of their returns. New ones are
//! appended until it is full; then each replaces another, in the order of the places, so the worst
//! recorded ones leave first (the replay buffer of facebookresearch/online-dt, `replay_buffer.py`).

use rtg_envs::Space;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Episode, Error};

/// At most `capacity` trajectories.
#[derive(Clone)]
pub struct TrajectoryBuffer {
    recorded: Dataset,
    capacity: usize,
    places: Vec<Place>,
    /// The place that is replaced next, once all are taken.
    next: usize,
}

/// What a place holds.
#[derive(Clone)]
enum Place {
    /// A recorded trajectory, by its index in the dataset.
    Recorded(usize),
    /// One of the agent's own.
    New(Episode),
}

/// The description of a buffer's content, next to the numbers of its new trajectories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrajectoryInfo {
    /// For each place the index of a recorded trajectory; none for a new one.
    pub places: Vec<Option<usize>>,
    /// The place that is replaced next.
    pub next: usize,
    /// The new trajectories in the order of their places, and any that follow.
    pub new: Vec<NewTrajectory>,
}

/// The length of a new trajectory, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTrajectory {
    /// Its steps.
    pub steps: usize,
    /// Whether the last one reached a terminal state.
    pub terminated: bool,
    /// Whether it was cut off.
    pub truncated: bool,
}

impl TrajectoryBuffer {
    /// A buffer with the best of the recorded trajectories, at most `capacity`. With `drop_worst`
    /// the one of the least return is not used, as in online-dt, unless it is the only one.
    ///
    /// # Errors
    /// A capacity of 0, or no trajectories.
    pub fn new(recorded: &Dataset, capacity: usize, drop_worst: bool) -> Result<Self, Error> {
        if capacity == 0 || recorded.episodes() == 0 {
            let reason = "a replay of trajectories needs a capacity and recorded trajectories";
            return Err(Error::Sampling(reason.to_owned()));
        }
        let returns: Vec<f64> = recorded.iter().map(|episode| episode.return_()).collect();
        let mut order: Vec<usize> = (0..returns.len()).collect();
        order.sort_by(|&a, &b| returns[a].total_cmp(&returns[b]));
        let dropped = usize::from(drop_worst && order.len() > 1);
        let first = order.len().saturating_sub(capacity).max(dropped);
        Ok(Self {
            recorded: recorded.clone(),
            capacity,
            places: order[first..]
                .iter()
                .map(|&at| Place::Recorded(at))
                .collect(),
            next: 0,
        })
    }

    /// The number of trajectories.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The returns of the trajectories, in the order of their places.
    pub fn returns(&self) -> impl Iterator<Item = f64> {
        self.places.iter().map(|place| match place {
            Place::Recorded(at) => self.recorded.episode(*at).return_(),
            Place::New(episode) => episode.return_(),
        })
    }

    /// Adds a trajectory.
    pub fn push(&mut self, episode: Episode) {
        if self.places.len() < self.capacity {
            self.places.push(Place::New(episode));
        } else {
            self.places[self.next] = Place::New(episode);
            self.next = (self.next + 1) % self.capacity;
        }
    }

    /// All trajectories as a dataset: the recorded ones, which share their numbers, then the new
    /// ones, each in the order of their places.
    ///
    /// # Errors
    /// A new trajectory whose numbers do not fit the recorded ones' spaces.
    pub fn dataset(&self) -> Result<Dataset, Error> {
        let recorded = self.places.iter().filter_map(|place| match place {
            Place::Recorded(at) => Some(*at),
            Place::New(_) => None,
        });
        let recorded: Vec<usize> = recorded.collect();
        let mut data = self.recorded.of(&recorded);
        for episode in self.new_ones() {
            data.push(episode.clone())?;
        }
        Ok(data)
    }

    /// The agent's own trajectories.
    fn new_ones(&self) -> impl Iterator<Item = &Episode> {
        self.places.iter().filter_map(|place| match place {
            Place::New(episode) => Some(episode),
            Place::Recorded(_) => None,
        })
    }

    /// Its description and the numbers of its new trajectories and of `more`: observations,
    /// actions, rewards.
    pub fn state(&self, more: &Episode) -> (TrajectoryInfo, [Vec<f64>; 3]) {
        let mut columns = [Vec::new(), Vec::new(), Vec::new()];
        let mut new = Vec::new();
        for episode in self.new_ones().chain([more]) {
            columns[0].extend_from_slice(&episode.observations);
            columns[1].extend_from_slice(&episode.actions);
            columns[2].extend_from_slice(&episode.rewards);
            new.push(NewTrajectory {
                steps: episode.len(),
                terminated: episode.terminated,
                truncated: episode.truncated,
            });
        }
        let places = self.places.iter().map(|place| match place {
            Place::Recorded(at) => Some(*at),
            Place::New(_) => None,
        });
        let info = TrajectoryInfo {
            places: places.collect(),
            next: self.next,
            new,
        };
        (info, columns)
    }

    /// Restores what [`state`](Self::state) returned, and returns `more`. The buffer was made from
    /// the same recorded trajectories, with the same capacity.
    ///
    /// # Errors
    /// Numbers or places that do not fit.
    pub fn restore(
        &mut self,
        info: &TrajectoryInfo,
        columns: &[Vec<f64>; 3],
    ) -> Result<Episode, Error> {
        let unfit = || Error::Sampling("its trajectories contradict each other".to_owned());
        let spaces = [
            &self.recorded.info().observation_space,
            &self.recorded.info().action_space,
        ];
        let [s, a] = spaces.map(Space::width);
        let mut rest = columns.each_ref().map(Vec::as_slice);
        let mut cut = |which: usize, count: usize| -> Result<Vec<f64>, Error> {
            let (taken, others) = rest[which].split_at_checked(count).ok_or_else(unfit)?;
            rest[which] = others;
            Ok(taken.to_vec())
        };
        let mut episodes = Vec::new();
        for trajectory in &info.new {
            let steps = trajectory.steps;
            // An episode that has not begun has no observations either.
            let rows = if steps == 0 {
                0
            } else {
                steps.saturating_add(1)
            };
            episodes.push(Episode {
                observations: cut(0, rows.saturating_mul(s))?,
                actions: cut(1, steps.saturating_mul(a))?,
                rewards: cut(2, steps)?,
                terminated: trajectory.terminated,
                truncated: trajectory.truncated,
                seed: None,
            });
        }
        let more = episodes.pop().ok_or_else(unfit)?;
        let mut new = episodes.into_iter();
        let places = info.places.iter().map(|place| match place {
            Some(at) if *at < self.recorded.episodes() => Some(Place::Recorded(*at)),
            Some(_) => None,
            None => new.next().map(Place::New),
        });
        let places: Vec<Place> = places.collect::<Option<_>>().ok_or_else(unfit)?;
        let fits = (1..=self.capacity).contains(&places.len())
            && info.next < self.capacity
            && new.next().is_none()
            && rest.iter().all(|rest| rest.is_empty());
        if !fits {
            return Err(unfit());
        }
        (self.places, self.next) = (places, info.next);
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Info;
    use rtg_envs::BoxSpace;

    /// An episode of some steps, whose rewards add up to `return_`.
    fn episode(return_: f64, steps: usize) -> Episode {
        Episode {
            observations: (0..=steps).map(|row| return_ + row as f64).collect(),
            actions: vec![0.5; steps],
            rewards: vec![return_ / steps as f64; steps],
            terminated: true,
            truncated: false,
            seed: None,
        }
    }

    fn recorded(returns: &[f64]) -> Dataset {
        let space = || Space::Box(BoxSpace::float32(&[-100.0], &[100.0]));
        let mut data = Dataset::new(Info::new("recorded", space(), space()));
        for return_ in returns {
            data.push(episode(*return_, 2)).unwrap();
        }
        data
    }

    fn returns(buffer: &TrajectoryBuffer) -> Vec<f64> {
        buffer.returns().collect()
    }

    #[test]
    fn the_best_are_kept_and_the_worst_replaced_first() {
        let data = recorded(&[4.0, 1.0, 6.0, 2.0, 8.0]);
        let mut buffer = TrajectoryBuffer::new(&data, 4, false).unwrap();
        assert_eq!(returns(&buffer), [2.0, 4.0, 6.0, 8.0]);
        for (new, expected) in [
            (3.0, [3.0, 4.0, 6.0, 8.0]),
            (10.0, [3.0, 10.0, 6.0, 8.0]),
            (0.0, [3.0, 10.0, 0.0, 8.0]),
            (12.0, [3.0, 10.0, 0.0, 12.0]),
            (14.0, [14.0, 10.0, 0.0, 12.0]),
        ] {
            buffer.push(episode(new, 3));
            assert_eq!(returns(&buffer), expected);
        }
        let drawn = buffer.dataset().unwrap();
        assert_eq!((drawn.episodes(), drawn.steps()), (4, 12));
    }

    #[test]
    fn until_it_is_full_new_ones_are_appended_and_only_on_request_the_worst_is_dropped() {
        let data = recorded(&[4.0, 1.0, 6.0]);
        let mut buffer = TrajectoryBuffer::new(&data, 4, false).unwrap();
        assert_eq!(returns(&buffer), [1.0, 4.0, 6.0]);
        buffer.push(episode(0.0, 1));
        assert_eq!(returns(&buffer), [1.0, 4.0, 6.0, 0.0]);
        buffer.push(episode(2.0, 1));
        assert_eq!(returns(&buffer), [2.0, 4.0, 6.0, 0.0]);
        // The recorded ones come first.
        let drawn: Vec<f64> = (buffer.dataset().unwrap().iter())
            .map(|e| e.return_())
            .collect();
        assert_eq!(drawn, [4.0, 6.0, 2.0, 0.0]);

        let buffer = TrajectoryBuffer::new(&data, 4, true).unwrap();
        assert_eq!(returns(&buffer), [4.0, 6.0]);
        // Where the capacity drops it, no other is dropped for it.
        assert_eq!(
            returns(&TrajectoryBuffer::new(&data, 2, true).unwrap()),
            [4.0, 6.0]
        );
        let one = recorded(&[3.0]);
        assert_eq!(
            returns(&TrajectoryBuffer::new(&one, 4, true).unwrap()),
            [3.0]
        );
        assert!(TrajectoryBuffer::new(&recorded(&[]), 4, false).is_err());
    }

    #[test]
    fn a_restored_buffer_continues_as_the_first() {
        let data = recorded(&[4.0, 1.0, 6.0]);
        let mut buffer = TrajectoryBuffer::new(&data, 4, false).unwrap();
        buffer.push(episode(0.0, 1));
        buffer.push(episode(2.0, 3));
        for more in [Episode::default(), episode(9.0, 2)] {
            let (info, columns) = buffer.state(&more);
            let mut restored = TrajectoryBuffer::new(&data, 4, false).unwrap();
            assert_eq!(restored.restore(&info, &columns).unwrap(), more);
            for new in [11.0, 12.0, 13.0] {
                let mut both = [buffer.clone(), restored.clone()];
                for buffer in &mut both {
                    buffer.push(episode(new, 2));
                }
                assert_eq!(returns(&both[0]), returns(&both[1]));
                let [first, second] = both.map(|buffer| buffer.dataset().unwrap().hash());
                assert_eq!(first, second);
            }
            // A damaged description.
            let mut shorter = columns.clone();
            shorter[2].pop();
            assert!(restored.restore(&info, &shorter).is_err());
            for place in [None, Some(3)] {
                let mut other = info.clone();
                other.places[1] = place;
                assert!(restored.restore(&other, &columns).is_err());
            }
        }
    }
}
