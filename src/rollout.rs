//! The one loop in which a policy meets environments.
//!
//! Every start gets an episode. All rows step in lock-step, so that the policy sees all of them at
//! once; a row whose episode has ended takes the next start. An episode depends on its start alone,
//! not on the number of rows or on its neighbours.

use rtg_datasets::Episode;
use rtg_envs::Env;
use rtg_envs::vector::VecEnv;

use crate::policy::{Policy, Start};

/// What became of one start.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Sum of the rewards, undiscounted.
    pub episode_return: f64,
    /// Steps taken.
    pub length: usize,
    /// Everything that happened, when it was asked for.
    pub episode: Option<Episode>,
}

/// Whether episodes are kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Returns and lengths only.
    Scores,
    /// Observations, actions and rewards as well.
    Episodes,
}

/// Follows a rollout from outside: for progress, for pictures. `index` is that of the episode's start.
pub trait Watcher {
    /// An episode has begun; `env` shows its first observation.
    fn begun(&mut self, _index: usize, _env: &dyn Env) {}

    /// A step was taken; `env` stands after it.
    fn stepped(&mut self, _index: usize, _env: &dyn Env) {}

    /// An episode has ended.
    fn ended(&mut self, _index: usize, _outcome: &Outcome) {}
}

/// Nobody watches.
impl Watcher for () {}

/// Tells a function of each episode that has ended.
pub struct AtEnds<F>(pub F);

impl<F: FnMut(usize, &Outcome)> Watcher for AtEnds<F> {
    fn ended(&mut self, index: usize, outcome: &Outcome) {
        (self.0)(index, outcome);
    }
}

/// Runs one episode for each start and gives the outcomes in the order of the starts.
pub fn roll_out(
    envs: &mut VecEnv,
    policy: &mut dyn Policy,
    starts: &[Start],
    record: Record,
    watcher: &mut dyn Watcher,
) -> Vec<Outcome> {
    let rows = envs.rows();
    let width = envs.spec().action_space.width();
    let mut actions = vec![0.0; rows * width];
    let mut last_rewards = vec![0.0; rows];
    let mut outcomes: Vec<Option<Outcome>> = vec![None; starts.len()];
    let mut waiting = starts.iter().enumerate();
    let mut under_way: Vec<Option<UnderWay>> = (0..rows).map(|_| None).collect();
    for (row, slot) in under_way.iter_mut().enumerate() {
        *slot = waiting
            .next()
            .map(|start| begin(envs, policy, row, start, record, watcher));
    }
    let mut active: Vec<usize> = (0..rows.min(starts.len())).collect();
    while !active.is_empty() {
        policy.act(&active, envs.observations(), &last_rewards, &mut actions);
        envs.step_rows(&active, &actions);
        for &row in &active {
            let Some(current) = under_way[row].as_mut() else {
                continue;
            };
            last_rewards[row] = envs.rewards()[row];
            current.add(envs, row, &actions[row * width..(row + 1) * width]);
            watcher.stepped(current.index, envs.env(row));
            if !(envs.terminated()[row] || envs.truncated()[row]) {
                continue;
            }
            if let Some(ended) = under_way[row].take() {
                watcher.ended(ended.index, &ended.outcome);
                outcomes[ended.index] = Some(ended.outcome);
            }
            last_rewards[row] = 0.0;
            under_way[row] = waiting
                .next()
                .map(|start| begin(envs, policy, row, start, record, watcher));
        }
        active.retain(|&row| under_way[row].is_some());
    }
    outcomes.into_iter().flatten().collect()
}

/// An episode that has begun.
struct UnderWay {
    index: usize,
    outcome: Outcome,
}

fn begin(
    envs: &mut VecEnv,
    policy: &mut dyn Policy,
    row: usize,
    (index, start): (usize, &Start),
    record: Record,
    watcher: &mut dyn Watcher,
) -> UnderWay {
    envs.reset_row(row, start.seed);
    policy.begin(row, start);
    watcher.begun(index, envs.env(row));
    let episode = (record == Record::Episodes).then(|| Episode {
        observations: observation(envs, row).to_vec(),
        actions: Vec::new(),
        rewards: Vec::new(),
        terminated: false,
        truncated: false,
        seed: Some(start.seed),
    });
    UnderWay {
        index,
        outcome: Outcome {
            episode_return: 0.0,
            length: 0,
            episode,
        },
    }
}

impl UnderWay {
    fn add(&mut self, envs: &VecEnv, row: usize, action: &[f64]) {
        let reward = envs.rewards()[row];
        self.outcome.episode_return += reward;
        self.outcome.length += 1;
        if let Some(episode) = &mut self.outcome.episode {
            episode
                .observations
                .extend_from_slice(observation(envs, row));
            episode.actions.extend_from_slice(action);
            episode.rewards.push(reward);
            episode.terminated = envs.terminated()[row];
            episode.truncated = envs.truncated()[row];
        }
    }
}

fn observation(envs: &VecEnv, row: usize) -> &[f64] {
    let width = envs.spec().observation_space.width();
    &envs.observations()[row * width..(row + 1) * width]
}
