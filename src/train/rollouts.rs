//! Learning from windows while acting: whole episodes join a replay of trajectories, and updates
//! follow each of them (the Online Decision Transformer).
//!
//! An iteration is one episode with actions drawn from the policy, conditioned on the exploration
//! target, and then a number of updates on windows of the replay. The returns-to-go of the new
//! windows are sums of the rewards that followed: hindsight. The weights change between episodes
//! only. An advance ends at an episode's end, with its updates, or earlier; so a pause between two
//! advances changes no bit: the unfinished episode is rebuilt from its start and its actions.

use rtg_datasets::sample::{TrajectoryBuffer, TrajectoryInfo, WindowConfig, WindowSampler};
use rtg_datasets::{Episode, Normaliser};
use serde::{Deserialize, Serialize};

use super::learner_input::Advance;
use crate::algorithms::{
    DatasetSource, Error as AlgorithmError, Learner, LearnerState, Needs, Source, Update,
};
use crate::checkpoint::{Checkpoint, Progress, trajectory_entries};
use crate::data::ExperimentData;
use crate::error::Error;
use crate::experiment::{Experiment, TrajectoriesConfig};
use crate::policy::{Mode, Policy, Start};
use crate::random::{Stream, derive};
use crate::rollout::{self, Rollout, Transition};

/// An agent that learns after each episode.
pub(super) struct Rollouts {
    config: TrajectoriesConfig,
    /// How windows are drawn.
    windows: (WindowConfig, Normaliser),
    rows: usize,
    threads: usize,
    /// Seed of the first episode; the following ones count up.
    first: u64,
    rollout: Rollout,
    policy: Box<dyn Policy>,
    buffer: TrajectoryBuffer,
    /// The steps of the unfinished episode.
    episode: Episode,
    source: Source,
    /// Environment steps taken.
    steps: u64,
    /// Updates done.
    updates: u64,
}

/// Its metadata in a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    rollout: rollout::RolloutState,
    trajectories: TrajectoryInfo,
    steps: u64,
    updates: u64,
}

impl Rollouts {
    /// Opens the environment and fills the replay with the best episodes of the dataset; or
    /// continues from a checkpoint.
    pub(super) fn open(
        experiment: &Experiment,
        config: &TrajectoriesConfig,
        learner: &dyn Learner,
        opened: &ExperimentData,
        (progress, checkpoint): (&Progress, Option<&Checkpoint>),
    ) -> Result<Self, Error> {
        let Needs::Windows {
            config: windows,
            normaliser,
            rows,
        } = learner.needs()
        else {
            return Err(AlgorithmError::NoData.into());
        };
        let data = opened.data.as_ref().ok_or(AlgorithmError::NoData)?;
        let drops = config.drop_worst.unwrap_or_default();
        let mut buffer =
            TrajectoryBuffer::new(data, config.capacity, drops).map_err(AlgorithmError::from)?;
        let first = derive(experiment.seed, "episodes") >> 32;
        let target = config.target;
        let starts = move |index: usize| Some(start(first, target, index));
        let threads = experiment.threads;
        let mut rollout = Rollout::open(&opened.spec.id, 1, threads, starts)?;
        let mut policy = learner.model().policy(Mode::Explore, 1, threads);
        let notes: Option<Notes> = checkpoint.map(Checkpoint::interaction).transpose()?;
        let mut episode = Episode::default();
        if let Some((checkpoint, notes)) = checkpoint.zip(notes.as_ref()) {
            episode = checkpoint.restore_trajectories(&mut buffer, &notes.trajectories)?;
            rollout = rollout
                .restore(&notes.rollout, &mut *policy)
                .map_err(|error| checkpoint.damaged(&error.to_string()))?;
            let [row] = &notes.rollout.rows[..] else {
                return Err(checkpoint.damaged("it has other rows than one"));
            };
            let actions = row.as_ref().map_or(0, |row| row.actions.len());
            if actions != episode.actions.len() {
                return Err(checkpoint.damaged("its episode lacks steps"));
            }
        }
        let windows = (windows, normaliser.clone());
        let source = draws(&buffer, &windows, rows, progress.sampler.clone())?;
        let (steps, updates) = notes.map_or((0, 0), |notes| (notes.steps, notes.updates));
        Ok(Self {
            config: config.clone(),
            windows,
            rows,
            threads,
            first,
            rollout,
            policy,
            buffer,
            episode,
            source,
            steps,
            updates,
        })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// At most `most` steps of an episode; at its end, the updates that follow.
    pub(super) fn advance(
        &mut self,
        learner: &mut dyn Learner,
        most: u64,
    ) -> Result<Advance, Error> {
        let mut reports = Vec::new();
        learner.at_step(self.steps);
        let mut taken = 0;
        let mut ended = false;
        while taken < most && !ended {
            ended = self.step(&mut reports);
            taken += 1;
        }
        self.steps += taken;
        if ended {
            learner.at_step(self.steps);
            self.learn(learner, &mut reports)?;
        }
        reports.push(Update::default().last("updates", self.updates as f64));
        Ok(Advance {
            steps: taken,
            reports,
        })
    }

    /// One step of the episode; whether it was the last.
    fn step(&mut self, reports: &mut Vec<Update>) -> bool {
        let episode = &mut self.episode;
        let mut ended = false;
        let sink = &mut |transition: &Transition<'_>| {
            if episode.is_empty() {
                episode
                    .observations
                    .extend_from_slice(transition.observation);
            }
            episode.actions.extend_from_slice(transition.action);
            episode.rewards.push(transition.reward);
            (episode.observations).extend_from_slice(transition.next_observation);
            episode.terminated = transition.terminated;
            episode.truncated = transition.truncated;
            if let Some(outcome) = transition.ended {
                ended = true;
                let report = Update::default()
                    .mean("episode_return", outcome.episode_return)
                    .mean("episode_length", outcome.length as f64);
                reports.push(report);
            }
        };
        self.rollout.advance(&mut *self.policy, 1, sink);
        ended
    }

    /// Adds the episode to the replay, updates, and gives the policy of the next episode the new
    /// weights.
    fn learn(&mut self, learner: &mut dyn Learner, reports: &mut Vec<Update>) -> Result<(), Error> {
        self.buffer.push(std::mem::take(&mut self.episode));
        let stream = self.source.stream().clone();
        self.source = draws(&self.buffer, &self.windows, self.rows, stream)?;
        let mut done = 0;
        while done < self.config.updates {
            let updates = learner.update(&mut self.source, self.config.updates - done)?;
            done += updates.len() as u64;
            reports.extend(updates);
        }
        self.updates += done;
        // The next episode has begun in the environment, without a step.
        self.policy = learner.model().policy(Mode::Explore, 1, self.threads);
        let index = self.rollout.starts_taken().saturating_sub(1);
        let next = start(self.first, self.config.target, index);
        self.policy.begin(0, &next);
        Ok(())
    }

    /// Its state for a checkpoint.
    pub(super) fn state(&self) -> Result<LearnerState, Error> {
        let (trajectories, columns) = self.buffer.state(&self.episode);
        let notes = Notes {
            rollout: self.rollout.state(&*self.policy),
            trajectories,
            steps: self.steps,
            updates: self.updates,
        };
        Ok(LearnerState {
            tensors: trajectory_entries(columns),
            notes: serde_json::to_value(notes)
                .map_err(|error| AlgorithmError::Notes(error.to_string()))?,
        })
    }
}

/// The start of an episode.
fn start(first: u64, target: Option<f64>, index: usize) -> Start {
    Start {
        seed: first.wrapping_add(index as u64),
        target,
    }
}

/// Windows of all trajectories in the replay.
fn draws(
    buffer: &TrajectoryBuffer,
    (config, normaliser): &(WindowConfig, Normaliser),
    rows: usize,
    stream: Stream,
) -> Result<Source, Error> {
    let data = buffer.dataset().map_err(AlgorithmError::from)?;
    let sampler =
        WindowSampler::new(&data, normaliser, config.clone()).map_err(AlgorithmError::from)?;
    let source = DatasetSource::new(sampler, stream, rows, false);
    Ok(Source::Windows(source))
}
