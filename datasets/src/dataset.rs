//! A dataset: columns of numbers, and a list of episodes stored in them.
//!
//! A column set ([`Columns`]) stores episodes one after the other as flat `f64` numbers: an episode
//! of `T` steps owns `T` rows of actions and rewards and `T + 1` rows of observations. The columns
//! are shared, in memory or mapped from a file; each dataset has its own list of episodes. So a
//! dataset is cheap to clone, and a selection or a mixture ([`crate::select`]) is another list over
//! the same numbers.

mod labels;
mod numbers;

use std::fmt;
use std::path::Path;

use rtg_envs::Space;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::labels::{LabelKind, Labels, hash_of};
pub(crate) use self::numbers::Numbers;
use crate::{EnvSpec, Episode, EpisodeColumn, EpisodeView, Error, Finding};

/// The description of a dataset, besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Minari's id, or a file's name without its extension.
    pub id: String,
    /// The environment in which the data were recorded, with its options and wrappers.
    pub env_spec: Option<EnvSpec>,
    /// Steps after which that environment truncates an episode.
    pub max_episode_steps: Option<usize>,
    /// The space of an observation row.
    pub observation_space: Space,
    /// The space of an action row.
    pub action_space: Space,
    /// The parts that an observation row was composed of; empty if it is one piece.
    pub observation_parts: Vec<Part>,
    /// The parts that an action row was composed of; empty if it is one piece.
    pub action_parts: Vec<Part>,
    /// Where the data come from, as a sentence for display.
    pub provenance: String,
}

/// A part of a Dict or Tuple in a flat row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its key or number.
    pub name: String,
    /// Numbers in each row.
    pub width: usize,
}

impl Info {
    /// The description of data of which only the spaces are known.
    pub fn new(id: &str, observation_space: Space, action_space: Space) -> Self {
        Self {
            id: id.to_owned(),
            env_spec: None,
            max_episode_steps: None,
            observation_space,
            action_space,
            observation_parts: Vec::new(),
            action_parts: Vec::new(),
            provenance: String::new(),
        }
    }

    /// The environment as Gymnasium names it.
    pub fn env_id(&self) -> Option<&str> {
        Some(self.env_spec.as_ref()?.id.as_str())
    }
}

/// How defective episodes are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defects {
    /// They are errors: the data are for training.
    Refuse,
    /// They are kept, completed where a part is missing, so that the doctor can report them.
    Keep,
}

/// Receives a source's episodes one after the other.
pub(crate) trait EpisodeReceiver {
    /// Adds an episode; the error says what is wrong with it.
    fn push(&mut self, episode: Episode) -> Result<(), Error>;
    /// Records a finding that only the reader can make.
    fn note(&mut self, finding: Finding);
}

impl EpisodeReceiver for Dataset {
    fn push(&mut self, episode: Episode) -> Result<(), Error> {
        self.push(episode)
    }

    fn note(&mut self, finding: Finding) {
        self.note(finding);
    }
}

/// Stored trajectories. Cloning shares the numbers.
#[derive(Clone)]
pub struct Dataset {
    pub(crate) info: Info,
    defects: Defects,
    /// Several after mixing or growing something shared; see [`Place::columns`].
    pub(crate) columns: Vec<Columns>,
    pub(crate) places: Vec<Place>,
    /// The first step of each episode, and the number of all steps as the last entry.
    starts: Vec<usize>,
    /// For each episode the weight of its steps when drawn; `None`: all equal.
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) findings: Vec<Finding>,
    /// The hash, where it was computed before.
    pub(crate) known_hash: Option<String>,
    /// What windows have in place of the returns-to-go.
    labels: Option<Labels>,
}

/// The numbers of some episodes.
#[derive(Clone)]
pub(crate) struct Columns {
    pub(crate) observations: Numbers,
    pub(crate) actions: Numbers,
    pub(crate) rewards: Numbers,
}

/// Where an episode is stored, and how it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which of the dataset's column sets.
    pub(crate) columns: usize,
    /// The row of its first observation.
    pub(crate) observation: usize,
    /// The row of its first action and reward.
    pub(crate) step: usize,
    pub(crate) steps: usize,
    pub(crate) terminated: bool,
    pub(crate) truncated: bool,
    pub(crate) seed: Option<u64>,
}

impl Columns {
    fn empty() -> Self {
        Self {
            observations: Numbers::new(),
            actions: Numbers::new(),
            rewards: Numbers::new(),
        }
    }

    /// Whether these columns are in memory and not shared.
    fn can_grow(&mut self) -> bool {
        self.observations.is_own() && self.actions.is_own() && self.rewards.is_own()
    }
}

impl Dataset {
    /// An empty dataset that refuses defective episodes.
    pub fn new(info: Info) -> Self {
        Self::with(info, Defects::Refuse)
    }

    /// An empty dataset that treats defective episodes as given.
    pub fn with(info: Info, defects: Defects) -> Self {
        Self::over(info, defects, Vec::new(), Vec::new())
    }

    /// A dataset of the episodes at these places.
    pub(crate) fn over(
        info: Info,
        defects: Defects,
        columns: Vec<Columns>,
        places: Vec<Place>,
    ) -> Self {
        let steps = places.iter().scan(0, |steps, place| {
            *steps += place.steps;
            Some(*steps)
        });
        Self {
            info,
            defects,
            columns,
            starts: [0].into_iter().chain(steps).collect(),
            places,
            weights: None,
            findings: Vec::new(),
            known_hash: None,
            labels: None,
        }
    }

    /// Appends an episode; on an error the dataset is unchanged.
    ///
    /// Widths must fit the spaces in any case. Numbers that are not finite are an error unless
    /// the dataset keeps defects.
    pub fn push(&mut self, episode: Episode) -> Result<(), Error> {
        check(&self.info, self.defects, self.episodes(), &episode)?;
        let steps = episode.len();
        let [observations, actions, rewards] = self.grow();
        observations.extend(episode.observations);
        actions.extend(episode.actions);
        rewards.extend(episode.rewards);
        let step = rewards.len() - steps;
        let observation = observations.len();
        let place = Place {
            columns: self.columns.len() - 1,
            observation: rows(observation, self.observation_width()).saturating_sub(steps + 1),
            step,
            steps,
            terminated: episode.terminated,
            truncated: episode.truncated,
            seed: episode.seed,
        };
        self.places.push(place);
        self.starts.push(self.steps() + steps);
        if let Some(weights) = &mut self.weights {
            weights.push(1.0);
        }
        self.known_hash = None;
        self.labels = None;
        Ok(())
    }

    /// Reserves memory for that many more steps, to avoid repeated growth.
    pub fn reserve(&mut self, steps: usize) {
        let (observation_width, action_width) = (self.observation_width(), self.action_width());
        let [observations, actions, rewards] = self.grow();
        observations.reserve(steps * observation_width);
        actions.reserve(steps * action_width);
        rewards.reserve(steps);
    }

    /// Columns to append to: the last ones, or new ones if those are shared.
    fn grow(&mut self) -> [&mut Vec<f64>; 3] {
        if !self.columns.last_mut().is_some_and(Columns::can_grow) {
            self.columns.push(Columns::empty());
        }
        let last = self.columns.len() - 1;
        let columns = &mut self.columns[last];
        [
            columns.observations.to_mut(),
            columns.actions.to_mut(),
            columns.rewards.to_mut(),
        ]
    }

    /// Records a finding that only the reader can make, for
    /// [`doctor::examine`](crate::doctor::examine).
    pub(crate) fn note(&mut self, finding: Finding) {
        if finding.count > 0 {
            self.findings.push(finding);
        }
    }

    /// The reader's findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The description of the dataset.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// How it treats defective episodes.
    pub(crate) fn defects(&self) -> Defects {
        self.defects
    }

    /// The number of episodes.
    pub fn episodes(&self) -> usize {
        self.places.len()
    }

    /// The number of steps in all episodes.
    pub fn steps(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
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

    /// For each episode how much likelier one of its steps is drawn than a step of weight 1; `None`
    /// where all are equal, which is the case unless the dataset is a mixture.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Whether some of the numbers are in mapped files.
    pub fn is_mapped(&self) -> bool {
        self.store().is_some()
    }

    /// The directory of the store that contains some of the numbers.
    pub(crate) fn store(&self) -> Option<&Path> {
        let mut columns = self.columns.iter();
        columns.find_map(|columns| columns.observations.directory())
    }

    /// One episode.
    ///
    /// # Panics
    /// If there is no episode with that index.
    pub fn episode(&self, index: usize) -> EpisodeView<'_> {
        let place = self.places[index];
        let columns = &self.columns[place.columns];
        let (s, a) = (self.observation_width(), self.action_width());
        let (observation, step, steps) = (place.observation, place.step, place.steps);
        EpisodeView {
            observations: &columns.observations[observation * s..(observation + steps + 1) * s],
            actions: &columns.actions[step * a..(step + steps) * a],
            rewards: &columns.rewards[step..step + steps],
            terminated: place.terminated,
            truncated: place.truncated,
            seed: place.seed,
        }
    }

    /// All episodes in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EpisodeView<'_>> {
        (0..self.episodes()).map(|index| self.episode(index))
    }

    /// A hash of the content, the same for every storage format: 64 hexadecimal digits.
    ///
    /// It is the SHA-256 of the text `rtg-dataset-1`, then, as little-endian 64-bit numbers, `S`,
    /// `A` and the number of episodes, then for each episode its steps (64 bits), its two flags (a
    /// byte each), and its observations, actions and rewards as little-endian `f64`, then, only
    /// where steps have different weights, the weight of each episode as `f64`. Seeds, spaces and
    /// names are not part of it.
    pub fn hash(&self) -> String {
        if let Some(hash) = &self.known_hash {
            return hash.clone();
        }
        let mut hash = Hash::new(
            self.observation_width(),
            self.action_width(),
            self.episodes(),
        );
        for episode in self.iter() {
            hash.add(episode);
        }
        for weight in self.weights.iter().flatten() {
            hash.0.update(weight.to_le_bytes());
        }
        hash.text()
    }
}

/// [`Dataset::hash`], episode by episode.
pub(crate) struct Hash(Sha256);

impl Hash {
    pub(crate) fn new(observation_width: usize, action_width: usize, episodes: usize) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"rtg-dataset-1");
        for size in [observation_width, action_width, episodes] {
            hash.update((size as u64).to_le_bytes());
        }
        Self(hash)
    }

    pub(crate) fn add(&mut self, episode: EpisodeView<'_>) {
        let mut bytes = Vec::with_capacity(8 * 1024);
        bytes.extend((episode.len() as u64).to_le_bytes());
        bytes.extend([u8::from(episode.terminated), u8::from(episode.truncated)]);
        for column in [episode.observations, episode.actions, episode.rewards] {
            for part in column.chunks(1024) {
                bytes.extend(part.iter().flat_map(|number| number.to_le_bytes()));
                self.0.update(&bytes);
                bytes.clear();
            }
        }
        self.0.update(&bytes);
    }

    pub(crate) fn text(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Names and sizes only, since the columns can be huge.
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

/// Whole rows in that many numbers; an observation may have none.
fn rows(numbers: usize, width: usize) -> usize {
    numbers.checked_div(width).unwrap_or(0)
}

/// Refuses an episode that does not fit the spaces or, unless defects are kept, is not finite.
pub(crate) fn check(
    info: &Info,
    defects: Defects,
    index: usize,
    episode: &Episode,
) -> Result<(), Error> {
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
    let (s, a) = (info.observation_space.width(), info.action_space.width());
    width(EpisodeColumn::Action, episode.actions.len(), steps * a)?;
    if episode.observations.len() == steps * s && s > 0 {
        return Err(Error::ObservationRows {
            episode: index,
            rows: steps,
            steps,
        });
    }
    let expected = (steps + 1) * s;
    width(
        EpisodeColumn::Observation,
        episode.observations.len(),
        expected,
    )?;
    if defects == Defects::Refuse {
        finite(index, EpisodeColumn::Observation, &episode.observations, s)?;
        finite(index, EpisodeColumn::Action, &episode.actions, a)?;
        finite(index, EpisodeColumn::Reward, &episode.rewards, 1)?;
    }
    Ok(())
}

/// Refuses the first number that is not finite.
fn finite(
    episode: usize,
    column: EpisodeColumn,
    numbers: &[f64],
    width: usize,
) -> Result<(), Error> {
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
pub(crate) mod tests;
