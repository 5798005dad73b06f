//! A dataset in memory: contiguous columns and the places where episodes begin.
//!
//! Three flat `f64` columns hold all episodes one after the other. Episode `i` of `T` steps owns
//! `T` rows of actions and rewards and `T + 1` rows of observations, so its observations begin
//! `i` rows later than its actions do.

use std::fmt;

use rtg_envs::Space;
use sha2::{Digest, Sha256};

use crate::{Column, Episode, EpisodeView, Error, Finding};

/// What a dataset knows about itself besides its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Minari's id, or a file's name without its ending.
    pub id: String,
    /// The environment in which the data were recorded, as Gymnasium names it.
    pub env_id: Option<String>,
    /// Steps after which that environment truncates an episode.
    pub max_episode_steps: Option<usize>,
    /// The space of an observation row.
    pub observation_space: Space,
    /// The space of an action row.
    pub action_space: Space,
    /// Where the data come from, as a sentence for people.
    pub provenance: String,
}

/// What becomes of defective episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defects {
    /// They are errors: the data are for training.
    Refuse,
    /// They are kept, completed where a part is missing, for the doctor to look at.
    Keep,
}

/// A dataset in memory.
pub struct Dataset {
    info: Info,
    defects: Defects,
    observations: Vec<f64>,
    actions: Vec<f64>,
    rewards: Vec<f64>,
    /// The first step of each episode, and the number of all steps as the last entry.
    starts: Vec<usize>,
    ends: Vec<End>,
    findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    terminated: bool,
    truncated: bool,
    seed: Option<u64>,
}

impl Dataset {
    /// An empty dataset that refuses defective episodes.
    pub fn new(info: Info) -> Self {
        Self::with(info, Defects::Refuse)
    }

    /// An empty dataset, and what it does with defective episodes.
    pub fn with(info: Info, defects: Defects) -> Self {
        Self {
            info,
            defects,
            observations: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            starts: vec![0],
            ends: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Appends an episode, or leaves the dataset as it was and says what is wrong with it.
    ///
    /// Widths must fit the spaces in any case. Numbers that are not finite are an error unless
    /// the dataset keeps defects.
    pub fn push(&mut self, episode: Episode) -> Result<(), Error> {
        let index = self.episodes();
        let steps = episode.len();
        if steps == 0 {
            return Err(Error::EmptyEpisode { episode: index });
        }
        let width = |column, found, expected| {
            let fits = found == expected;
            fits.then_some(()).ok_or(Error::Width {
                episode: index,
                column,
                found,
                expected,
            })
        };
        let observation_width = self.observation_width();
        width(
            Column::Action,
            episode.actions.len(),
            steps * self.action_width(),
        )?;
        if episode.observations.len() == steps * observation_width && observation_width > 0 {
            return Err(Error::ObservationRows {
                episode: index,
                rows: steps,
                steps,
            });
        }
        let expected = (steps + 1) * observation_width;
        width(Column::Observation, episode.observations.len(), expected)?;
        if self.defects == Defects::Refuse {
            finite(
                index,
                Column::Observation,
                &episode.observations,
                observation_width,
            )?;
            finite(index, Column::Action, &episode.actions, self.action_width())?;
            finite(index, Column::Reward, &episode.rewards, 1)?;
        }
        let end = End {
            terminated: episode.terminated,
            truncated: episode.truncated,
            seed: episode.seed,
        };
        self.ends.push(end);
        self.observations.extend(episode.observations);
        self.actions.extend(episode.actions);
        self.rewards.extend(episode.rewards);
        self.starts.push(self.rewards.len());
        Ok(())
    }

    /// Makes room for that many more steps, to spare repeated growing.
    pub fn reserve(&mut self, steps: usize) {
        self.observations.reserve(steps * self.observation_width());
        self.actions.reserve(steps * self.action_width());
        self.rewards.reserve(steps);
    }

    /// Notes something that only the reader could see, for [`doctor::examine`](crate::doctor::examine).
    pub(crate) fn note(&mut self, finding: Finding) {
        if finding.count > 0 {
            self.findings.push(finding);
        }
    }

    /// What the reader noted.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What the dataset knows about itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The number of episodes.
    pub fn episodes(&self) -> usize {
        self.ends.len()
    }

    /// The number of steps in all episodes.
    pub fn steps(&self) -> usize {
        self.rewards.len()
    }

    /// Numbers in an observation row, `S`.
    pub fn observation_width(&self) -> usize {
        self.info.observation_space.width()
    }

    /// Numbers in a stored action row, `A`; 1 for a discrete action.
    pub fn action_width(&self) -> usize {
        self.info.action_space.width()
    }

    /// The first step of each episode, counted over all episodes, and the number of all steps.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// One episode.
    ///
    /// # Panics
    /// If there is no episode of that index.
    pub fn episode(&self, index: usize) -> EpisodeView<'_> {
        let (start, end) = (self.starts[index], self.starts[index + 1]);
        let (observation_width, action_width) = (self.observation_width(), self.action_width());
        let End {
            terminated,
            truncated,
            seed,
        } = self.ends[index];
        EpisodeView {
            observations: &self.observations
                [(start + index) * observation_width..(end + index + 1) * observation_width],
            actions: &self.actions[start * action_width..end * action_width],
            rewards: &self.rewards[start..end],
            terminated,
            truncated,
            seed,
        }
    }

    /// All episodes in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EpisodeView<'_>> {
        (0..self.episodes()).map(|index| self.episode(index))
    }

    /// A hash of the content, the same for every storage format: 64 hexadecimal digits.
    ///
    /// It is the SHA-256 of the text `rtg-dataset-1`, then, as little-endian 64-bit numbers, `S`,
    /// `A` and the number of episodes, then for each episode its steps (64 bits), its two flags
    /// (a byte each), and its observations, actions and rewards as little-endian `f64`. Seeds,
    /// spaces and names are not part of it.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"rtg-dataset-1");
        for size in [
            self.observation_width(),
            self.action_width(),
            self.episodes(),
        ] {
            hash.update((size as u64).to_le_bytes());
        }
        let mut bytes = Vec::new();
        for episode in self.iter() {
            bytes.clear();
            bytes.extend((episode.len() as u64).to_le_bytes());
            bytes.extend([u8::from(episode.terminated), u8::from(episode.truncated)]);
            for column in [episode.observations, episode.actions, episode.rewards] {
                bytes.extend(column.iter().flat_map(|number| number.to_le_bytes()));
            }
            hash.update(&bytes);
        }
        hash.finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
                text
            })
    }
}

/// Names and sizes; the columns would fill the screen.
impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dataset")
            .field("id", &self.info.id)
            .field("episodes", &self.episodes())
            .field("steps", &self.steps())
            .finish_non_exhaustive()
    }
}

/// Refuses the first number that is not finite.
fn finite(episode: usize, column: Column, numbers: &[f64], width: usize) -> Result<(), Error> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            column,
            episode,
            step: at / width,
            dimension: at % width,
            value: numbers[at],
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rtg_envs::{BoxSpace, Dtype};

    use super::*;

    /// A box without bounds.
    pub(crate) fn unbounded(width: usize) -> Space {
        let shape = vec![width];
        let (low, high) = (vec![f64::NEG_INFINITY; width], vec![f64::INFINITY; width]);
        Space::Box(BoxSpace {
            low,
            high,
            shape,
            dtype: Dtype::Float64,
        })
    }

    /// A dataset of the given lengths: observation `[e + t/100, t]`, action `10 e + t`, reward 1.
    pub(crate) fn staircase(lengths: &[usize]) -> Dataset {
        let info = Info {
            id: "staircase".into(),
            env_id: None,
            max_episode_steps: None,
            observation_space: unbounded(2),
            action_space: unbounded(1),
            provenance: "made for tests".into(),
        };
        let mut dataset = Dataset::new(info);
        for (e, &steps) in lengths.iter().enumerate() {
            let row = |t| [e as f64 + t as f64 / 100.0, t as f64];
            dataset
                .push(Episode {
                    observations: (0..=steps).flat_map(row).collect(),
                    actions: (0..steps).map(|t| (10 * e + t) as f64).collect(),
                    rewards: (0..steps).map(|t| (e + t) as f64).collect(),
                    terminated: true,
                    ..Episode::default()
                })
                .unwrap();
        }
        dataset
    }

    #[test]
    fn episodes_come_back_as_they_were_pushed() {
        let dataset = staircase(&[3, 1, 2]);
        assert_eq!((dataset.episodes(), dataset.steps()), (3, 6));
        let last = dataset.episode(2);
        assert_eq!(last.observations, [2.0, 0.0, 2.01, 1.0, 2.02, 2.0]);
        assert_eq!(last.actions, [20.0, 21.0]);
        assert_eq!(last.rewards, [2.0, 3.0]);
        assert_eq!(
            dataset
                .iter()
                .map(|episode| episode.len())
                .collect::<Vec<_>>(),
            [3, 1, 2]
        );
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_named() {
        let mut dataset = staircase(&[2]);
        let mut episode = Episode {
            observations: vec![0.0, 1.0, 2.0, 3.0, 4.0, f64::NAN],
            actions: vec![0.0, 0.0],
            rewards: vec![0.0, 0.0],
            ..Episode::default()
        };
        let error = dataset.push(episode.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "observation is NaN at episode 1, step 2, dimension 1"
        );
        episode.observations[5] = 5.0;
        episode.rewards[1] = f64::INFINITY;
        let error = dataset.push(episode.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reward is inf at episode 1, step 1, dimension 0"
        );
        episode.rewards[1] = 0.0;
        episode.actions[0] = f64::NEG_INFINITY;
        let error = dataset.push(episode.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "action is -inf at episode 1, step 0, dimension 0"
        );
        assert_eq!((dataset.episodes(), dataset.steps()), (1, 2));

        let mut keeping = Dataset::with(dataset.info().clone(), Defects::Keep);
        keeping.push(episode).unwrap();
        assert_eq!(keeping.episodes(), 1);
    }

    #[test]
    fn episodes_of_the_wrong_size_are_refused() {
        let mut dataset = staircase(&[]);
        let episode = Episode {
            observations: vec![0.0; 4],
            actions: vec![0.0; 2],
            rewards: vec![0.0; 2],
            ..Episode::default()
        };
        let error = dataset.push(episode.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "episode 0 has 2 observations for 2 steps, expected 3"
        );
        let error = dataset
            .push(Episode {
                actions: vec![0.0; 3],
                ..episode.clone()
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "episode 0 has 3 action numbers, expected 2"
        );
        let error = dataset
            .push(Episode {
                observations: vec![0.0; 7],
                ..episode
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "episode 0 has 7 observation numbers, expected 6"
        );
        let error = dataset.push(Episode::default()).unwrap_err();
        assert_eq!(error.to_string(), "episode 0 has no steps");
    }

    #[test]
    fn the_hash_depends_on_numbers_and_flags_and_on_nothing_else() {
        let dataset = staircase(&[3, 1]);
        let copy = |change: &dyn Fn(&mut Episode)| {
            let mut copy = Dataset::new(Info {
                id: "other".into(),
                ..dataset.info().clone()
            });
            for view in dataset.iter() {
                let mut episode = Episode {
                    observations: view.observations.to_vec(),
                    actions: view.actions.to_vec(),
                    rewards: view.rewards.to_vec(),
                    terminated: view.terminated,
                    truncated: view.truncated,
                    seed: None,
                };
                change(&mut episode);
                copy.push(episode).unwrap();
            }
            copy.hash()
        };
        assert_eq!(copy(&|episode| episode.seed = Some(1)), dataset.hash());
        assert_ne!(copy(&|episode| episode.truncated = true), dataset.hash());
        assert_ne!(copy(&|episode| episode.rewards[0] += 1e-9), dataset.hash());
        assert_eq!(dataset.hash().len(), 64);
        // Recorded once: a change of the definition would orphan the hashes in published results.
        assert_eq!(&staircase(&[2, 1]).hash()[..16], "d75a2c9f52415e12");
    }
}
