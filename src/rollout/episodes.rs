//! Whole episodes out of transitions, in the order of their starts.

use std::collections::BTreeMap;

use rtg_datasets::Episode;

use super::{Beginning, Rollout, Transition, TransitionSink};
use crate::policy::Policy;

/// Records episodes. They end in any order and are returned in the order of their starts.
#[derive(Debug, Default)]
pub struct Episodes {
    /// Begun episodes by the number of their start: whether it has ended, and its steps.
    begun: BTreeMap<usize, (bool, Episode)>,
    next: usize,
}

impl Episodes {
    /// The next episode in the order of the starts, if it has ended.
    pub fn pop(&mut self) -> Option<Episode> {
        let first = self.begun.first_entry()?;
        if *first.key() != self.next || !first.get().0 {
            return None;
        }
        self.next += 1;
        Some(first.remove().1)
    }
}

impl TransitionSink for Episodes {
    fn begun(&mut self, beginning: &Beginning<'_>) {
        let episode = Episode {
            observations: beginning.observation.to_vec(),
            seed: Some(beginning.start.seed),
            ..Episode::default()
        };
        self.begun.insert(beginning.index, (false, episode));
    }

    fn stepped(&mut self, transition: &Transition<'_>) {
        let Some((ended, episode)) = self.begun.get_mut(&transition.index) else {
            return;
        };
        episode
            .observations
            .extend_from_slice(transition.next_observation);
        episode.actions.extend_from_slice(transition.action);
        episode.rewards.push(transition.reward);
        episode.terminated = transition.terminated;
        episode.truncated = transition.truncated;
        *ended = transition.ended.is_some();
    }
}

/// How much to record, in whole episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionSize {
    /// At least this many steps: the last episode is played to its end.
    Steps(usize),
    /// This many episodes.
    Episodes(usize),
}

impl Rollout {
    /// Plays every start and returns the episodes in the order of the starts. For a rollout that
    /// has not begun.
    pub fn run_episodes(mut self, policy: &mut dyn Policy) -> Vec<Episode> {
        let mut episodes = Episodes::default();
        self.play(policy, &mut episodes);
        std::iter::from_fn(|| episodes.pop()).collect()
    }

    /// Plays until the amount is reached, and passes the episodes to `keep` in the order of the
    /// starts: the fewest that make up the amount, so that they are the same for any number of
    /// rows. For a rollout that has not begun.
    ///
    /// A start that cannot be needed any more is not taken.
    ///
    /// # Errors
    /// The first of `keep`, at once.
    pub fn collect<E>(
        mut self,
        policy: &mut dyn Policy,
        amount: CollectionSize,
        keep: &mut dyn FnMut(Episode) -> Result<(), E>,
    ) -> Result<(), E> {
        if let CollectionSize::Episodes(count) = amount {
            let starts = self.starts;
            self.starts = Box::new(move |index| (index < count).then(|| starts(index)).flatten());
        }
        let mut episodes = Episodes::default();
        // Steps taken; steps and episodes passed on.
        let (mut taken, mut steps, mut count) = (0, 0, 0);
        let rows = self.rows();
        loop {
            let is_enough = match amount {
                CollectionSize::Steps(wanted) => steps >= wanted,
                CollectionSize::Episodes(wanted) => count >= wanted,
            };
            if is_enough {
                return Ok(());
            }
            if let Some(episode) = episodes.pop() {
                steps += episode.len();
                count += 1;
                keep(episode)?;
                continue;
            }
            let more = self.advance(policy, rows, &mut episodes);
            if more == 0 {
                return Ok(());
            }
            taken += more;
            // The episodes that have begun hold enough, and those before the next start count
            // first.
            self.exhausted |= matches!(amount, CollectionSize::Steps(wanted) if taken >= wanted);
        }
    }
}
