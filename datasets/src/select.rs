//! Parts and mixtures of datasets: other lists of episodes over the same numbers.
//!
//! A [`Selection`] is applied in this order: length, random part, best part, training part, delayed
//! rewards, balance. Nothing is copied, except that delayed rewards need a separate reward column.
//! [`mix`] puts datasets one after the other; a weight makes the steps of one likelier than those
//! of another when windows are drawn.
//!
//! What was selected is written into [`Info::provenance`](crate::Info) and changes the dataset's
//! hash. Two peers cut the best part differently, so the rule has a name ([`TopBy`]).

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::{Columns, Numbers, Place};
use crate::{Dataset, Error, returns_to_go};

/// Which episodes of a dataset are used, and when their rewards are received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Only episodes of at least this many steps.
    pub min_length: Option<usize>,
    /// Only episodes of at most this many steps.
    pub max_length: Option<usize>,
    /// A random part of the episodes, above 0 and up to 1; at least one is kept.
    pub random_fraction: Option<f64>,
    /// The part with the largest returns, above 0 and up to 1; at least one is kept.
    pub top_fraction: Option<f64>,
    /// What `top_fraction` is a fraction of.
    pub top_by: TopBy,
    /// A part of the episodes, above 0 and below 1, that is held out for validation. Training
    /// reports the loss on it as `validation/loss` at every evaluation and at the end.
    pub validation_fraction: Option<f64>,
    /// All of an episode's reward comes with its last step.
    pub delayed_rewards: bool,
    /// Steps of rare returns are drawn more often: episodes fall into this many classes of equal
    /// width between the least and the largest return, and each nonempty class is drawn equally
    /// often. The actions for a given return stay the same; rare returns are only seen more often.
    /// After the return-based rebalancing of Yue et al. 2022, "Boosting offline RL via data
    /// rebalancing".
    pub balance_returns: Option<usize>,
    /// How much of that balance there is, from 0 (none: the draws are those without it) to 1 (all
    /// of it, the default): a step's weight is the inverse of its class's steps to this power.
    pub balance_strength: Option<f64>,
    /// Seed of the random part and of the validation part.
    pub seed: u64,
}

/// What the best part of a dataset is a part of. Both rank episodes by their undiscounted return;
/// of equal ones the earlier is taken first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopBy {
    /// Of all episodes, rounded down: CORL's 10 % behaviour cloning (`any_percent_bc.py`).
    #[default]
    Trajectories,
    /// Of all steps: the best episode, then the next best for as long as they fit; the official
    /// Decision Transformer's percentile behaviour cloning (`experiment.py`, `pct_traj`).
    Steps,
}

impl fmt::Display for TopBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trajectories => "trajectories",
            Self::Steps => "steps",
        })
    }
}

/// The canonical text: `key=value` in the order of the fields, only the fields that select;
/// `everything` if none does. Equal texts select the same episodes.
impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        let mut word = |key: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("{key}={value}")));
        };
        word("min_length", self.min_length.map(|n| n.to_string()));
        word("max_length", self.max_length.map(|n| n.to_string()));
        word(
            "random_fraction",
            self.random_fraction.map(|f| f.to_string()),
        );
        word("top_fraction", self.top_fraction.map(|f| f.to_string()));
        word("top_by", self.top_fraction.map(|_| self.top_by.to_string()));
        word(
            "validation_fraction",
            self.validation_fraction.map(|f| f.to_string()),
        );
        word(
            "delayed_rewards",
            self.delayed_rewards.then(|| "true".into()),
        );
        word(
            "balance_returns",
            self.balance_returns.map(|n| n.to_string()),
        );
        word(
            "balance_strength",
            self.balance_strength.map(|beta| beta.to_string()),
        );
        let drawn = self.random_fraction.or(self.validation_fraction).is_some();
        word("seed", drawn.then(|| self.seed.to_string()));
        if words.is_empty() {
            return formatter.write_str("everything");
        }
        formatter.write_str(&words.join(" "))
    }
}

impl Dataset {
    /// The episodes that `selection` selects, for training: without its validation part.
    pub fn select(&self, selection: &Selection) -> Result<Self, Error> {
        let (training, _) = self.parts(selection)?;
        Ok(training)
    }

    /// The validation part of `selection`, filtered as the training part; `None` if it has none.
    pub fn select_validation(&self, selection: &Selection) -> Result<Option<Self>, Error> {
        let (_, validation) = self.parts(selection)?;
        Ok(validation)
    }

    /// Splits by episode into a training and a validation part of that fraction; both keep the
    /// order, and neither is empty.
    pub fn split(&self, validation_fraction: f64, seed: u64) -> Result<(Self, Self), Error> {
        let selection = Selection {
            validation_fraction: Some(validation_fraction),
            seed,
            ..Selection::default()
        };
        let (training, validation) = self.parts(&selection)?;
        let none = || Error::Selection("there is no validation part".into());
        Ok((training, validation.ok_or_else(none)?))
    }

    fn parts(&self, selection: &Selection) -> Result<(Self, Option<Self>), Error> {
        let fail = |reason: String| Err(Error::Selection(reason));
        for (name, fraction, below) in [
            ("random_fraction", selection.random_fraction, 1.0),
            ("top_fraction", selection.top_fraction, 1.0),
            (
                "validation_fraction",
                selection.validation_fraction,
                1.0_f64.next_down(),
            ),
        ] {
            if let Some(f) = fraction.filter(|&f| !(f > 0.0 && f <= below)) {
                return fail(format!("{name} must be between 0 and 1, not {f}"));
            }
        }
        if selection.balance_returns == Some(0) {
            return fail("balance_returns = 0 leaves no class of returns".into());
        }
        if let Some(beta) = selection.balance_strength {
            if !(0.0..=1.0).contains(&beta) {
                return fail(format!(
                    "balance_strength must be between 0 and 1, not {beta}"
                ));
            }
            if selection.balance_returns.is_none() {
                return fail("balance_strength is of no use without balance_returns".into());
            }
        }
        let lengths =
            selection.min_length.unwrap_or(0)..=selection.max_length.unwrap_or(usize::MAX);
        let mut kept: Vec<usize> = (0..self.episodes())
            .filter(|&index| lengths.contains(&self.places[index].steps))
            .collect();
        if kept.is_empty() {
            return fail(format!(
                "none of {} episodes is selected by {selection}",
                self.episodes()
            ));
        }
        if let Some(fraction) = selection.random_fraction {
            let count = (fraction * kept.len() as f64).round().max(1.0) as usize;
            (kept, _) = draw(&kept, count, "random part", selection.seed);
        }
        if let Some(fraction) = selection.top_fraction {
            kept = self.best(kept, fraction, selection.top_by);
        }
        let mut held_out = None;
        if let Some(fraction) = selection.validation_fraction {
            if kept.len() < 2 {
                return fail("one episode cannot be split into two parts".into());
            }
            let most = kept.len() as f64 - 1.0;
            let count = (fraction * kept.len() as f64).round().clamp(1.0, most) as usize;
            let (drawn, rest) = draw(&kept, count, "validation part", selection.seed);
            (kept, held_out) = (rest, Some(drawn));
        }
        let part = |episodes: &[usize], what: &str| {
            let mut part = self.of(episodes);
            if *selection != Selection::default() {
                let _ = write!(part.info.provenance, "; {what}{selection}");
            }
            if selection.delayed_rewards {
                part.delay_rewards();
            }
            if let Some(classes) = selection.balance_returns {
                part.balance(classes, selection.balance_strength.unwrap_or(1.0));
            }
            part
        };
        let validation = held_out.map(|episodes| part(&episodes, "validation part of "));
        Ok((part(&kept, "selected "), validation))
    }

    /// The episodes of these indices, in this order.
    pub(crate) fn of(&self, episodes: &[usize]) -> Self {
        let places = episodes.iter().map(|&index| self.places[index]).collect();
        let mut part = Self::over(
            self.info.clone(),
            self.defects(),
            self.columns.clone(),
            places,
        );
        let weights = self.weights.as_ref();
        let weights = weights.map(|all| episodes.iter().map(|&index| all[index]).collect());
        part.weights = weights.and_then(uneven);
        part.findings.clone_from(&self.findings);
        if episodes.iter().copied().eq(0..self.episodes()) {
            part.known_hash.clone_from(&self.known_hash);
        }
        part
    }

    /// The best of these episodes, in their order.
    fn best(&self, mut episodes: Vec<usize>, fraction: f64, by: TopBy) -> Vec<usize> {
        let returns: Vec<f64> = self.iter().map(|episode| episode.return_()).collect();
        let steps = |index: usize| self.places[index].steps;
        let all_steps: usize = episodes.iter().map(|&index| steps(index)).sum();
        episodes.sort_by(|&a, &b| returns[b].total_cmp(&returns[a]).then(a.cmp(&b)));
        let count = match by {
            TopBy::Trajectories => (fraction * episodes.len() as f64) as usize,
            TopBy::Steps => {
                let most = (fraction * all_steps as f64) as usize;
                let taken = episodes.iter().scan(0, |taken, &index| {
                    *taken += steps(index);
                    Some(*taken)
                });
                taken.take_while(|&taken| taken <= most).count()
            }
        };
        episodes.truncate(count.max(1));
        episodes.sort_unstable();
        episodes
    }

    /// Weighs episodes so that each of `classes` classes of returns has the same part of all steps,
    /// with a strength of 1; of 0, as many as it had.
    fn balance(&mut self, classes: usize, strength: f64) {
        let returns: Vec<f64> = self.iter().map(|episode| episode.return_()).collect();
        let least = returns.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let width = (largest - least) / classes as f64;
        // Without a width (all returns equal) everything is in the first class.
        let class = |return_: f64| (((return_ - least) / width) as usize).min(classes - 1);
        let before = |index: usize| self.weights.as_ref().map_or(1.0, |all| all[index]);
        let mut mass = vec![0.0; classes];
        for (index, &return_) in returns.iter().enumerate() {
            mass[class(return_)] += before(index) * self.places[index].steps as f64;
        }
        let occupied = mass.iter().filter(|&&mass| mass > 0.0).count();
        let share = mass.iter().sum::<f64>() / occupied as f64;
        let weights = (returns.iter().enumerate())
            .map(|(index, &return_)| {
                let mass = mass[class(return_)];
                if strength < 1.0 {
                    before(index) * (share / mass).powf(strength)
                } else {
                    before(index) * share / mass
                }
            })
            .collect();
        self.weights = uneven(weights);
        self.known_hash = None;
    }

    /// Moves each episode's rewards onto its last step, into a column of its own.
    fn delay_rewards(&mut self) {
        // Zeros that are never written use no memory, so most of this column uses none.
        let mut delayed: Vec<Vec<f64>> = self
            .columns
            .iter()
            .map(|columns| vec![0.0; columns.rewards.len()])
            .collect();
        for Place {
            columns,
            step,
            steps,
            ..
        } in &self.places
        {
            let rewards = &self.columns[*columns].rewards[*step..step + steps];
            delayed[*columns][step + steps - 1] = returns_to_go(rewards, 1.0)[0];
        }
        for (columns, delayed) in self.columns.iter_mut().zip(delayed) {
            columns.rewards = Numbers::from(delayed);
        }
        self.known_hash = None;
    }
}

/// Draws `count` of the episodes, and the rest; both in the given order. Which ones depends on
/// nothing but the seed, the purpose and the episodes' indices.
fn draw(episodes: &[usize], count: usize, purpose: &str, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let lot = |index: usize| {
        Sha256::new()
            .chain_update(purpose)
            .chain_update(seed.to_le_bytes())
            .chain_update((index as u64).to_le_bytes())
            .finalize()
    };
    let mut lots: Vec<_> = episodes.iter().map(|&index| (lot(index), index)).collect();
    lots.sort_unstable();
    let mut drawn: Vec<usize> = lots[..count].iter().map(|&(_, index)| index).collect();
    drawn.sort_unstable();
    let rest = |index: &usize| drawn.binary_search(index).is_err();
    let rest = episodes.iter().copied().filter(rest).collect();
    (drawn, rest)
}

/// Puts datasets one after the other. A step of a dataset with weight 2 is drawn twice as often as
/// one with weight 1. Its description is that of the first dataset; its environment is known only
/// if all agree.
///
/// # Errors
/// No dataset, a weight that is not above 0, rows of different widths or kinds.
pub fn mix(parts: &[(Dataset, f64)]) -> Result<Dataset, Error> {
    let fail = |reason: String| Err(Error::Selection(reason));
    let Some((first, _)) = parts.first() else {
        return fail("a mixture needs a dataset".into());
    };
    let mut info = first.info.clone();
    let (mut columns, mut places, mut weights): (Vec<Columns>, Vec<Place>, Vec<f64>) =
        (Vec::new(), Vec::new(), Vec::new());
    let mut findings = Vec::new();
    for (part, weight) in parts {
        let id = &part.info.id;
        if !(*weight > 0.0 && weight.is_finite()) {
            return fail(format!("the weight {weight} of {id} is not above 0"));
        }
        for (what, ours, theirs) in [
            (
                "observations",
                &first.info.observation_space,
                &part.info.observation_space,
            ),
            ("actions", &first.info.action_space, &part.info.action_space),
        ] {
            if !mixes(ours, theirs) {
                return fail(format!(
                    "the {what} of {} and {id} do not fit: {} and {}",
                    first.info.id,
                    described(ours),
                    described(theirs)
                ));
            }
        }
        let same = match (&part.info.env_spec, &info.env_spec) {
            (Some(part), Some(first)) => part.is_same_world(first),
            (part, first) => part == first,
        };
        if !same {
            info.env_spec = None;
        }
        info.max_episode_steps = info.max_episode_steps.max(part.info.max_episode_steps);
        let moved = |place: &Place| Place {
            columns: place.columns + columns.len(),
            ..*place
        };
        places.extend(part.places.iter().map(moved));
        columns.extend(part.columns.iter().cloned());
        let own = (0..part.episodes()).map(|index| part.weights().map_or(1.0, |own| own[index]));
        weights.extend(own.map(|own| own * weight));
        findings.extend(part.findings.iter().cloned());
    }
    let name = |(part, weight): &(Dataset, f64)| format!("{weight} x {}", part.info.id);
    if parts.len() > 1 {
        info.id = parts.iter().map(name).collect::<Vec<_>>().join(" + ");
        let sources = parts.iter().map(|(part, _)| part.info.provenance.as_str());
        let sources: Vec<_> = sources.collect();
        info.provenance = format!("mixture {}: {}", info.id, sources.join(" | "));
    }
    let mut mixture = Dataset::over(info, first.defects(), columns, places);
    mixture.weights = uneven(weights);
    mixture.findings = findings;
    Ok(mixture)
}

/// The weights, if they are not all equal.
fn uneven(weights: Vec<f64>) -> Option<Vec<f64>> {
    let differ = |pair: &[f64]| pair[0].to_bits() != pair[1].to_bits();
    weights.windows(2).any(differ).then_some(weights)
}

/// Whether rows of both spaces can be in one dataset. Bounds and number types may differ.
fn mixes(a: &rtg_envs::Space, b: &rtg_envs::Space) -> bool {
    match (a, b) {
        (rtg_envs::Space::Box(a), rtg_envs::Space::Box(b)) => a.shape == b.shape,
        (a, b) => a == b,
    }
}

/// A space in a few words.
fn described(space: &rtg_envs::Space) -> String {
    match space {
        rtg_envs::Space::Box(space) => format!("a box of shape {:?}", space.shape),
        rtg_envs::Space::Discrete { n, start } => format!("{n} choices from {start} on"),
        other => format!("{} numbers", other.width()),
    }
}

#[cfg(test)]
mod tests;
