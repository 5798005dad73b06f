//! The episodes that a replay buffer was filled with.

use super::{Link, REWARD, ReplayBuffer, TERMINATED};
use crate::Episode;

impl ReplayBuffer {
    /// All its steps, as episodes in the order of their first steps, numbers as stored. An episode
    /// whose first steps were overwritten begins with the rest; one in progress ends with its
    /// newest step, as if a time limit had cut it off there.
    pub fn episodes(&self) -> impl Iterator<Item = Episode> + '_ {
        let held = self.len();
        let mut is_first = vec![true; held];
        for row in 0..held {
            if let Link::Row(next) = self.link(row) {
                is_first[next] = false;
            }
        }
        let oldest = if held == self.capacity { self.head } else { 0 };
        let by_age = (0..held).map(move |age| (oldest + age) % held);
        let firsts = by_age.filter(move |row| is_first[*row]);
        firsts.map(|row| self.episode_from(row))
    }

    fn episode_from(&self, mut row: usize) -> Episode {
        let (s, a) = (self.shape.observation, self.action_space.width());
        let mut episode = Episode {
            observations: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            terminated: false,
            truncated: false,
            seed: None,
        };
        loop {
            let (observation, rest) = self.row(row).split_at(s);
            let exact = |numbers: &[f32]| -> Vec<f64> {
                numbers.iter().map(|number| f64::from(*number)).collect()
            };
            episode.observations.extend(exact(observation));
            episode.actions.extend(exact(&rest[..a]));
            episode.rewards.push(f64::from(rest[a + REWARD]));
            match self.link(row) {
                Link::Row(next) => row = next,
                Link::Final(place) => {
                    let last = &self.finals[place * s..(place + 1) * s];
                    episode.observations.extend(exact(last));
                    episode.terminated = rest[a + TERMINATED] > 0.0;
                    episode.truncated = !episode.terminated;
                    return episode;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rtg_envs::{BoxSpace, Space};

    use super::super::{Experience, ReplayBuffer};
    use crate::Episode;
    use crate::sample::TransitionConfig;

    #[test]
    fn episodes_round_trip_except_for_overwritten_steps() {
        let observation = Space::Box(BoxSpace::unbounded(1));
        let action = Space::Box(BoxSpace::float32(&[-1.0], &[1.0]));
        let config = TransitionConfig::default();
        let mut replay = ReplayBuffer::new(&observation, &action, 5, config).unwrap();
        assert_eq!(replay.episodes().count(), 0);
        // Two interleaved environments; the first one's episode ends with its third step.
        for step in 0..4_u8 {
            for stream in 0..2_u8 {
                let at = f64::from(10 * stream + step);
                let pushed = replay.push(
                    usize::from(stream),
                    &Experience {
                        observation: &[at],
                        action: &[0.25 * f64::from(step)],
                        reward: at,
                        next_observation: &[at + 1.0],
                        terminated: stream == 0 && step == 2,
                        truncated: false,
                    },
                );
                pushed.unwrap();
            }
        }
        // Steps 0 of both and step 1 of the first one are lost.
        let episodes: Vec<Episode> = replay.episodes().collect();
        let rewards: Vec<&[f64]> = episodes.iter().map(|one| &one.rewards[..]).collect();
        assert_eq!(rewards, [&[11.0, 12.0, 13.0][..], &[2.0], &[3.0]]);
        assert_eq!(episodes[0].observations, [11.0, 12.0, 13.0, 14.0]);
        assert_eq!(episodes[0].actions, [0.25, 0.5, 0.75]);
        let ends: Vec<_> = episodes
            .iter()
            .map(|one| (one.terminated, one.truncated))
            .collect();
        assert_eq!(ends, [(false, true), (true, false), (false, true)]);
    }
}
