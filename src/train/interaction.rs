//! Learning while acting: environment steps fill a buffer, updates draw from it.
//!
//! A round is a step in each environment and then the updates that are due: some after every few
//! steps from a replay buffer, once [`Interaction::learning_starts`] steps have been taken, or one
//! whenever an on-policy collection is complete. The first [`Interaction::random_steps`] actions
//! are drawn from the whole action space. Rounds may be divided anywhere without a change in the
//! numbers. A pause changes no bit: the buffer is stored, and the unfinished episodes are rebuilt
//! from their starts and actions.

use rtg_datasets::sample::{Experience, ReplayBuffer, ReplayInfo};
use rtg_envs::{Space, Spec};
use serde::{Deserialize, Serialize};

use super::former;
use super::learner_input::Advance;
use crate::algorithms::{
    Error as AlgorithmError, Fresh, FreshInfo, FreshSource, Interaction, Learner, LearnerState,
    Needs, ReplaySource, Source, Update,
};
use crate::behaviour::{Random, WithActionNoise};
use crate::checkpoint::{Checkpoint, Progress, replay_entries};
use crate::data::ExperimentData;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::policy::{Mode, Policy, Start};
use crate::random::{Stream, derive};
use crate::rollout::{self, Rollout, Transition};

/// An agent in its environment.
pub(super) struct Interacting {
    /// Environments that are stepped together.
    environments: u64,
    pace: Pace,
    rollout: Rollout,
    policy: WarmUp,
    source: Source,
    /// Environment steps taken.
    steps: u64,
    /// Updates done.
    updates: u64,
}

/// When updates are due.
enum Pace {
    /// From a replay buffer, in rounds.
    Replay(Box<Interaction>),
    /// Whenever a collection is complete.
    Fresh(Fresh),
}

impl Pace {
    /// Whether an action after `steps` steps is drawn from the whole action space.
    fn is_random(&self, steps: u64) -> bool {
        match self {
            Self::Replay(interaction) => steps < interaction.random_steps,
            Self::Fresh(_) => false,
        }
    }

    /// The policy of the random actions, with the learner's exploration noise.
    fn random(&self, space: &Space, rows: usize) -> Box<dyn Policy> {
        let random = Box::new(Random::new(space, rows));
        let noise = match self {
            Self::Replay(interaction) => interaction.action_noise,
            Self::Fresh(_) => None,
        };
        match (noise, space) {
            (Some(noise), Space::Box(bounds)) => {
                let bounds = [bounds.low.clone(), bounds.high.clone()];
                Box::new(WithActionNoise::new(random, noise, bounds, rows))
            }
            _ => random,
        }
    }

    /// Updates that are due after a whole round of environment steps.
    fn due(&self, source: &Source, (before, steps): (u64, u64)) -> u64 {
        match (self, source) {
            (Self::Replay(interaction), _) if steps > interaction.learning_starts => {
                let every = interaction.update_every;
                (steps / every - before / every) * interaction.updates
            }
            (Self::Fresh(_), Source::Fresh(fresh)) => u64::from(fresh.is_complete()),
            _ => 0,
        }
    }
}

/// Its metadata in a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    rollout: rollout::RolloutState,
    /// The replay buffer, of a learner that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<ReplayInfo>,
    /// The collection in progress, of an on-policy learner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<FreshInfo>,
    steps: u64,
    updates: u64,
}

impl Interacting {
    /// Opens the environment and fills the buffer with the dataset, if there is one; or continues
    /// from a checkpoint.
    pub(super) fn open(
        experiment: &Experiment,
        needs: Needs<'_>,
        learner: &dyn Learner,
        opened: &ExperimentData,
        (progress, checkpoint): (&Progress, Option<&Checkpoint>),
    ) -> Result<Self, Error> {
        let first = derive(experiment.seed, "episodes") >> 32;
        let start = move |index: usize| {
            Some(Start {
                seed: first.wrapping_add(index as u64),
                target: None,
            })
        };
        let (pace, rows) = match needs {
            Needs::Environment(interaction) => {
                let rows = interaction.environments;
                (Pace::Replay(Box::new(interaction)), rows)
            }
            Needs::Fresh(fresh) => (Pace::Fresh(fresh), fresh.environments),
            Needs::Windows { .. } | Needs::Transitions { .. } => {
                return Err(AlgorithmError::NoData.into());
            }
        };
        let threads = experiment.threads;
        let mut rollout = Rollout::open(&opened.spec.id, rows, threads, start)?;
        let policy = learner.model().policy(Mode::Explore, rows, threads);
        let random = pace
            .is_random(0)
            .then(|| pace.random(&opened.spec.action_space, rows));
        let mut policy = WarmUp::new(&opened.spec, (policy, random), rows);
        let notes: Option<Notes> = checkpoint.map(Checkpoint::interaction).transpose()?;
        let saved = checkpoint.zip(notes.as_ref());
        let stream = progress.sampler.clone();
        let source = match &pace {
            Pace::Replay(interaction) => {
                let former = match (&experiment.from, saved) {
                    (Some(run), None) => Some(former::open(run, experiment, &opened.spec)?),
                    _ => None,
                };
                let replay = open_replay(interaction, opened, (saved, former.as_ref()))?;
                let mut source = ReplaySource::new(replay, stream, interaction.rows);
                if let (Some(data), 1..) = (&opened.data, interaction.dataset_rows) {
                    source = source.beside(data, interaction.dataset_rows)?;
                }
                Source::Replay(source)
            }
            Pace::Fresh(fresh) => Source::Fresh(open_fresh(*fresh, opened, stream, saved)?),
        };
        if let Some((checkpoint, notes)) = saved {
            rollout = rollout
                .restore(&notes.rollout, &mut policy)
                .map_err(|error| checkpoint.damaged(&error.to_string()))?;
        }
        let (steps, updates) = notes.map_or((0, 0), |notes| (notes.steps, notes.updates));
        Ok(Self {
            source,
            environments: rows as u64,
            pace,
            rollout,
            policy,
            steps,
            updates,
        })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The rest of a round, at most `most` steps of it.
    pub(super) fn advance(
        &mut self,
        learner: &mut dyn Learner,
        most: u64,
    ) -> Result<Advance, Error> {
        let into_round = self.steps % self.environments;
        let before = self.steps - into_round;
        self.policy.is_random = self.pace.is_random(before);
        learner.at_step(before);
        let mut reports = Vec::new();
        let most = most.min(self.environments - into_round);
        // One call of the policy at most: the rows that are left of the round.
        let taken = self.step(most as usize, &mut reports)?;
        self.steps += taken;
        if self.steps.is_multiple_of(self.environments) {
            let due = self.pace.due(&self.source, (before, self.steps));
            learner.at_step(self.steps);
            let mut done = 0;
            while done < due {
                let updates = learner.update(&mut self.source, due - done)?;
                done += updates.len() as u64;
                reports.extend(updates);
            }
            if let Source::Fresh(fresh) = &mut self.source
                && due > 0
            {
                fresh.clear();
            }
            self.updates += done;
        }
        reports.push(Update::default().last("updates", self.updates as f64));
        Ok(Advance {
            steps: taken,
            reports,
        })
    }

    /// Takes environment steps into the buffer; reports episodes that ended. Returns their number.
    fn step(&mut self, most: usize, reports: &mut Vec<Update>) -> Result<u64, Error> {
        let source = &mut self.source;
        let mut pushed = Ok(());
        let taken = self
            .rollout
            .advance(&mut self.policy, most, &mut |transition: &Transition<
                '_,
            >| {
                let step = Experience {
                    observation: transition.observation,
                    action: transition.action,
                    reward: transition.reward,
                    next_observation: transition.next_observation,
                    terminated: transition.terminated,
                    truncated: transition.truncated,
                };
                match source {
                    Source::Replay(source) if pushed.is_ok() => {
                        pushed = source.replay.push(transition.row, &step);
                    }
                    Source::Fresh(fresh) => fresh.push(&step),
                    _ => {}
                }
                if let Some(outcome) = transition.ended {
                    let report = Update::default()
                        .mean("episode_return", outcome.episode_return)
                        .mean("episode_length", outcome.length as f64);
                    reports.push(report);
                }
            });
        pushed.map_err(AlgorithmError::from)?;
        if let Source::Fresh(fresh) = source {
            fresh.chosen(self.policy.chosen());
        }
        Ok(taken as u64)
    }

    /// Its state for a checkpoint.
    pub(super) fn state(&self) -> Result<LearnerState, Error> {
        let mut notes = Notes {
            rollout: self.rollout.state(&self.policy),
            replay: None,
            fresh: None,
            steps: self.steps,
            updates: self.updates,
        };
        let tensors = match &self.source {
            Source::Replay(source) => {
                notes.replay = Some(source.replay.info());
                replay_entries(&source.replay)
            }
            Source::Fresh(fresh) => {
                let (tensors, info) = fresh.state();
                notes.fresh = Some(info);
                tensors
            }
            _ => Vec::new(),
        };
        Ok(LearnerState {
            tensors,
            notes: serde_json::to_value(notes)
                .map_err(|error| AlgorithmError::Notes(error.to_string()))?,
        })
    }
}

/// A replay buffer: that of a checkpoint, that of the run that this one continues from, or a new
/// one with the dataset in it, if there is one.
fn open_replay(
    config: &Interaction,
    opened: &ExperimentData,
    (saved, former): (Option<(&Checkpoint, &Notes)>, Option<&Checkpoint>),
) -> Result<ReplayBuffer, Error> {
    let mut replay = ReplayBuffer::new(
        &opened.spec.observation_space,
        &opened.spec.action_space,
        config.capacity,
        config.transitions.clone(),
    )
    .map_err(AlgorithmError::from)?;
    let normaliser = config.normaliser.clone();
    replay
        .set_normaliser(normaliser)
        .map_err(AlgorithmError::from)?;
    let of_former = former.map(Checkpoint::replay_info).transpose()?.flatten();
    if let Some((checkpoint, notes)) = saved {
        let info = notes.replay.as_ref();
        let info = info.ok_or_else(|| checkpoint.damaged("it has no replay buffer"))?;
        checkpoint.restore_replay(&mut replay, info)?;
    } else if let Some((former, mut info)) = former.zip(of_former) {
        // Other episodes begin.
        info.newest.clear();
        former.restore_replay(&mut replay, &info)?;
    } else if let (Some(data), 0) = (&opened.data, config.dataset_rows) {
        replay.extend(data).map_err(AlgorithmError::from)?;
    }
    Ok(replay)
}

/// A collection: that of a checkpoint, or an empty one.
fn open_fresh(
    needs: Fresh,
    opened: &ExperimentData,
    stream: Stream,
    saved: Option<(&Checkpoint, &Notes)>,
) -> Result<FreshSource, Error> {
    let mut fresh = FreshSource::new(needs, stream);
    if let Some((checkpoint, notes)) = saved {
        let unfit = || checkpoint.damaged("it has no collection of such steps");
        let info = notes.fresh.ok_or_else(unfit)?;
        let observation = opened.spec.observation_space.width();
        fresh
            .restore(info, observation, |name| checkpoint.floats(name))?
            .ok_or_else(unfit)?;
    }
    Ok(fresh)
}

/// Draws actions from the whole action space while `random` says so, and then acts as the policy.
///
/// Both choose in every step, so that the policy's memory of an episode follows from the episode's
/// start and steps, whichever action was taken.
struct WarmUp {
    /// None where no step is random.
    random: Option<Box<dyn Policy>>,
    policy: Box<dyn Policy>,
    is_random: bool,
    /// rows x A: what the random policy chose.
    chosen: Vec<f64>,
    /// A.
    width: usize,
}

impl WarmUp {
    fn new(
        spec: &Spec,
        (policy, random): (Box<dyn Policy>, Option<Box<dyn Policy>>),
        rows: usize,
    ) -> Self {
        let width = spec.action_space.width();
        Self {
            random,
            policy,
            is_random: true,
            chosen: vec![0.0; rows * width],
            width,
        }
    }
}

impl Policy for WarmUp {
    fn begin(&mut self, row: usize, start: &Start) {
        if let Some(random) = &mut self.random {
            random.begin(row, start);
        }
        self.policy.begin(row, start);
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        if let Some(random) = &mut self.random {
            random.act(active, observations, last_rewards, &mut self.chosen);
        }
        self.policy.act(active, observations, last_rewards, actions);
        if self.is_random {
            for &row in active {
                let numbers = row * self.width..(row + 1) * self.width;
                actions[numbers.clone()].copy_from_slice(&self.chosen[numbers]);
            }
        }
    }

    fn chosen(&self) -> &[f32] {
        self.policy.chosen()
    }
}
