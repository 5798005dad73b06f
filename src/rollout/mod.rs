//! The single loop in which a policy acts in environments.
//!
//! A [`Rollout`] steps rows of one environment and reports every transition. All rows step in
//! lock-step, so that the policy sees all of them at once; a row whose episode has ended takes the
//! next start at once. An episode depends on its start alone, not on the number of rows or on other
//! rows. The rollout can pause between any two environment steps, and continue in another process
//! ([`Rollout::state`]). Evaluations, datasets and videos are folds over its transitions
//! ([`TransitionSink`], [`Episodes`]).

mod episodes;
mod state;

use rtg_envs::registry;
use rtg_envs::vector::{Autoreset, VecEnv};
use rtg_envs::{Env, Spec, make_vec};

use crate::policy::{Policy, Start};

pub use episodes::{CollectionSize, Episodes};
pub use state::{RestoreError, RolloutState, RowState};

/// The outcome of one start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeOutcome {
    /// Sum of the rewards, undiscounted.
    pub episode_return: f64,
    /// Steps taken.
    pub length: usize,
}

/// An episode has begun.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// Row that it is in.
    pub row: usize,
    /// Number of its start, from 0.
    pub index: usize,
    /// Its start.
    pub start: Start,
    /// First observation, S numbers.
    pub observation: &'a [f64],
    /// The environment after its reset, for pictures.
    pub env: &'a dyn Env,
}

/// One environment step of one row.
#[derive(Clone, Copy)]
pub struct Transition<'a> {
    /// Row that took it.
    pub row: usize,
    /// Number of its episode's start, from 0.
    pub index: usize,
    /// The observation before the step, S numbers.
    pub observation: &'a [f64],
    /// The action, A numbers.
    pub action: &'a [f64],
    /// The reward.
    pub reward: f64,
    /// The observation after the step, S numbers: at an episode's end its last observation, never
    /// the first of the next one.
    pub next_observation: &'a [f64],
    /// The step reached a terminal state.
    pub terminated: bool,
    /// The step was cut off, by a time limit for instance.
    pub truncated: bool,
    /// Return and length of the episode, if this was its last step.
    pub ended: Option<EpisodeOutcome>,
    /// The environment after the step, for pictures.
    pub env: &'a dyn Env,
}

/// Receives the events of a rollout. A function of transitions is a sink.
pub trait TransitionSink {
    /// An episode has begun.
    fn begun(&mut self, _: &Beginning<'_>) {}

    /// A step was taken.
    fn stepped(&mut self, transition: &Transition<'_>);
}

impl<F: FnMut(&Transition<'_>)> TransitionSink for F {
    fn stepped(&mut self, transition: &Transition<'_>) {
        self(transition);
    }
}

/// Rows of one environment, in which episodes are played from one start after the other.
pub struct Rollout {
    envs: VecEnv,
    starts: Box<dyn Fn(usize) -> Option<Start> + Send>,
    /// The episode of each row; none before the first step and after the last start.
    episodes: Vec<Option<ActiveEpisode>>,
    /// rows x A: the action of each row's last step, zeros at an episode's first.
    actions: Vec<f64>,
    last_rewards: Vec<f64>,
    /// rows x S: the observations before the current step.
    seen: Vec<f64>,
    /// Rows of the current step.
    active: Vec<usize>,
    /// Number of the next start to take.
    next_start: usize,
    /// First row that has not stepped in the current round. A round steps every row once.
    next_row: usize,
    /// There is no next start.
    exhausted: bool,
}

/// An episode that has begun and not ended.
struct ActiveEpisode {
    index: usize,
    start: Start,
    outcome: EpisodeOutcome,
    /// length x A: all actions since the reset, from which the environment can be rebuilt.
    actions: Vec<f64>,
}

impl ActiveEpisode {
    fn new(index: usize, start: Start) -> Self {
        Self {
            index,
            start,
            outcome: EpisodeOutcome {
                episode_return: 0.0,
                length: 0,
            },
            actions: Vec::new(),
        }
    }
}

impl Rollout {
    /// `rows` copies of a registered environment and a source of starts: from the number of a
    /// start, counted from 0, to the start, or none if there are no more.
    ///
    /// `threads` step slow simulations; where a step takes less than the overhead of threads, one
    /// is used. They change the speed, not the numbers.
    ///
    /// # Errors
    /// An environment that does not exist or cannot be made here, no rows.
    pub fn open(
        env: &str,
        rows: usize,
        threads: usize,
        starts: impl Fn(usize) -> Option<Start> + Send + 'static,
    ) -> Result<Self, rtg_envs::Error> {
        let threads = if registry::needs_mujoco(env) {
            threads
        } else {
            1
        };
        let envs = make_vec(env, rows, Autoreset::Disabled)?.with_threads(threads);
        let (seen, done) = widths(&envs);
        Ok(Self {
            starts: Box::new(starts),
            episodes: (0..rows).map(|_| None).collect(),
            actions: vec![0.0; rows * done],
            last_rewards: vec![0.0; rows],
            seen: vec![0.0; rows * seen],
            active: Vec::with_capacity(rows),
            next_start: 0,
            next_row: 0,
            exhausted: false,
            envs,
        })
    }

    /// The environment's description.
    pub fn spec(&self) -> &Spec {
        self.envs.spec()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.episodes.len()
    }

    /// Starts taken so far.
    pub fn starts_taken(&self) -> usize {
        self.next_start
    }

    /// How often a simulation has become unstable: see [`VecEnv::instabilities`].
    pub fn instabilities(&self) -> u64 {
        self.envs.instabilities()
    }

    /// Takes `steps` environment steps, counted over all rows, or fewer if the starts run out, and
    /// returns their number. `sink` receives each of them, row by row.
    ///
    /// Calls can be divided anywhere: `advance(1)` n times reports what `advance(n)` does, in the
    /// same order and with the same bits. Whole rounds are fastest, because the policy then acts in
    /// all rows at once.
    pub fn advance(
        &mut self,
        policy: &mut dyn Policy,
        steps: usize,
        sink: &mut dyn TransitionSink,
    ) -> usize {
        for row in 0..self.rows() {
            if self.episodes[row].is_none() {
                self.begin(row, policy, sink);
            }
        }
        let mut taken = 0;
        while taken < steps && self.choose_rows(steps - taken) {
            self.step(policy, sink);
            taken += self.active.len();
        }
        taken
    }

    /// Plays until the starts run out.
    pub fn play(&mut self, policy: &mut dyn Policy, sink: &mut dyn TransitionSink) {
        self.advance(policy, usize::MAX, sink);
    }

    /// The rows of the next step: what is left of the round, at most `limit`. Whether there are
    /// any.
    fn choose_rows(&mut self, limit: usize) -> bool {
        for first in [self.next_row, 0] {
            self.active.clear();
            let rows = (first..self.rows()).filter(|&row| self.episodes[row].is_some());
            self.active.extend(rows.take(limit));
            if let Some(last) = self.active.last() {
                self.next_row = last + 1;
                return true;
            }
        }
        false
    }

    fn step(&mut self, policy: &mut dyn Policy, sink: &mut dyn TransitionSink) {
        let (seen, done) = widths(&self.envs);
        let observations = self.envs.observations();
        policy.act(
            &self.active,
            observations,
            &self.last_rewards,
            &mut self.actions,
        );
        for &row in &self.active {
            let columns = row * seen..(row + 1) * seen;
            self.seen[columns.clone()].copy_from_slice(&observations[columns]);
        }
        self.envs.step_rows(&self.active, &self.actions);
        for position in 0..self.active.len() {
            let row = self.active[position];
            let Some(episode) = self.episodes[row].as_mut() else {
                continue;
            };
            let action = &self.actions[row * done..][..done];
            let (terminated, truncated) = (self.envs.terminated()[row], self.envs.truncated()[row]);
            let reward = episode.add(action, &self.envs, row);
            self.last_rewards[row] = reward;
            let is_last = terminated || truncated;
            sink.stepped(&Transition {
                row,
                index: episode.index,
                observation: &self.seen[row * seen..][..seen],
                action,
                reward,
                next_observation: &self.envs.observations()[row * seen..][..seen],
                terminated,
                truncated,
                ended: is_last.then_some(episode.outcome),
                env: self.envs.env(row),
            });
            if is_last {
                self.begin(row, policy, sink);
            }
        }
    }

    /// Begins the next start in a row; leaves it without an episode if there is none.
    fn begin(&mut self, row: usize, policy: &mut dyn Policy, sink: &mut dyn TransitionSink) {
        self.episodes[row] = None;
        let index = self.next_start;
        let start = (!self.exhausted).then(|| (self.starts)(index)).flatten();
        let Some(start) = start else {
            self.exhausted = true;
            return;
        };
        self.next_start += 1;
        self.reset(row, &start, policy);
        self.episodes[row] = Some(ActiveEpisode::new(index, start));
        let seen = widths(&self.envs).0;
        sink.begun(&Beginning {
            row,
            index,
            start,
            observation: &self.envs.observations()[row * seen..][..seen],
            env: self.envs.env(row),
        });
    }

    fn reset(&mut self, row: usize, start: &Start, policy: &mut dyn Policy) {
        let done = widths(&self.envs).1;
        self.envs.reset_row(row, start.seed);
        self.actions[row * done..][..done].fill(0.0);
        self.last_rewards[row] = 0.0;
        policy.begin(row, start);
    }
}

impl ActiveEpisode {
    /// Adds the step that `row` has just taken; returns its reward.
    fn add(&mut self, action: &[f64], envs: &VecEnv, row: usize) -> f64 {
        let reward = envs.rewards()[row];
        self.outcome.episode_return += reward;
        self.outcome.length += 1;
        self.actions.extend_from_slice(action);
        reward
    }
}

/// S and A.
fn widths(envs: &VecEnv) -> (usize, usize) {
    let spec = envs.spec();
    (spec.observation_space.width(), spec.action_space.width())
}

#[cfg(test)]
mod tests;
