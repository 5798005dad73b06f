//! Learning while acting: environment steps fill a replay buffer, updates draw from it.
//!
//! A round is a step in each environment and then the updates that are due. Until
//! [`Interaction::learning_starts`] steps have been taken, actions are drawn from the whole action
//! space and nothing is learned. Rounds may be cut anywhere without a change in the numbers. All of
//! it survives a pause to the bit: the buffer is stored, and the episodes under way are rebuilt from
//! their starts and actions.

use rtg_datasets::sample::{Experience, Replay, ReplayInfo};
use rtg_envs::Spec;
use serde::{Deserialize, Serialize};

use super::feed::Advance;
use crate::algorithms::{Error as AlgorithmError, Interaction, Learner, Source, State, Update};
use crate::behaviour::Random;
use crate::checkpoint::{Checkpoint, Progress};
use crate::data::Opened;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::nn::state_dict::Entry;
use crate::policy::{Mode, Policy, Start};
use crate::random::derive;
use crate::rollout::{self, Rollout, Transition};

/// An agent in its environment.
pub(super) struct Interacting {
    config: Interaction,
    rollout: Rollout,
    policy: WarmUp,
    source: Source,
    /// Environment steps taken.
    steps: u64,
    /// Updates done.
    updates: u64,
}

/// What a checkpoint notes of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    rollout: rollout::State,
    replay: ReplayInfo,
    steps: u64,
    updates: u64,
}

impl Interacting {
    /// Opens the environment and fills the buffer with the dataset, if there is one; or goes on
    /// where a checkpoint was saved.
    pub(super) fn open(
        experiment: &Experiment,
        config: Interaction,
        learner: &dyn Learner,
        opened: &Opened,
        (progress, checkpoint): (&Progress, Option<&Checkpoint>),
    ) -> Result<Self, Error> {
        let first = derive(experiment.seed, "episodes") >> 32;
        let start = move |index: usize| {
            Some(Start {
                seed: first.wrapping_add(index as u64),
                target: None,
            })
        };
        let (rows, threads) = (config.environments, experiment.threads);
        let mut rollout = Rollout::open(&opened.spec.id, rows, threads, start)?;
        let policy = learner.model().policy(Mode::Explore, rows, threads);
        let mut policy = WarmUp::new(&opened.spec, policy, rows);
        let mut replay = Replay::new(
            &opened.spec.observation_space,
            &opened.spec.action_space,
            config.capacity,
            config.transitions.clone(),
        )
        .map_err(AlgorithmError::from)?;
        let (mut steps, mut updates) = (0, 0);
        if let Some(checkpoint) = checkpoint {
            let notes: Notes = checkpoint.interaction()?;
            let columns = Replay::COLUMNS.map(|name| checkpoint.floats(&tensor(name)));
            let [rows, finals] = columns;
            replay
                .restore(&notes.replay, [rows?, finals?])
                .map_err(|error| checkpoint.damaged(&error.to_string()))?;
            rollout = rollout
                .restore(&notes.rollout, &mut policy)
                .map_err(|error| checkpoint.damaged(&error.to_string()))?;
            (steps, updates) = (notes.steps, notes.updates);
        } else if let Some(data) = &opened.data {
            replay.extend(data).map_err(AlgorithmError::from)?;
        }
        Ok(Self {
            source: Source::replay(replay, progress.sampler.clone(), config.rows),
            config,
            rollout,
            policy,
            steps,
            updates,
        })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// What is left of a round, at most `most` steps of it.
    pub(super) fn advance(
        &mut self,
        learner: &mut dyn Learner,
        most: u64,
    ) -> Result<Advance, Error> {
        let Source::Replay(source) = &mut self.source else {
            return Err(AlgorithmError::NoData.into());
        };
        let environments = self.config.environments as u64;
        let into_round = self.steps % environments;
        let before = self.steps - into_round;
        self.policy.is_random = before < self.config.learning_starts;
        let mut reports = Vec::new();
        let mut pushed = Ok(());
        let most = most.min(environments - into_round) as usize;
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
                if pushed.is_ok() {
                    pushed = source.replay.push(transition.row, &step);
                }
                if let Some(outcome) = transition.ended {
                    let report = Update::default()
                        .mean("episode_return", outcome.episode_return)
                        .mean("episode_length", outcome.length as f64);
                    reports.push(report);
                }
            });
        pushed.map_err(AlgorithmError::from)?;
        self.steps += taken as u64;
        let is_whole = self.steps.is_multiple_of(environments);
        if is_whole && self.steps > self.config.learning_starts {
            let every = self.config.update_every;
            let rounds = self.steps / every - before / every;
            let due = rounds * self.config.updates;
            let mut done = 0;
            while done < due {
                let updates = learner.update(&mut self.source, due - done)?;
                done += updates.len() as u64;
                reports.extend(updates);
            }
            self.updates += done;
        }
        reports.push(Update::default().last("updates", self.updates as f64));
        Ok(Advance {
            steps: taken as u64,
            reports,
        })
    }

    /// What a checkpoint holds of it.
    pub(super) fn state(&self) -> Result<State, Error> {
        let Source::Replay(source) = &self.source else {
            return Err(AlgorithmError::NoData.into());
        };
        let columns = Replay::COLUMNS.iter().zip(source.replay.columns());
        let notes = Notes {
            rollout: self.rollout.state(&self.policy),
            replay: source.replay.info(),
            steps: self.steps,
            updates: self.updates,
        };
        Ok(State {
            tensors: columns
                .map(|(name, values)| Entry::vector(&tensor(name), values))
                .collect(),
            notes: serde_json::to_value(notes)
                .map_err(|error| AlgorithmError::Notes(error.to_string()))?,
        })
    }
}

/// A column of the replay buffer in a checkpoint.
fn tensor(column: &str) -> String {
    format!("rtg.replay.{column}")
}

/// Draws actions from the whole action space as long as it is told to, and then acts as the policy.
///
/// Both are asked in every step, so that the policy's memory of an episode follows from the
/// episode's start and steps, whichever of the two was obeyed.
struct WarmUp {
    random: Random,
    policy: Box<dyn Policy>,
    is_random: bool,
    /// rows x A: what the random policy chose.
    chosen: Vec<f64>,
    /// A.
    width: usize,
}

impl WarmUp {
    fn new(spec: &Spec, policy: Box<dyn Policy>, rows: usize) -> Self {
        let width = spec.action_space.width();
        Self {
            random: Random::new(&spec.action_space, rows),
            policy,
            is_random: true,
            chosen: vec![0.0; rows * width],
            width,
        }
    }
}

impl Policy for WarmUp {
    fn begin(&mut self, row: usize, start: &Start) {
        self.random.begin(row, start);
        self.policy.begin(row, start);
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        self.random
            .act(active, observations, last_rewards, &mut self.chosen);
        self.policy.act(active, observations, last_rewards, actions);
        if self.is_random {
            for &row in active {
                let numbers = row * self.width..(row + 1) * self.width;
                actions[numbers.clone()].copy_from_slice(&self.chosen[numbers]);
            }
        }
    }
}
