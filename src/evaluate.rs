//! From a policy to scores: every target return, many episodes each, all in lock-step.
//!
//! Episode e of every target starts from `seed + e`, so targets are compared on the same starts, and
//! the numbers do not depend on how many rows step at once.

use std::time::Instant;

use rtg_envs::registry;
use rtg_envs::vector::{Autoreset, VecEnv};
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Start};
use crate::rollout::{AtEnds, Outcome, Record, roll_out};

/// Environments that step at once, at most.
const MAX_ROWS: usize = 128;

/// What to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Environment id.
    pub env: String,
    /// Target returns to ask for.
    pub targets: Vec<f64>,
    /// Episodes for each target.
    pub episodes: usize,
    /// Seed of the first episode's start.
    pub seed: u64,
    /// Environments that step at once; `None` lets the evaluation choose.
    pub rows: Option<usize>,
    /// Threads that step them, where a step is worth it. Changes the speed, not the numbers.
    pub threads: usize,
}

/// The answer of `rtg evaluate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Environment id.
    pub env: String,
    /// Episodes for each target.
    pub episodes: usize,
    /// Environment steps taken in all.
    pub env_steps: usize,
    /// Wall time.
    pub seconds: f64,
    /// How often a simulation became unstable and was put back to its start, as under Gymnasium.
    #[serde(default)]
    pub instabilities: u64,
    /// One entry for each target asked for.
    pub targets: Vec<TargetScore>,
}

/// What one target return led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScore {
    /// The return that was asked for.
    pub target: f64,
    /// Mean of the episode returns.
    pub return_mean: f64,
    /// Standard deviation of the episode returns over the episodes (population).
    pub return_std: f64,
    /// The return of each episode, in the order of their seeds.
    pub returns: Vec<f64>,
    /// Mean episode length in steps.
    pub length_mean: f64,
    /// 100 (return - random) / (expert - random), where the registry knows both.
    pub score: Option<f64>,
    /// The spread of the score: the spread of the return over (expert - random).
    pub score_std: Option<f64>,
}

/// Runs the plan. `finished` is told after each episode how many have ended.
///
/// # Errors
/// An environment id that the registry does not know.
pub fn evaluate(
    policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
    plan: &Plan,
    mut finished: impl FnMut(usize),
) -> Result<Evaluation, rtg_envs::Error> {
    let began = Instant::now();
    let starts: Vec<Start> = (plan.targets.iter())
        .flat_map(|&target| {
            (0..plan.episodes).map(move |e| Start {
                seed: plan.seed + e as u64,
                target: Some(target),
            })
        })
        .collect();
    let rows = plan.rows.unwrap_or(MAX_ROWS).clamp(1, starts.len().max(1));
    let mut envs = open(&plan.env, rows, plan.threads)?;
    let mut ended = 0;
    let outcomes = roll_out(
        &mut envs,
        &mut *policy(rows),
        &starts,
        Record::Scores,
        &mut AtEnds(|_, _: &Outcome| {
            ended += 1;
            finished(ended);
        }),
    );
    let reference = registry::spec(&plan.env)?.reference_returns;
    let targets = (plan
        .targets
        .iter()
        .zip(outcomes.chunks(plan.episodes.max(1))))
    .map(|(&target, outcomes)| TargetScore::of(target, outcomes, reference.as_ref()))
    .collect();
    Ok(Evaluation {
        env: plan.env.clone(),
        episodes: plan.episodes,
        env_steps: outcomes.iter().map(|outcome| outcome.length).sum(),
        seconds: began.elapsed().as_secs_f64(),
        instabilities: envs.instabilities(),
        targets,
    })
}

/// Environments for a rollout. Threads cost some microseconds a step, which only simulations that take
/// longer are worth.
pub fn open(env: &str, rows: usize, threads: usize) -> Result<VecEnv, rtg_envs::Error> {
    let threads = if registry::needs_mujoco(env) {
        threads
    } else {
        1
    };
    Ok(VecEnv::new(env, rows, Autoreset::Disabled)?.with_threads(threads))
}

impl TargetScore {
    fn of(
        target: f64,
        outcomes: &[Outcome],
        reference: Option<&rtg_envs::ReferenceReturns>,
    ) -> Self {
        let returns: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.episode_return)
            .collect();
        let count = returns.len() as f64;
        let return_mean = returns.iter().sum::<f64>() / count;
        let variance = returns
            .iter()
            .map(|r| (r - return_mean).powi(2))
            .sum::<f64>()
            / count;
        let return_std = variance.sqrt();
        Self {
            target,
            return_mean,
            return_std,
            length_mean: outcomes
                .iter()
                .map(|outcome| outcome.length as f64)
                .sum::<f64>()
                / count,
            score: reference.map(|reference| reference.score(return_mean)),
            score_std: reference.map(|reference| reference.score_spread(return_std)),
            returns,
        }
    }
}
